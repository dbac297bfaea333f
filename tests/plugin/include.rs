//! `INCLUDE`, one of the examples: an instruction that expands to lines.

use crate::harness::Sandbox;

const GRANTS: &str = "grants = { ops = [\"expand\"], read = [\"context\"] }";

fn sandbox() -> Sandbox {
    Sandbox::new().with_example("", "include", "instruction", GRANTS)
}

#[test]
fn included_lines_stand_where_the_include_stood() {
    let box_ = sandbox();
    box_.write(
        "parts/base.docker",
        "# what every image of ours has\nENV TEAM=payments\nINCLUDE parts/deep\n",
    );
    box_.write("parts/deep", "RUN <<EOF\necho one >/one\necho two >>/one\nEOF\nRUN echo $TEAM >/team\n");
    box_.build("i", "FROM busybox\nARG WHERE=parts\nINCLUDE $WHERE/base.docker\nRUN cat /team >/copy\n");
    assert_eq!(box_.in_image("i", "cat /one /copy"), "one\ntwo\npayments\n");
}

#[test]
fn a_step_is_made_again_when_the_included_file_changes() {
    let box_ = sandbox();
    let dockerfile = "FROM busybox\nINCLUDE part\nRUN echo last >/last\n";
    box_.write("part", "RUN echo 1 >/n\n");
    box_.build("i", dockerfile);
    let again = box_.build("i", dockerfile);
    assert_eq!(again.stderr.matches("CACHED").count(), 2, "{again}");
    box_.write("part", "RUN echo 2 >/n\n");
    let changed = box_.build("i", dockerfile);
    assert_eq!(changed.stderr.matches("CACHED").count(), 0, "{changed}");
    assert_eq!(box_.in_image("i", "cat /n"), "2\n");
    box_.write("part", "# only a comment is new\nRUN echo 2 >/n\n");
    let commented = box_.build("i", dockerfile);
    assert_eq!(commented.stderr.matches("CACHED").count(), 2, "{commented}");
}

#[test]
fn errors_name_the_line_of_the_included_file() {
    let box_ = sandbox();
    box_.write("Dockerfile", "FROM busybox\n\nINCLUDE parts/broken\n");
    for (content, line, said) in [
        ("\nRUN true\nRUN exit 3\n", "parts/broken:3", "exit code: 3"),
        ("RUN true\nRUNN true\n", "parts/broken:2", "RUN"),
        ("RUN true\n\n\nENV\n", "parts/broken:4", "ENV"),
        ("RUN true \\\n  && exit 4\n", "parts/broken:1", "exit code: 4"),
        ("COPY --nonsense=1 a b\n", "parts/broken:1", "nonsense"),
        ("RUN true\nFROM busybox\n", "parts/broken:2", "begins a stage"),
    ] {
        box_.write("parts/broken", content);
        let output = box_.run("build -t i .").fails(1).says(line).says(said);
        let shown = content.lines().find(|it| !it.is_empty() && *it != "RUN true").unwrap_or_default();
        assert!(output.stderr.contains(shown), "the excerpt shows `{shown}`\n{output}");
    }
}

#[test]
fn files_that_include_each_other_are_all_named() {
    let box_ = sandbox();
    box_.write("Dockerfile", "FROM busybox\nINCLUDE a\n");
    box_.write("a", "RUN true\nINCLUDE b\n");
    box_.write("b", "\n\nINCLUDE a\n");
    box_.refuses(
        1,
        &["build", "-t", "i", "."],
        &["INCLUDE leads back to itself: Dockerfile:2 -> a:2 -> b:3", "b:3"],
    );
    box_.write("a", "INCLUDE a\n");
    box_.refuses(1, &["build", "-t", "i", "."], &["INCLUDE leads back to itself: Dockerfile:2 -> a:1"]);
    for number in 0..20 {
        box_.write(&format!("n{number}"), format!("INCLUDE n{}\n", number + 1));
    }
    box_.write("Dockerfile", "FROM busybox\nINCLUDE n0\n");
    box_.refuses(1, &["build", "-t", "i", "."], &["INCLUDE is nested more than 16 deep", "n14:1 -> n15:1"]);
}

#[test]
fn what_cannot_be_included_is_said() {
    let box_ = sandbox();
    box_.write("Dockerfile", "FROM busybox\nINCLUDE gone\n");
    let build = ["build", "-t", "i", "."];
    box_.refuses(1, &build, &["Dockerfile:2", "there is no file gone", ".dockerignore"]);
    box_.write("gone", "RUN true\n");
    box_.write(".dockerignore", "gone\n");
    box_.refuses(1, &build, &["Dockerfile:2", "there is no file gone"]);
    std::fs::remove_file(box_.dir().join(".dockerignore")).unwrap();
    let box_ = box_.with_example("", "include", "instruction", "grants = { ops = [\"expand\"] }");
    box_.refuses(1, &build, &["Dockerfile:2", "include", "[plugin.include]", "grants.read"]);
}
