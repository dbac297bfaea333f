//! A build that is ended at a bad moment, by Ctrl-C or by `kill -9`: in a large COPY, while the layer of a
//! RUN is written, while a layer of a cache or a base image comes from a registry, while its context comes
//! or its result goes. Nothing of it
//! is left, nothing stays locked, and the next one goes. In the middle of a RUN: `interrupt.rs`.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::share::two;
use crate::harness::{Proxy, Registry, Sandbox};

/// A stage that holds a cache mount for itself, whatever the rest of the build does meanwhile.
pub(super) const HOLDER: &str = "FROM busybox AS holder\n\
    RUN --network=none --mount=type=cache,id=held,target=/c,sharing=locked touch /c/now; sleep 600\n";
/// A step that is over once the cache mount is held.
pub(super) const AFTER: &str =
    "RUN --network=none --mount=type=cache,id=held,target=/c until [ -e /c/now ]; do sleep 0.05; done\n";
/// Another build that wants the cache mount for itself.
pub(super) const NEXT: &str = "FROM busybox\n\
    RUN --network=none --mount=type=cache,id=held,target=/c,sharing=locked rm -f /c/now && echo went > /next\n";

const BIG: usize = 200 << 20;
/// Bytes after which a line falls silent.
const SOME: u64 = 2_000_000;

/// How often something of this name that holds bytes is below a directory.
fn files_called(name: &str, below: &Path) -> usize {
    let entries = fs::read_dir(below).into_iter().flatten().flatten();
    let count = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => files_called(name, &entry.path()),
        Ok(metadata) => usize::from(entry.file_name() == name && metadata.len() > 0),
        Err(_) => 0,
    };
    entries.map(count).sum()
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What a build makes before a record knows it.
fn unfinished(root: &Path) -> Vec<String> {
    let drivers = names_in(&root.join("storage"));
    let trees = drivers.iter().map(|driver| format!("storage/{driver}/container"));
    let places = trees.chain(["claims", "tmp", "blobs/incoming"].map(str::to_owned));
    places
        .flat_map(|place| names_in(&root.join(&place)).into_iter().map(move |name| format!("{place}/{name}")))
        .collect()
}

/// Waits for the moment.
#[track_caller]
fn wait_for(moment: &dyn Fn(&Child) -> bool, build: &mut Child) {
    let end = Instant::now() + Duration::from_secs(60);
    while !moment(build) {
        assert!(build.try_wait().unwrap().is_none(), "the build ended before the moment came");
        assert!(Instant::now() < end, "the moment does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Types a command, ends it at the moment, by Ctrl-C, `kill` and `kill -9`, and looks each time at what is left.
/// `begin` comes once it was started, `heal` once it is over.
#[track_caller]
fn ends_well(
    box_: &Sandbox,
    line: &[&str],
    begin: &dyn Fn(&mut Child),
    moment: &dyn Fn(&Child) -> bool,
    heal: &dyn Fn(),
) {
    box_.write("next/Dockerfile", NEXT);
    for (how, code) in [(Signal::INT, Some(130)), (Signal::TERM, Some(143)), (Signal::KILL, None)] {
        box_.run("builder prune -af").success();
        box_.run("build -t next next").success();
        let before = box_.traces();
        let mut command = box_.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut build = command.spawn().unwrap();
        begin(&mut build);
        wait_for(moment, &mut build);
        let at = Instant::now();
        kill_process(Pid::from_child(&build), how).unwrap();
        let input = build.stdin.take();
        assert_eq!(build.wait().unwrap().code(), code);
        assert!(at.elapsed() < Duration::from_secs(10), "it took {:?} to end", at.elapsed());
        drop(input);
        heal();
        if how != Signal::KILL {
            assert_eq!(unfinished(box_.root()), Vec::<String>::new());
        }
        box_.run("images -q x").success().prints("");
        // What is left of one that was killed goes when room is made, and so do the parts of a download.
        box_.run("system prune -f").success();
        assert_eq!(unfinished(box_.root()), Vec::<String>::new());
        box_.run("build --no-cache -t next next").success();
        box_.left_nothing_since(&before);
    }
    box_.run("builder prune -af").success();
}

/// Whether the process itself has such a file open; links of `/proc` say where files were opened.
fn has_open(process: &Child, is_such: &dyn Fn(&Path, u64) -> bool) -> bool {
    let handles = Path::new("/proc").join(process.id().to_string()).join("fd");
    names_in(&handles).iter().map(|number| handles.join(number)).any(|handle| {
        let (path, file) = (fs::read_link(&handle), fs::metadata(&handle));
        path.is_ok_and(|path| file.is_ok_and(|file| file.is_file() && is_such(&path, file.len())))
    })
}

fn is_held(box_: &Sandbox) -> bool {
    let mounts = box_.root().join("cache-mounts");
    names_in(&mounts).iter().any(|name| mounts.join(name).join("now").exists())
}

#[test]
fn in_a_large_copy() {
    let box_ = Sandbox::new();
    box_.write("ctx/big", vec![0; BIG]);
    let rest = format!("FROM busybox\n{AFTER}COPY big /big\nCOPY --from=holder /x /x\n");
    box_.write("ctx/Dockerfile", format!("{HOLDER}{rest}"));
    let storage = box_.root().join("storage/overlay/container");
    let moment = |_: &Child| is_held(&box_) && files_called("big", &storage) > 0;
    ends_well(&box_, &["build", "-t", "x", "ctx"], &|_| {}, &moment, &|| {});
    box_.write("ctx/Dockerfile", "FROM busybox\nCOPY big /big\n");
    box_.run("build -t x ctx").success();
    assert_eq!(box_.in_image("x", "wc -c < /big"), format!("{BIG}\n"));
}

#[test]
fn while_the_layer_of_a_run_is_written() {
    let box_ = Sandbox::new();
    let step = format!("RUN --network=none head -c {BIG} /dev/zero > /big\n");
    box_.write("ctx/Dockerfile", format!("{HOLDER}FROM busybox\n{AFTER}{step}COPY --from=holder /x /x\n"));
    // The program of the step writes in a process of its own: when that is over, the build reads.
    let is_big = |path: &Path, length| path.ends_with("big") && length == BIG as u64;
    let moment = |build: &Child| is_held(&box_) && has_open(build, &is_big);
    ends_well(&box_, &["build", "-t", "x", "ctx"], &|_| {}, &moment, &|| {});
    box_.write("ctx/Dockerfile", format!("FROM busybox\n{step}"));
    box_.run("build -t x ctx").success();
    assert_eq!(box_.in_image("x", "wc -c < /big"), format!("{BIG}\n"));
}

/// The first download makes the directory for the parts of downloads, and it stays.
fn parts_have_a_place(box_: &Sandbox) {
    fs::create_dir_all(box_.root().join("blobs/partial")).unwrap();
}

const STEP: &str = "FROM busybox AS tools\nRUN head -c 6000000 /dev/urandom > /big\n";

#[test]
fn while_a_layer_of_a_cache_comes_from_a_registry() {
    let Some(registry) = Registry::start() else { return };
    let proxy = Proxy::to(registry.port());
    let (one, other) = two();
    one.write("ctx/Dockerfile", STEP);
    let cache = format!("type=registry,ref={}", proxy.name("cache"));
    one.run(&format!("build --cache-to {cache},mode=max ctx")).success();
    parts_have_a_place(&other);
    let rest = format!("FROM busybox\n{AFTER}COPY --from=tools /big /big\n");
    other.write("ctx/Dockerfile", format!("{HOLDER}{STEP}{rest}COPY --from=holder /x /x\n"));
    let line = ["build", "-t", "x", "--cache-from", &cache, "ctx"];
    let begun = Cell::new(0);
    let begin = |_: &mut Child| {
        begun.set(proxy.passed());
        proxy.hold_after(SOME);
    };
    let moment = |_: &Child| is_held(&other) && proxy.passed() >= begun.get() + SOME;
    ends_well(&other, &line, &begin, &moment, &|| proxy.heal());
    other.write("ctx/Dockerfile", format!("{STEP}FROM busybox\nCOPY --from=tools /big /big\n"));
    other.run(&format!("build -t x --cache-from {cache} ctx")).success().says("CACHED");
    assert_eq!(other.in_image("x", "wc -c < /big"), "6000000\n");
}

#[test]
fn while_a_base_image_is_pulled() {
    let Some(registry) = Registry::start() else { return };
    let proxy = Proxy::to(registry.port());
    let (one, other) = two();
    one.write("ctx/Dockerfile", STEP);
    let name = proxy.name("base:v1");
    one.run(&format!("build -t {name} ctx")).success();
    one.run(&format!("push {name}")).success();
    parts_have_a_place(&other);
    other.set("WHARF_PULL", "missing");
    other.write("ctx/Dockerfile", format!("FROM {name}\nRUN wc -c < /big > /length\n"));
    let begun = Cell::new(0);
    let begin = |_: &mut Child| {
        begun.set(proxy.passed());
        proxy.hold_after(SOME);
    };
    let moment = |_: &Child| proxy.passed() >= begun.get() + SOME;
    ends_well(&other, &["build", "-t", "x", "ctx"], &begin, &moment, &|| proxy.heal());
    other.run("build -t x ctx").success();
    assert_eq!(other.in_image("x", "cat /length"), "6000000\n");
}

#[test]
fn while_the_result_goes_to_a_tar() {
    let box_ = Sandbox::new();
    box_.write("ctx/big", vec![0; BIG]);
    box_.write("ctx/Dockerfile", "FROM busybox\nCOPY big /big\n");
    fs::create_dir(box_.dir().join("given")).unwrap();
    let given = box_.dir().join("given").canonicalize().unwrap();
    for form in ["tar", "oci"] {
        let output = format!("type={form},dest=given/out.tar");
        let goes = |path: &Path, length| path.starts_with(&given) && length > 1 << 20;
        let moment = |build: &Child| has_open(build, &goes);
        let nothing = || assert_eq!(names_in(&given), Vec::<String>::new());
        ends_well(&box_, &["build", "-o", &output, "ctx"], &|_| {}, &moment, &nothing);
    }
    box_.run("build -o type=tar,dest=given/out.tar ctx").success();
    assert_eq!(names_in(&given), ["out.tar"]);
}

#[test]
fn while_the_context_comes() {
    let box_ = Sandbox::new();
    let mut context = tar::Builder::new(Vec::new());
    for (name, bytes) in [("Dockerfile", b"FROM busybox\nCOPY big /\n".to_vec()), ("big", vec![7; 3_000_000])]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        context.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let context = context.into_inner().unwrap();
    // Half of it, and then the pipe stays open.
    let half = |build: &mut Child| {
        build.stdin.as_mut().unwrap().write_all(&context[..context.len() / 2]).unwrap();
    };
    let tmp = box_.root().join("tmp");
    let moment = |_: &Child| files_called("big", &tmp) > 0;
    ends_well(&box_, &["build", "-t", "x", "-"], &half, &moment, &|| {});
    box_.wharf_with(["build", "-t", "x", "-"], &context).success();
}
