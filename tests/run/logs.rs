//! `wharf logs`.

use std::process::Stdio;

use crate::harness::{Sandbox, eventually};

#[test]
fn both_streams_are_kept_and_told_apart() {
    let box_ = Sandbox::new();
    box_.wharf(["run", "--network", "none", "--name", "l", "busybox", "sh", "-c", "echo out; echo err >&2"])
        .success();
    let logs = box_.run("logs l").success().prints("out\n");
    assert_eq!(logs.stderr, "err\n");
    let stamped = box_.run("logs -t l").success();
    assert!(stamped.stdout.starts_with("20") && stamped.stdout.ends_with("Z out\n"), "{stamped}");
    box_.run("logs nobody").fails(1).says("No such container: nobody");
}

#[test]
fn tail_since_and_until_choose_lines() {
    let box_ = Sandbox::new();
    box_.wharf([
        "run",
        "--network",
        "none",
        "--name",
        "l",
        "busybox",
        "sh",
        "-c",
        "for i in 1 2 3 4; do echo $i; done",
    ])
    .success();
    box_.run("logs --tail 2 l").success().prints("3\n4\n");
    box_.run("logs --tail 0 l").success().prints("");
    box_.run("logs --since 10m l").success().prints("1\n2\n3\n4\n");
    box_.run("logs --until 10m l").success().prints("");
}

#[test]
fn follow_goes_on_until_the_end() {
    let box_ = Sandbox::new();
    let script = "for i in 1 2 3; do echo line $i; sleep 0.2; done";
    box_.wharf(["run", "-d", "--network", "none", "--name", "f", "busybox", "sh", "-c", script]).success();
    box_.run("logs -f f").success().prints("line 1\nline 2\nline 3\n");
    box_.run("run -d --network none --name g busybox sleep 60").success();
    let mut command = box_.command(["logs", "-f", "g"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    box_.run("stop -t 0 g").success();
    let mut child = child;
    eventually("following ends with the container", || child.try_wait().unwrap().is_some());
}

#[test]
fn long_lines_come_back_whole() {
    let box_ = Sandbox::new();
    box_.wharf([
        "run",
        "--network",
        "none",
        "--name",
        "l",
        "busybox",
        "sh",
        "-c",
        "head -c 100000 /dev/zero | tr '\\0' x; echo",
    ])
    .success();
    let logs = box_.run("logs l").success();
    assert_eq!(logs.line().len(), 100_000);
}
