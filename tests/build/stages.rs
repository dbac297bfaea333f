//! Builds of several stages.

use crate::harness::Sandbox;

const STAGES: &str = "FROM busybox AS builder\nRUN echo made > /made\n\
                      FROM busybox AS other\nRUN echo unused && false\n\
                      FROM scratch\nCOPY --from=builder /made /result\nCOPY --from=busybox /bin/busybox /bin/cat\n\
                      CMD [\"/bin/cat\", \"/result\"]\n";

#[test]
fn copy_takes_files_of_a_stage_and_of_an_image() {
    let box_ = Sandbox::new();
    box_.build("s", STAGES).without("unused");
    box_.run("run --rm --network none s").success().prints("made\n");
}

#[test]
fn target_builds_one_stage() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", STAGES);
    box_.run("build --target builder -t b .").success();
    assert_eq!(box_.in_image("b", "cat /made"), "made\n");
    box_.run("build --target other -t o .").fails(1).says("Dockerfile:4").says("exit code: 1");
    for (target, hint) in [
        ("nowhere", "the stages are builder, other"),
        ("bulider", "did you mean builder?"),
        ("3", "the stages are builder, other"),
    ] {
        let words = [&format!("target stage \"{target}\" could not be found"), hint];
        box_.refuses(1, &["build", "--target", target, "-t", "x", "."], &words);
    }
    box_.write("Dockerfile", "FROM busybox\n");
    box_.refuses(1, &["build", "--target", "x", "."], &["no stage has a name"]);
    // As scripts write it whose variable is empty; and quiet progress is --quiet.
    let built = box_.wharf(["build", "--target", "", "--progress=quiet", "."]).success();
    assert_eq!((built.line(), built.stderr.as_str()), (box_.run("build -q .").success().line(), ""));
}

#[test]
fn what_is_wrong_in_a_stage_that_nobody_needs_is_no_error() {
    let box_ = Sandbox::new();
    let unused = "FROM no-such-image AS unused\nCOPY missing /\nRUN --mount=from=nowhere,target=/x false\n";
    box_.build("u", &format!("{unused}FROM busybox\nRUN true\n"));
    box_.write("Dockerfile", format!("{unused}FROM busybox\nCOPY --from=unused /x /\n"));
    box_.refuses(1, &["build", "."], &["Dockerfile:1", "no-such-image"]);
    // What is no Dockerfile is an error anywhere.
    box_.write("Dockerfile", "FROM busybox AS unused\nNOPE\nFROM busybox\n");
    box_.refuses(1, &["build", "."], &["Dockerfile:2", "unknown instruction: NOPE"]);
}

#[test]
fn a_trigger_may_need_a_stage_that_nothing_else_needs() {
    let box_ = Sandbox::new();
    box_.build("parent", "FROM busybox\nONBUILD COPY --from=tools /tool /tool\nONBUILD ENV T=1\n");
    box_.build(
        "child",
        "FROM busybox AS tools\nRUN echo made > /tool\nFROM parent\nRUN cat /tool && test $T = 1\n",
    )
    .says(" made");
    box_.build("typo", "FROM busybox\nONBUILD RNU true\n");
    box_.write("Dockerfile", "FROM typo\n");
    box_.refuses(1, &["build", "."], &["Dockerfile:1", "unknown instruction: RNU", "did you mean RUN?"]);
    for line in ["ONBUILD ONBUILD RUN x", "ONBUILD FROM x", "ONBUILD MAINTAINER x"] {
        box_.write("Dockerfile", format!("FROM busybox\n{line}\n"));
        box_.refuses(1, &["build", "."], &["Dockerfile:2", "allowed"]);
    }
}

#[test]
fn a_stage_can_begin_with_another() {
    let box_ = Sandbox::new();
    box_.build("s", "FROM busybox AS base\nENV FROM_BASE=1\nRUN echo one > /x\nFROM base\nRUN echo two $FROM_BASE >> /x\n");
    assert_eq!(box_.in_image("s", "cat /x; echo $FROM_BASE"), "one\ntwo 1\n1\n");
}

#[test]
fn onbuild_triggers_run_in_the_child_and_not_in_the_grandchild() {
    let box_ = Sandbox::new();
    box_.build("parent", "FROM busybox\nONBUILD RUN echo triggered > /t\n");
    box_.build("child", "FROM parent\n");
    assert_eq!(box_.in_image("child", "cat /t"), "triggered\n");
    box_.build("grandchild", "FROM child\nRUN rm /t\nRUN test ! -e /t\n").without("triggered");
}
