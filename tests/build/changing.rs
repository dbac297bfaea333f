//! Contexts that change while a build reads them: files that vanish, shrink or become something else after
//! they were planned for, after they were hashed, while they are copied. The build fails and says which
//! file it was, or takes what is there; a later build never takes it for something else.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, SystemTime};

use crate::harness::{Sandbox, eventually, host};

/// Waits, when everything is planned and nothing is read yet, until the test has changed something.
const GATE: &str = "FROM busybox\nRUN --network=none --mount=type=cache,id=gate,target=/g touch /g/now; \
    until [ -e /g/go ]; do sleep 0.05; done; rm /g/go /g/now\n";
const BIG: usize = 200 << 20;

fn gate(box_: &Sandbox) -> PathBuf {
    let mounts = box_.root().join("cache-mounts");
    fs::read_dir(mounts).unwrap().next().unwrap().unwrap().path()
}

fn start(box_: &Sandbox) -> Child {
    let mut command = box_.command(["build", "--no-cache", "-t", "x", "."]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What came of a build that was started.
fn ended(build: Child) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = build.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_source_that_vanishes_before_it_is_read_is_named() {
    let box_ = Sandbox::new();
    box_.build("gate", "FROM busybox\nRUN --mount=type=cache,id=gate,target=/g true\n");
    let gate = gate(&box_);
    for (copy, gone, said) in [
        ("COPY file /x", "file", &["\"/file\"", "not found"][..]),
        ("COPY d /x", "d", &["\"/d\"", "not found"]),
        ("COPY d/inner other /x/", "d/inner", &["\"/d/inner\"", "not found"]),
        ("COPY d/inner/deep.txt /x/", "d", &["\"/d/inner/deep.txt\"", "not found"]),
        ("ADD archive.tar /x/", "archive.tar", &["\"/archive.tar\"", "not found"]),
        ("COPY --parents d/inner/deep.txt /x/", "d/inner", &["\"/d/inner/deep.txt\"", "not found"]),
        ("RUN --mount=type=bind,source=d,target=/s cat /s/inner/deep.txt", "d", &["\"/d\"", "not found"]),
    ] {
        for path in ["file", "other", "d/inner/deep.txt", "archive.tar"] {
            box_.write(path, "x");
        }
        box_.write("Dockerfile", format!("{GATE}{copy}\n"));
        let before = box_.traces();
        let build = start(&box_);
        eventually("the build waits", || gate.join("now").exists());
        let gone = box_.dir().join(gone);
        if gone.is_dir() { fs::remove_dir_all(gone) } else { fs::remove_file(gone) }.unwrap();
        fs::write(gate.join("go"), "").unwrap();
        let (code, words) = ended(build);
        assert_eq!(code, Some(1), "{copy}: {words}");
        for said in ["Dockerfile:3"].iter().chain(said) {
            assert!(words.contains(said), "{copy}: no {said:?} in\n{words}");
        }
        box_.left_nothing_since(&before);
    }
}

/// Waits until a file is in the tree that the build makes.
#[track_caller]
fn being_copied(root: &Path, name: &str, build: &mut Child) {
    let trees = root.join("storage/overlay/container");
    while !is_below(&trees, name) {
        assert!(build.try_wait().unwrap().is_none(), "the build ended before it copied {name}");
    }
}

fn is_below(directory: &Path, name: &str) -> bool {
    fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir { is_below(&entry.path(), name) } else { entry.file_name() == name }
    })
}

/// Does something to the context of `COPY d /d` while the large file in it is copied.
#[track_caller]
fn change_while_copied(box_: &Sandbox, change: impl Fn(&Path)) {
    box_.write("d/a-big", vec![1; BIG]);
    box_.write("d/last", "last");
    box_.write("Dockerfile", "FROM busybox\nCOPY d /d\n");
    let before = box_.traces();
    let mut build = start(box_);
    being_copied(box_.root(), "a-big", &mut build);
    change(&box_.dir().join("d"));
    let (code, words) = ended(build);
    if code == Some(0) {
        // Whatever was taken is what the layer's digest says: the tar is made again and held against it.
        box_.run("save -o saved.tar x").success();
        fs::remove_file(box_.dir().join("saved.tar")).unwrap();
    } else {
        let is_named = words.contains("Dockerfile:2") && words.contains("d/");
        assert!(code == Some(1) && is_named, "{code:?} {words}");
        box_.left_nothing_since(&before);
    }
}

/// Now the context holds still, and what is there is what comes, not what an earlier build saw there.
#[track_caller]
fn comes_as_it_is(box_: &Sandbox) {
    box_.run("build -t x .").success();
    let here = host(&["sh", "-c", "cd \"$0\" && sha256sum *", box_.dir().join("d").to_str().unwrap()]);
    assert_eq!(box_.in_image("x", "cd /d && sha256sum *"), here);
}

#[test]
fn a_file_that_vanishes_while_others_are_copied_is_named_or_left_out() {
    let box_ = Sandbox::new();
    change_while_copied(&box_, |d| fs::remove_file(d.join("last")).unwrap());
    comes_as_it_is(&box_);
}

#[test]
fn a_file_that_becomes_another_thing_while_others_are_copied_spoils_nothing() {
    let box_ = Sandbox::new();
    let last = box_.dir().join("d/last");
    change_while_copied(&box_, |_| {
        fs::remove_file(&last).unwrap();
        std::os::unix::fs::symlink("a-big", &last).unwrap();
    });
    comes_as_it_is(&box_);
    assert_eq!(box_.in_image("x", "readlink /d/last"), "a-big\n");
    fs::remove_file(&last).unwrap();
    // Nobody writes to the pipe: a build that opened it as a file would wait for ever.
    change_while_copied(&box_, |_| {
        fs::remove_file(&last).unwrap();
        host(&["mkfifo", last.to_str().unwrap()]);
    });
    box_.run("build -t x .").success();
    assert_eq!(box_.in_image("x", "test -p /d/last && echo pipe"), "pipe\n");
    fs::remove_file(&last).unwrap();
    fs::write(&last, "last").unwrap();
    comes_as_it_is(&box_);
}

#[test]
fn a_file_that_shrinks_grows_or_is_written_over_while_it_is_copied_spoils_nothing() {
    let box_ = Sandbox::new();
    let file = |d: &Path| fs::File::options().read(true).write(true).open(d.join("a-big")).unwrap();
    change_while_copied(&box_, |d| file(d).set_len(5).unwrap());
    comes_as_it_is(&box_);
    let end = BIG as u64;
    change_while_copied(&box_, |d| file(d).write_all_at(&[2; 1000], end).unwrap());
    comes_as_it_is(&box_);
    // Of the same length, at both ends.
    change_while_copied(&box_, |d| {
        [0, end - 1].iter().for_each(|at| file(d).write_all_at(&[3], *at).unwrap());
    });
    comes_as_it_is(&box_);
}

/// Nothing but the content tells the two apart, as far as a program can make it so: the length is the same,
/// the times are set back, and it is done as soon as a build is over.
#[test]
fn a_file_that_changes_right_after_a_build_is_a_changed_file() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nCOPY d /d\n");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for text in ["one", "two", "six", "ten", "one"] {
        let file = box_.write("d/file", text);
        fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
        comes_as_it_is(&box_);
    }
    box_.run("build .").success().says("CACHED");
}
