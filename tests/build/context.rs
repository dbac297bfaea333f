//! The build context: which Dockerfile, and what `.dockerignore` leaves out.

use crate::harness::Sandbox;

const LIST: &str = "FROM busybox\nCOPY . /c\nRUN cd /c && find . -type f | sort > /list\n";

#[test]
fn copy_of_everything_takes_the_dockerfile_too() {
    let box_ = Sandbox::new();
    box_.write("file", "");
    box_.build("c", LIST);
    assert_eq!(box_.in_image("c", "cat /list"), "./Dockerfile\n./file\n");
}

#[test]
fn dockerignore_leaves_files_out_and_the_last_match_wins() {
    let box_ = Sandbox::new();
    for path in [
        "a.log",
        "keep.log",
        "deep/b.log",
        "node_modules/x",
        "sub/node_modules/y",
        "src/main.rs",
        "src/tmp/z",
    ] {
        box_.write(path, path);
    }
    box_.write(
        ".dockerignore",
        "# a comment\n**/*.log\n!keep.log\nnode_modules\nsrc/*\n!src/main.rs\nDockerfile\n.dockerignore\n",
    );
    box_.build("c", LIST);
    assert_eq!(box_.in_image("c", "cat /list"), "./keep.log\n./src/main.rs\n./sub/node_modules/y\n");
}

#[test]
fn an_ignored_file_is_not_found() {
    let box_ = Sandbox::new();
    box_.write("secret", "");
    box_.write(".dockerignore", "secret\n");
    box_.write("Dockerfile", "FROM busybox\nCOPY secret /\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", "secret"]);
}

#[test]
fn a_dockerfile_of_another_name_has_its_own_ignore_file() {
    let box_ = Sandbox::new();
    box_.write("other/My.Dockerfile", LIST);
    box_.write("other/My.Dockerfile.dockerignore", "left-out\n");
    box_.write("context/.dockerignore", "kept\n");
    box_.write("context/left-out", "");
    box_.write("context/kept", "");
    box_.run("build -f other/My.Dockerfile -t c context").success();
    assert_eq!(box_.in_image("c", "cat /list"), "./.dockerignore\n./kept\n");
}

#[test]
fn containerignore_counts_before_dockerignore() {
    let box_ = Sandbox::new();
    box_.write("a", "");
    box_.write("b", "");
    box_.write(".dockerignore", "a\n.*\nDockerfile*\n");
    box_.write(".containerignore", "b\n.*\nDockerfile*\n");
    box_.build("c", LIST);
    assert_eq!(box_.in_image("c", "cat /list"), "./a\n");
    box_.write("Dockerfile.containerignore", "a\nb\n.*\nDockerfile\n");
    box_.build("c", LIST);
    assert_eq!(box_.in_image("c", "cat /list"), "./Dockerfile.containerignore\n");
    box_.write("Dockerfile", "FROM busybox\nCOPY a /\n");
    box_.run("build --check .").fails(1).line_with("excluded by Dockerfile.containerignore");
}
