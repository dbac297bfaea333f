//! `RUN --mount`: binds, caches and memory, and what they leave, which is nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::harness::{Output, Sandbox, eventually};

#[test]
fn files_of_a_stage_and_of_an_image_are_mounted_as_they_are() {
    let box_ = Sandbox::new();
    box_.build("tools", "FROM busybox\nRUN mkdir -p /opt/t && printf '#!/bin/sh\\necho ran\\n' > /opt/t/run && chmod 4755 /opt/t/run && ln -s t /opt/link\n");
    let built = box_.build(
        "x",
        "FROM busybox AS made\nRUN mkdir /out && echo made > /out/file && ln -s /etc /out/away\n\
         FROM busybox\n\
         RUN --mount=from=tools,source=/opt/t,target=/t --mount=from=made,target=/m \
         /t/run && stat -c '%a' /t/run && cat /m/out/file && wc -l < /m/out/away/passwd && (echo x > /t/new || echo refused; echo x > /m/new || echo refused too)\n\
         RUN --mount=from=tools,source=/opt/link/run,target=/one /one\n\
         RUN --mount=from=made,source=/out,target=/m,rw echo more > /m/more && cat /m/file /m/more && rm /m/file\n\
         RUN --mount=from=made,source=/out,target=/m,rw ls /m; grep ' /m ' /proc/mounts\n\
         RUN ls -d /t /m /one || true\n",
    );
    let built =
        built.says(" ran").says(" 4755").says(" made").says(" refused").says(" refused too").says(" more");
    let built = built.says(" away\n").says("/m overlay rw").says("/t: No such").says("/one: No such");
    assert_eq!(built.stderr.matches(" more\n").count(), 1, "the second RUN does not see it: {built}");
}

/// Builds a text as `x`; it has to succeed, and runs all of its steps.
#[track_caller]
fn run(box_: &Sandbox, text: &str) -> Output {
    box_.write("Dockerfile", text);
    box_.run("build --no-cache -t x .").success()
}

/// The path is looked up inside of what it is a path of (CVE-2024-23651's kin): a link never leads out.
#[test]
fn a_source_that_leads_out_of_a_stage_stays_in_it() {
    let box_ = Sandbox::new();
    let secret = box_.write("outside/secret", "the host's");
    let host = secret.parent().unwrap().display().to_string();
    box_.write(
        "Dockerfile",
        format!(
            "FROM busybox AS evil\nRUN ln -s ../../../../../../..{host} /out && ln -s {host}/secret /file\n\
             FROM busybox\nRUN --mount=from=evil,source=/out,target=/m cat /m/secret\n"
        ),
    );
    box_.run("build -t x .").fails(1).without("the host's");
    let text = box_.read("Dockerfile").replace("source=/out,", "source=/file,");
    box_.write("Dockerfile", text);
    box_.run("build -t x .").fails(1).without("the host's");
    box_.write("Dockerfile", "FROM busybox\nRUN --mount=from=busybox,source=/absent,target=/m true\n");
    box_.run("build -t x .").fails(1).says("Dockerfile:2").says("\"/absent\": not found");
}

#[test]
fn a_bind_of_the_context_leaves_out_what_is_ignored_and_keeps_nothing() {
    let box_ = Sandbox::new();
    box_.write("src/a", "one\n");
    box_.write("src/b", "two\n");
    box_.write(".dockerignore", "src/b\n");
    let text = "FROM busybox\nRUN --mount=target=/w,rw ls /w/src; echo new > /w/src/c; cat /w/src/c\n\
                RUN --mount=source=src,target=/w ls /w; echo new > /w/c || echo refused\n";
    let built = box_.build("x", text).says(" a\n").says(" new").says(" refused");
    built.without(" b\n");
    assert!(!box_.dir().join("src/c").exists());
    box_.build("x", text).without("DONE");
    box_.write("src/b", "ignored anyway\n");
    box_.build("x", text).without("DONE");
    box_.write("src/a", "changed\n");
    box_.build("x", text).says("DONE");
}

#[test]
fn a_step_is_run_again_only_when_what_it_mounts_has_changed() {
    let box_ = Sandbox::new();
    let text = |used: &str, other: &str| {
        format!(
            "FROM busybox AS s\nRUN mkdir /u /o && echo {used} > /u/f && echo {other} > /o/f\n\
             FROM busybox\nRUN --mount=from=s,source=/u,target=/u cat /u/f > /seen\n"
        )
    };
    box_.build("x", &text("1", "1")).says("DONE");
    let again = box_.build("x", &text("1", "2"));
    assert_eq!(again.stderr.matches("DONE").count(), 1, "the stage's own step only\n{again}");
    box_.build("x", &text("2", "2"));
    assert_eq!(box_.in_image("x", "cat /seen"), "2\n");
}

#[test]
fn memory_is_as_large_as_asked_for_and_can_be_built_in() {
    let box_ = Sandbox::new();
    box_.build(
        "x",
        "FROM busybox\nRUN --mount=type=tmpfs,target=/t,size=1m cp /bin/busybox /t/ 2>/dev/null && echo too large || echo full\n\
         RUN --mount=type=tmpfs,target=/t cp /bin/busybox /t/echo && /t/echo it runs && grep ' /t ' /proc/mounts\n\
         RUN test ! -e /t\n",
    )
    .says(" full")
    .says(" it runs")
    .says("nosuid,nodev");
}

#[test]
fn a_cache_begins_with_what_it_is_told_and_then_stays() {
    let box_ = Sandbox::new();
    let cache = |id: &str, more: &str| format!("RUN --mount=type=cache,id={id},target=/c{more}");
    box_.write("seed/file", "seed\n");
    let text = |command: &str| {
        format!(
            "FROM busybox AS s\nRUN mkdir -p /in/sub && echo staged > /in/sub/file\nFROM busybox\n{} stat -c '%a %u:%g' /c; {command}\n\
             {} cat /c/file; ls -A /c; echo kept >> /c/file\n{} cat /c/file\n",
            cache("m", ",mode=0700,uid=5,gid=6"),
            cache("s", ",from=s,source=/in/sub"),
            cache("m", ",ro") + " echo x > /c/x || echo refused;",
        )
    };
    let built = run(&box_, &text("echo one > /c/file"));
    built.says(" 700 5:6").says(" staged").says(" refused").says(" one");
    let built = run(&box_, &text("cat /c/file"));
    built.says(" one").says(" kept");
    assert_eq!(box_.in_image("x", "ls -d /c 2>/dev/null; echo none"), "none\n");
}

/// A step that says that it is running, and goes on until `/c/go` is there.
fn waiting(sharing: &str) -> String {
    format!(
        "FROM busybox\nRUN --mount=type=cache,id=talk,target=/talk --mount=type=cache,id=c,target=/c,sharing={sharing} \
         echo $(date +%s%N) > /c/mine; echo it is running; while [ ! -e /talk/go ]; do sleep 0.05; done; cat /c/mine > /seen\n"
    )
}

fn begin(box_: &Sandbox, name: &str, text: &str) -> Child {
    box_.write(&format!("{name}/Dockerfile"), text);
    let mut command = box_.command(["build", "--no-cache", "-t", name, name]);
    let mut build =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(build.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with(" it is running")), "the build ended early");
    std::thread::spawn(move || lines.for_each(drop));
    build
}

const TALK: &str = "FROM busybox\nRUN --mount=type=cache,id=talk,target=/talk ";

fn other(sharing: &str, command: &str) -> String {
    format!("FROM busybox\nRUN --mount=type=cache,id=c,target=/c,sharing={sharing} {command}\n")
}

#[test]
fn a_shared_cache_is_used_by_two_at_once() {
    let box_ = Sandbox::new();
    let mut first = begin(&box_, "first", &waiting("shared"));
    run(&box_, &other("shared", "test -s /c/mine && echo overwritten > /c/mine"));
    run(&box_, &format!("{TALK} touch /talk/go\n"));
    assert!(first.wait().unwrap().success());
    assert_eq!(box_.in_image("first", "cat /seen"), "overwritten\n");
}

#[test]
fn a_private_cache_is_another_one_while_it_is_in_use() {
    let box_ = Sandbox::new();
    let mut first = begin(&box_, "first", &waiting("private"));
    run(&box_, &other("private", "test ! -e /c/mine && echo second > /c/mine"));
    run(&box_, &format!("{TALK} touch /talk/go\n"));
    assert!(first.wait().unwrap().success());
    assert_ne!(box_.in_image("first", "cat /seen"), "second\n");
    let free = run(&box_, &other("private", "echo again $(cat /c/mine)"));
    free.says("again 1");
}

#[test]
fn a_locked_cache_is_waited_for_and_free_after_a_killed_build() {
    let box_ = Sandbox::new();
    let mut first = begin(&box_, "first", &waiting("locked"));
    box_.write("second/Dockerfile", other("locked", "echo second > /c/mine"));
    let mut second = box_.command(["build", "-q", "second"]).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert!(second.try_wait().unwrap().is_none(), "the second one waits");
    run(&box_, &format!("{TALK} touch /talk/go\n"));
    assert!(first.wait().unwrap().success());
    assert!(second.wait().unwrap().success());
    assert_ne!(box_.in_image("first", "cat /seen"), "second\n");

    run(&box_, &format!("{TALK} rm /talk/go\n"));
    let mut killed = begin(&box_, "killed", &waiting("locked"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let mut next = box_.command(["build", "-q", "second"]).stdout(Stdio::null()).spawn().unwrap();
    eventually("the next build has the cache", || next.try_wait().unwrap().is_some());
    assert!(next.wait().unwrap().success());
}

/// Two caches that two steps lock in the opposite order.
#[test]
fn two_locked_caches_are_no_deadlock() {
    let box_ = Sandbox::new();
    let text = |first: &str, second: &str| {
        let mount = |id: &str| format!("--mount=type=cache,id={id},target=/{id},sharing=locked");
        format!("FROM busybox\nRUN {} {} sleep 0.3\n", mount(first), mount(second))
    };
    box_.write("one/Dockerfile", text("a", "b"));
    box_.write("two/Dockerfile", text("b", "a"));
    let start =
        |name: &str| box_.command(["build", "--no-cache", "-q", name]).stdout(Stdio::null()).spawn().unwrap();
    let mut builds = [start("one"), start("two"), start("one"), start("two")];
    eventually("all builds end", || builds.iter_mut().all(|build| build.try_wait().unwrap().is_some()));
    assert!(builds.iter_mut().all(|build| build.wait().unwrap().success()));
    // The same cache twice in one step is not waited for either.
    run(
        &box_,
        "FROM busybox\nRUN --mount=type=cache,id=a,target=/a,sharing=locked --mount=type=cache,id=a,target=/b,sharing=locked touch /a/x && ls /b/x\n",
    );
}

/// CVE-2024-23652: what was made to mount on is taken away again, and a link in its place leads nowhere.
#[test]
fn a_link_in_the_place_of_a_mount_target_removes_nothing_on_the_host() {
    let box_ = Sandbox::new();
    let canary = box_.dir().join("canary/below");
    fs::create_dir_all(&canary).unwrap();
    let host = box_.dir().join("canary").display().to_string();
    box_.build(
        "x",
        &format!(
            "FROM busybox\nRUN --mount=type=tmpfs,target=/made/below mv /made /moved && ln -s {host} /made\n\
             RUN --mount=type=tmpfs,target=/up/below mv /up /gone && ln -s ../../../../../../../..{host} /up\n"
        ),
    );
    assert!(canary.is_dir());
    assert_eq!(box_.in_image("x", "readlink /made"), format!("{host}\n"));
}
