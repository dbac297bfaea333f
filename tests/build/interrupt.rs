//! A build, import or load that ends before its time leaves nothing: no file, mount, link, control
//! group or process.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Sandbox, Traces, eventually};

const BEGINNING: &str = "FROM busybox\nRUN echo first > /first\n";

/// With the first step of the build in the cache, and what is there then.
fn begun() -> (Sandbox, Traces) {
    let box_ = Sandbox::new();
    box_.build("first", BEGINNING);
    let before = box_.traces();
    let step = "RUN head -c 100000 /dev/zero > /half; echo it is running; sleep 600\n";
    box_.write("Dockerfile", format!("{BEGINNING}{step}"));
    (box_, before)
}

fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A build in the middle of its RUN.
fn in_the_middle_of_run(box_: &Sandbox) -> Child {
    let mut build = start(&mut box_.command(["build", "-t", "x", "."]));
    let mut lines = BufReader::new(build.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with(" it is running")), "the build ended early");
    std::thread::spawn(move || lines.for_each(drop));
    build
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// The trees that are being made.
fn trees(root: &Path) -> usize {
    let drivers = fs::read_dir(root.join("storage")).unwrap().flatten();
    let trees = drivers.filter_map(|driver| fs::read_dir(driver.path().join("container")).ok());
    trees.map(Iterator::count).sum()
}

/// Blobs that are not whole yet.
fn incoming(root: &Path) -> usize {
    fs::read_dir(root.join("blobs/incoming")).unwrap().count()
}

#[test]
fn ctrl_c_ends_a_build_and_takes_away_what_it_was_making() {
    let (box_, before) = begun();
    let mut build = box_.terminal("build -t x .");
    build.expect("it is running");
    build.send("\x03");
    assert_eq!(build.wait(), 130, "{}", build.screen());
    build.expect("interrupted");
    box_.left_nothing_since(&before);
}

#[test]
fn a_build_that_is_told_to_end_does_at_once() {
    let (box_, before) = begun();
    for (how, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let mut build = in_the_middle_of_run(&box_);
        assert_eq!(trees(box_.root()), 1);
        signal(&build, how);
        assert_eq!(build.wait().unwrap().code(), Some(code));
        assert_eq!(trees(box_.root()), 0);
        box_.left_nothing_since(&before);
    }
}

#[test]
fn what_was_to_be_ignored_stays_ignored() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN --network=none echo it is running; sleep 1\n");
    let wharf = box_.command(["build", "-t", "x", "."]);
    let mut deaf = Command::new("sh");
    deaf.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(wharf.get_program()).args(wharf.get_args());
    deaf.current_dir(box_.dir()).env_clear();
    deaf.envs(wharf.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut build = start(&mut deaf);
    let mut lines = BufReader::new(build.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with(" it is running")));
    signal(&build, Signal::HUP);
    lines.for_each(drop);
    assert!(build.wait().unwrap().success());
}

#[test]
fn the_next_build_takes_away_what_a_killed_one_left() {
    let (box_, before) = begun();
    let mut build = in_the_middle_of_run(&box_);
    build.kill().unwrap();
    build.wait().unwrap();
    assert_eq!(trees(box_.root()), 1);
    box_.build("first", BEGINNING);
    assert_eq!(trees(box_.root()), 0);
    box_.left_nothing_since(&before);
}

/// A tree that is written to through a mount, a secret, an agent and a cache that is locked.
#[test]
fn mounts_go_with_the_build_that_was_interrupted_or_killed() {
    let box_ = Sandbox::new();
    let socket = box_.dir().join("agent");
    let _agent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    box_.write("token", "wharf-test-hunter2");
    let begun = "FROM busybox AS s\nRUN echo staged > /staged\nFROM busybox\nRUN --mount=from=s,target=/s --mount=type=cache,target=/c,sharing=locked true\n";
    box_.build("first", begun);
    let before = box_.traces();
    let mount = "--mount=from=s,target=/s,rw --mount=type=secret,id=token --mount=type=ssh --mount=target=/w,rw --mount=type=cache,target=/c,sharing=locked";
    let agent = format!("default={}", socket.display());
    let line = ["build", "--secret", "id=token,src=token", "--ssh", &agent, "-t", "x", "."];
    for how in [Signal::INT, Signal::KILL] {
        box_.write(
        "Dockerfile",
        format!(
            "{begun}RUN {mount} touch /s/x /w/x && ls /run/secrets/token && echo it is running; sleep 600\n"
        ),
    );
        let mut build = start(&mut box_.command(line));
        let mut lines = BufReader::new(build.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with(" it is running")), "the build ended early");
        assert_eq!(trees(box_.root()), 2);
        signal(&build, how);
        build.wait().unwrap();
        box_.build("first", begun);
        assert_eq!(trees(box_.root()), 0);
        box_.left_nothing_since(&before);
    }
}

#[test]
fn a_build_that_goes_on_keeps_what_it_is_making() {
    let box_ = Sandbox::new();
    box_.write(
        "slow/Dockerfile",
        "FROM busybox\nRUN --mount=type=cache,target=/c echo it is running; \
         while [ ! -e /c/go ]; do sleep 0.1; done; echo slow > /slow\n",
    );
    let mut slow = start(&mut box_.command(["build", "-t", "slow", "slow"]));
    let mut lines = BufReader::new(slow.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with(" it is running")));
    box_.build("quick", "FROM busybox\nRUN --mount=type=cache,target=/c touch /c/go /quick\n");
    lines.for_each(drop);
    assert!(slow.wait().unwrap().success());
    assert_eq!(box_.in_image("slow", "cat /slow; ls /"), box_.in_image("slow", "echo slow; ls /"));
}

#[test]
fn an_import_that_was_killed_or_interrupted_leaves_nothing() {
    let box_ = Sandbox::new();
    box_.run("save -o saved.tar busybox").success();
    let layer = box_.wharf(["import", "saved.tar", "files"]).success();
    let (before, root) = (box_.traces(), fs::read(box_.dir().join("saved.tar")).unwrap());
    for (how, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let mut import = start(&mut box_.command(["import", "-", "half"]));
        // Half of it, and then the pipe stays open.
        let mut input = import.stdin.take().unwrap();
        input.write_all(&root[..root.len() / 2]).unwrap();
        eventually("a layer is being unpacked", || trees(box_.root()) == 1);
        signal(&import, how);
        assert_eq!(import.wait().unwrap().code(), code);
        drop(input);
    }
    let again = box_.wharf(["import", "saved.tar", "files"]).success();
    assert_eq!(again.stdout, layer.stdout);
    box_.left_nothing_since(&before);
}

#[test]
fn the_next_load_takes_away_what_a_killed_one_left() {
    let box_ = Sandbox::new();
    box_.build("more", "FROM busybox\nRUN head -c 3000000 /dev/urandom > /more\nCOPY Dockerfile /\n");
    box_.run("save -o more.tar more").success();
    let other = box_.beside();
    let archive = box_.dir().join("more.tar");
    let whole = fs::read(&archive).unwrap();
    other.wharf(["load", "-i", archive.to_str().unwrap()]).success();
    other.run("rmi more").success();
    let before = other.traces();
    let mut load = start(&mut other.command(["load"]));
    let mut input = load.stdin.take().unwrap();
    input.write_all(&whole[..whole.len() - 2000]).unwrap();
    eventually("blobs are there", || incoming(other.root()) > 0);
    signal(&load, Signal::KILL);
    load.wait().unwrap();
    drop(input);
    assert!(incoming(other.root()) > 0);
    let name = other.wharf(["load", "-i", archive.to_str().unwrap()]).success();
    name.prints("Loaded image: more:latest\n");
    assert_eq!(incoming(other.root()), 0);
    other.run("rmi more").success();
    other.left_nothing_since(&before);
}
