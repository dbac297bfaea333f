//! `wharf build --check` and `wharf dockerfile`: looking without building.

use crate::harness::Sandbox;

/// A file with one thing wrong for each rule, the rule as a comment behind it.
const ODD: &str = "\
ARG TAG
FROM busybox:$TAG AS Base
FROM --platform=linux/amd64 busybox as next
FROM --platform=$TARGETPLATFORM scratch AS next
MAINTAINER nobody
ENV A b
ENV API_KEY=x
WORKDIR here
CMD echo one
CMD [\"echo\", \"two\"]
RUN echo \\

  $NOBODY
expose 80/TCP
COPY secret /
";

#[test]
fn every_rule_says_its_line() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", ODD);
    box_.write("dir/.dockerignore", "secret\n");
    box_.write("dir/secret", "x");
    box_.run("dockerfile lint Dockerfile").fails(1).shows("invalid reference format: `busybox:`");
    let lint = box_.run("build --check --build-arg TAG=latest -f Dockerfile dir").fails(1);
    for (line, rule) in [
        (2, "InvalidDefaultArgInFrom"),
        (2, "StageNameCasing"),
        (3, "FromPlatformFlagConstDisallowed"),
        (3, "FromAsCasing"),
        (4, "RedundantTargetPlatform"),
        (4, "DuplicateStageName"),
        (5, "MaintainerDeprecated"),
        (6, "LegacyKeyValueFormat"),
        (7, "SecretsUsedInArgOrEnv"),
        (8, "WorkdirRelativePath"),
        (9, "JSONArgsRecommended"),
        (9, "MultipleInstructionsDisallowed"),
        (13, "NoEmptyContinuation"),
        (14, "ConsistentInstructionCasing"),
        (14, "ExposeProtoCasing"),
        (15, "CopyIgnoredFile"),
    ] {
        lint.line_with(&format!("Dockerfile:{line}: {rule}: "));
    }
}

#[test]
fn a_check_builds_nothing_and_counts() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nENV A b\nRUN echo $B > /ran\n");
    let before = box_.run("images -q").success().line().to_owned();
    let check = box_.run("build --check -t a .").fails(1);
    check.line_with("Dockerfile:2: LegacyKeyValueFormat: ");
    check.line_with("Check complete, 1 warning has been found!");
    assert_eq!(box_.run("images -q").success().line(), before);
    box_.write("Dockerfile", "FROM busybox\nENV A=b\nWORKDIR /$A$C\n");
    box_.run("build --check .").fails(1).line_with("UndefinedVar: Usage of undefined variable '$C'");
    box_.write("Dockerfile", "FROM busybox\nENV A=b\n");
    box_.run("build --check .").success().prints("Check complete, no warnings found.\n");
}

#[test]
fn a_file_says_which_rules_it_wants() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "# check=skip=LegacyKeyValueFormat\nFROM busybox\nENV A b\n");
    box_.run("build --check .").success();
    box_.write("Dockerfile", "# check=error=true\nFROM busybox\nENV A b\n");
    box_.refuses(
        1,
        &["build", "-t", "a", "."],
        &["Dockerfile:3", "lint violation found for rules: LegacyKeyValueFormat"],
    );
}

#[test]
fn triggers_and_health_checks_are_read_to_the_end() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox\nONBUILD COPY --from=x <<E /a/\n1\nE\nHEALTHCHECK --interval=5s CMD [\"curl\", \"-f x\"]\nHEALTHCHECK NONE\n",
    );
    let parsed = box_.run("dockerfile parse --json Dockerfile").success().json();
    let [trigger, check, none] = [1, 2, 3].map(|number| &parsed["statements"][number]);
    assert_eq!(trigger["words"], serde_json::json!(["COPY", "<<E", "/a/"]));
    assert_eq!(
        (&trigger["flags"], &trigger["statement"]["keyword"]),
        (&serde_json::json!([]), &"COPY".into())
    );
    assert_eq!(trigger["statement"]["flags"], serde_json::json!(["--from=x"]));
    assert_eq!(trigger["statement"]["heredocs"][0]["content"], "1\n");
    assert_eq!(check["flags"], serde_json::json!(["--interval=5s"]));
    assert_eq!(check["words"], serde_json::json!(["CMD", "curl", "-f x"]));
    assert_eq!(check["statement"]["body"], serde_json::json!({ "Json": ["curl", "-f x"] }));
    assert_eq!(
        (&none["words"], &none["statement"]),
        (&serde_json::json!(["NONE"]), &serde_json::Value::Null)
    );
}

#[test]
fn tools_read_statements_warnings_and_words_as_json() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox AS a\n# what\nRUN <<E\necho $X\nE\n");
    let parsed = box_.run("dockerfile parse --json Dockerfile").success().json();
    let run = &parsed["statements"][1];
    assert_eq!(
        (&run["keyword"], &run["start_line"], &run["end_line"]),
        (&"RUN".into(), &3.into(), &5.into())
    );
    assert_eq!(run["heredocs"][0]["content"], "echo $X\n");
    box_.write("Dockerfile", "FROM busybox\nENV A b\n");
    let lint = box_.run("dockerfile lint --json Dockerfile").fails(1).json();
    assert_eq!(lint["warnings"][0]["rule"], "LegacyKeyValueFormat");
    let words = box_.wharf_with(["dockerfile", "words"], b"{\"word\": \"${A:-b c}\"}\n").success().json();
    assert_eq!(words["words"], serde_json::json!(["b", "c"]));
    box_.write("Dockerfile", "FROM busybox\nNOPE\n");
    let lint = box_.run("dockerfile lint --json Dockerfile").fails(1).json();
    assert!(lint["error"].as_str().is_some_and(|error| error.contains("NOPE")), "{lint}");
}

/// The rules that the file above does not raise.
#[test]
fn rules_about_bases_names_and_descriptions_say_their_line() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM scratch\nLABEL a=1\n");
    box_.run("build --platform linux/s390x -t other .").success();
    box_.write(
        "Dockerfile",
        "# check=experimental=InvalidDefinitionDescription\nARG VERSION=1\n# what it is\nARG A B=2\n# B is fine\nARG A B=3\n\
         # Base is not\nFROM busybox${VERSOIN} AS base\nFROM busybox AS context\nFROM other\nEXPOSE 8080:80/TCP\n\
         ENV DB_PASSWORD_FILE=/x AUTH_VERSION=1 DB_PASSWORD=x\n",
    );
    let check = box_.run("build --check .").fails(1);
    let said = |line: u32, rule: &str, text: &str| {
        assert!(check.line_with(&format!("Dockerfile:{line}: {rule}: ")).contains(text), "{text}");
    };
    said(
        4,
        "InvalidDefinitionDescription",
        "Comment for ARG should follow the format: `# <arg_key> <description>`",
    );
    said(
        8,
        "InvalidDefinitionDescription",
        "Comment for FROM should follow the format: `# base <description>`",
    );
    said(8, "UndefinedArgInFrom", "FROM argument 'VERSOIN' is not declared (did you mean VERSION?)");
    said(9, "ReservedStageName", "reserved stage \"context\"");
    said(
        10,
        "InvalidBaseImagePlatform",
        "Base image other was pulled with platform \"linux/s390x\", expected \"linux/",
    );
    said(11, "ExposeProtoCasing", "8080:80/TCP");
    said(11, "ExposeInvalidFormat", "8080:80/TCP");
    said(12, "SecretsUsedInArgOrEnv", "(ENV \"DB_PASSWORD\")");
    check.line_with("Check complete, 8 warnings have been found!");
}

#[test]
fn a_comment_above_an_instruction_says_which_rules_it_wants() {
    let box_ = Sandbox::new();
    let odd = "FROM busybox\n# check=skip=LegacyKeyValueFormat // as it always was\nENV A b\n# check=skip=all\nENV TOKEN $NONE\n";
    box_.write("Dockerfile", odd);
    box_.run("build --check .").success().prints("Check complete, no warnings found.\n");
    box_.write("Dockerfile", format!("# check=error=true\n{odd}"));
    box_.run("build .").success();
    box_.write("Dockerfile", format!("{odd}ENV C d\n"));
    let check = box_.run("build --check .").fails(1);
    check.line_with("Dockerfile:6: LegacyKeyValueFormat: ");
    check.line_with("Check complete, 1 warning has been found!");
    box_.write("Dockerfile", format!("#!/usr/bin/env wharf\n# check=skip=all\n{odd}ENV C d\n"));
    box_.run("build --check .").success();
}
