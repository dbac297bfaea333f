//! Builds that can not go on say what to do next.

use crate::harness::Sandbox;

#[test]
fn a_dockerfile_that_is_not_there_may_be_called_otherwise() {
    let box_ = Sandbox::new();
    for (file, line, hint) in [
        ("a/Containerfile", "build a", "did you mean `-f a/Containerfile`?"),
        ("b/Dockerfile.prod", "build b", "did you mean `-f b/Dockerfile.prod`?"),
        ("c/DockerFile", "build c", "did you mean `-f c/DockerFile`?"),
        ("d/Dockerfile.prod", "build -f d/Dockerfile.prdo d", "did you mean `-f d/Dockerfile.prod`?"),
        ("e/Other", "build -f Other e", "did you mean `-f e/Other`?"),
        ("f/main.c", "build f", "is named with `-f FILE`"),
        ("g/Dockerfile.dockerignore", "build g", "is named with `-f FILE`"),
    ] {
        box_.write(file, "FROM busybox\n");
        let words: Vec<&str> = line.split(' ').collect();
        box_.refuses(1, &words, &["failed to read dockerfile", hint]);
    }
}

#[test]
fn a_program_that_is_not_there_is_told_from_a_shell_that_is_not() {
    let box_ = Sandbox::new();
    box_.write("script", "#!/none\n");
    for (text, line, words) in [
        ("FROM scratch\nRUN echo x\n", 2, ["cannot run", "the stage has no /bin/sh, as one on `scratch`"]),
        ("FROM busybox\nRUN nopro x\n", 2, ["exit code: 127", "127 says that a program was not found"]),
        ("FROM busybox\nRUN [\"nopro\", \"x\"]\n", 2, ["cannot run", "no directory of PATH has `nopro`"]),
        (
            "FROM busybox\nRUN [\"echo x\"]\n",
            2,
            ["cannot run", "each argument is a string of its own: [\"echo\", ...]"],
        ),
        ("FROM busybox\nRUN [\"/nopro\"]\n", 2, ["cannot run", "it is not in the stage"]),
        ("FROM busybox\nCOPY script /s\nRUN [\"/s\"]\n", 3, ["cannot run", "COPY --chmod=755"]),
        (
            "FROM busybox\nCOPY --chmod=755 script /s\nRUN [\"/s\"]\n",
            3,
            ["cannot run", "its first line or its header names"],
        ),
        ("FROM busybox\nRUN <<E\n#!/none\nE\n", 2, ["cannot run", "the script's first line"]),
        ("FROM busybox\nCOPY script /s\nRUN /s\n", 3, ["exit code: 126", "COPY --chmod=755"]),
    ] {
        box_.write("Dockerfile", text);
        box_.run("build .").fails(1).says(&format!("Dockerfile:{line}")).says(words[0]).says(words[1]);
    }
}

#[test]
fn a_line_of_an_ignore_file_that_is_no_pattern_is_named() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\n");
    box_.write(".dockerignore", "# a\nb\nc[\n");
    box_.refuses(1, &["build", "."], &[".dockerignore:3: syntax error in pattern `c[`", "close the `[`"]);
    box_.run("dockerfile lint Dockerfile").fails(1).says(".dockerignore:3").says("close the `[`");
    box_.write(".containerignore", "!\n");
    box_.refuses(1, &["build", "."], &[".containerignore:1:", "what is taken in again"]);
}
