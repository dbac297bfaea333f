//! Builds that run out of room: in a RUN, while files are copied or unpacked, while a context, a base image
//! or a layer of a cache comes, while the result goes. The build says what is full and how to make room,
//! leaves the store, the cache and the names as they were and nothing locked, and goes once there is room.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::ended::{AFTER, HOLDER, NEXT};
use crate::harness::{Proxy, Registry, Sandbox, Small, host};

/// More than is free, in MiB and in bytes.
const BIG: usize = 40 << 20;
const FREE: usize = 24;
const ENOUGH: usize = 150;

const EARLIER: &str = "FROM busybox\nRUN --network=none echo earlier > /earlier\n";

/// A wharf with `busybox` whose root has little room.
struct Cramped {
    box_: Sandbox,
    small: Small,
    /// It holds the turn, and has all the room that there is.
    other: Sandbox,
}

fn cramped() -> Cramped {
    let other = Sandbox::new();
    other.run("save -o busybox.tar busybox").success();
    let small = Small::mount(other.dir().join("small"), ENOUGH);
    let mut box_ = other.beside();
    box_.set_root(small.path().join("root"));
    load_busybox(&box_, &other);
    fs::create_dir_all(box_.root().join("blobs/partial")).unwrap();
    Cramped { box_, small, other }
}

fn load_busybox(box_: &Sandbox, other: &Sandbox) {
    box_.wharf(["load", "-i", other.dir().join("busybox.tar").to_str().unwrap()]).success();
}

/// What no compression makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).take(length / 8).flatten().collect()
}

impl Cramped {
    /// The build fails for want of room, says so, and goes when there is some.
    #[track_caller]
    fn is_told(&self, line: &[&str], stdin: &[u8]) {
        let Self { box_, small, .. } = self;
        box_.build("x", EARLIER);
        box_.write("next/Dockerfile", NEXT);
        box_.run("build -t next next").success();
        let earlier = box_.inspect("x", "{{.Id}}");
        for free in [FREE, 2] {
            small.leave(free);
            let before = box_.traces();
            let output = box_.wharf_with(line, stdin).fails(1);
            let hint = format!("hint:  the file system of {} is full", box_.root().display());
            output.says(&hint).says("wharf system df").says("wharf builder prune");
            box_.left_nothing_since(&before);
            assert_eq!(box_.inspect("x", "{{.Id}}"), earlier, "the name stays where it was");
        }
        small.leave(ENOUGH);
        // Nothing that was there is lost, and nothing is locked.
        box_.build("x", EARLIER).says("CACHED");
        box_.run("build --no-cache -t next next").success();
        box_.wharf_with(line, stdin).success();
        box_.run("rmi -f x next").success();
        box_.run("builder prune -af").success();
    }
}

#[test]
fn in_a_step() {
    let cramped = cramped();
    let box_ = &cramped.box_;
    box_.write("c/big", noise(BIG));
    host(&[
        "tar",
        "-C",
        box_.dir().join("c").to_str().unwrap(),
        "-cf",
        box_.dir().join("c/a.tar").to_str().unwrap(),
        "big",
    ]);
    for step in [
        "RUN --network=none head -c 41943040 /dev/zero > /big",
        "COPY big /big",
        "ADD a.tar /",
        "COPY --link big /x/",
    ] {
        box_.write("c/Dockerfile", format!("FROM busybox\n{step}\n"));
        cramped.is_told(&["build", "-t", "x", "c"], b"");
    }
}

#[test]
fn while_another_stage_holds_a_cache_mount() {
    let Cramped { box_, small, .. } = &cramped();
    box_.write("next/Dockerfile", NEXT);
    box_.write("c/big", noise(BIG));
    let rest = format!("FROM busybox\n{AFTER}COPY big /big\nCOPY --from=holder /x /x\n");
    box_.write("c/Dockerfile", format!("{HOLDER}{rest}"));
    small.leave(FREE);
    let begun = Instant::now();
    box_.run("build -t x c").fails(1).says("No space left on device").says("wharf builder prune");
    box_.run("images -q x").success().prints("");
    box_.run("build -t next next").success();
    assert!(begun.elapsed() < Duration::from_secs(60), "somebody waited for the stage that holds it");
}

#[test]
fn while_a_context_comes() {
    let cramped = cramped();
    let mut context = tar::Builder::new(Vec::new());
    for (name, bytes) in [("Dockerfile", b"FROM busybox\nCOPY big /\n".to_vec()), ("big", noise(BIG))] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        context.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    cramped.is_told(&["build", "-t", "x", "-"], &context.into_inner().unwrap());
}

const STEP: &str = "FROM busybox AS tools\nCOPY big /big\n";

#[test]
fn while_a_layer_comes_from_a_registry() {
    let Some(registry) = Registry::start() else { return };
    let proxy = Proxy::to(registry.port());
    let cramped = cramped();
    let (box_, other) = (&cramped.box_, &cramped.other);
    let name = proxy.name("base:v1");
    let cache = format!("type=registry,ref={}", proxy.name("cache"));
    other.write("ctx/big", noise(BIG));
    other.write("ctx/Dockerfile", STEP);
    other.run(&format!("build -t {name} --cache-to {cache},mode=max ctx")).success();
    other.run(&format!("push {name}")).success();

    box_.write("ctx/big", noise(BIG));
    box_.write("ctx/Dockerfile", format!("{STEP}FROM busybox\nCOPY --from=tools /big /big\n"));
    cramped.is_told(&["build", "-t", "x", "--cache-from", &cache, "ctx"], b"");

    box_.set("WHARF_PULL", "missing");
    box_.write("base/Dockerfile", format!("FROM {name}\nRUN --network=none wc -c /big\n"));
    cramped.is_told(&["build", "-t", "x", "base"], b"");
}

#[test]
fn while_the_result_goes() {
    let cramped = cramped();
    let (other, small) = (&cramped.other, &cramped.small);
    fs::remove_dir_all(cramped.box_.root()).unwrap();
    other.write("ctx/big", noise(BIG));
    other.write("ctx/Dockerfile", "FROM busybox\nCOPY big /big\n");
    other.run("build -t x ctx").success();
    let earlier = other.inspect("x", "{{.Id}}");
    other.write("ctx/more", "more");
    other.write("ctx/Dockerfile", "FROM busybox\nCOPY big more /\n");
    small.leave(FREE);
    let there = small.path().join("there");
    fs::create_dir(&there).unwrap();
    for (option, output) in [
        ("-o", "type=tar,dest=small/there/out.tar"),
        ("-o", "type=oci,dest=small/there/out.tar"),
        ("-o", "type=docker,dest=small/there/out.tar"),
        ("-o", "type=local,dest=small/there/out"),
        ("--cache-to", "type=local,mode=max,dest=small/there/out"),
    ] {
        let failed = other.wharf(["build", "-t", "x", option, output, "ctx"]).fails(1);
        failed.says("no room is left").says("small/there/out").says("another file system");
        assert!(!there.join("out.tar").exists(), "{output}: half an archive is none");
        // A directory holds what there was room for, and what is there is not half of a file.
        let _ = fs::remove_dir_all(there.join("out"));
        assert_eq!(fs::read_dir(&there).unwrap().count(), 0, "{output}");
    }
    small.drop_ballast();
    other.run("build -t x -o type=tar,dest=small/there/out.tar ctx").success();
    assert!(there.join("out.tar").exists());
    assert_eq!(other.inspect("x", "{{.Id}}"), earlier);
    for line in [
        "build -q ctx",
        "build -o - ctx",
        "build -o type=oci ctx",
        "build --explain ctx",
        "build --check ctx",
    ] {
        let mut command = other.command(line.split(' '));
        command.stdin(Stdio::null()).stdout(File::options().write(true).open("/dev/full").unwrap());
        let output = command.output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {words}");
        assert!(words.contains("No space left on device") && !words.contains("panic"), "{line}: {words}");
    }
}

/// Without any room at all, what is there can be used, and removed.
#[test]
fn without_any_room() {
    let Cramped { box_, small, other } = &cramped();
    box_.write("big", noise(30 << 20));
    let dockerfile = format!("{EARLIER}COPY big /big\n");
    for remove in [
        "rmi -f x",
        "rm -f c",
        "volume rm v",
        "volume prune -af",
        "image prune -af",
        "builder prune -af",
        "system prune -af",
    ] {
        box_.build("x", &dockerfile);
        box_.run("volume create v").success();
        box_.run("create --name c x true").success();
        small.leave(0);
        box_.run("build -t x .").success().says("CACHED");
        box_.run("images -q x").success();
        box_.run("system df").success();
        box_.run(remove).success();
        small.leave(ENOUGH);
        box_.run("rm -f c");
        box_.run("volume rm -f v");
        load_busybox(box_, other);
    }
}
