//! Pulls and loads that somebody ends in the middle.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Proxy, Registry, Sandbox, eventually, host};

fn big(box_: &Sandbox) {
    box_.build("big", "FROM busybox\nRUN head -c 6000000 /dev/urandom > /first\nRUN head -c 6000000 /dev/urandom > /second\n");
}

fn end(child: &mut Child, signal: &str) -> (Option<i32>, Duration) {
    let begun = Instant::now();
    host(&["kill", &format!("-{signal}"), &child.id().to_string()]);
    let status = child.wait().unwrap();
    (status.code(), begun.elapsed())
}

/// Whatever the server does: what came waits for the next pull, and `image prune` gives it up.
#[test]
fn a_pull_from_a_slow_server_ends_at_once_when_it_is_told_to() {
    let Some(registry) = Registry::start() else { return };
    let other = Sandbox::new();
    big(&other);
    other.run(&format!("tag big {}", registry.name("big"))).success();
    other.run(&format!("push -q {}", registry.name("big"))).success();
    let proxy = Proxy::to(registry.port());
    let name = proxy.name("big");
    let box_ = other.beside();
    box_.run("image prune -f").success();
    // What is there once and for all is there before.
    box_.set("WHARF_PULL", "missing");
    box_.run(&format!("pull -q {}", registry.name("big"))).success();
    box_.run(&format!("rmi {}", registry.name("big"))).success();
    let before = box_.traces();
    for (signal, way) in [("INT", "trickle"), ("INT", "hold"), ("TERM", "trickle"), ("KILL", "trickle")] {
        proxy.heal();
        match way {
            "hold" => proxy.hold_after(3_000_000),
            _ => proxy.trickle_after(3_000_000),
        }
        let begun = proxy.passed();
        let mut pull =
            box_.command(["pull", &name]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("a part came", || proxy.passed() >= begun + 3_000_000);
        std::thread::sleep(Duration::from_millis(200));
        let (code, took) = end(&mut pull, signal);
        assert!(took < Duration::from_secs(2), "{signal} {way}: {took:?}");
        let wanted = match signal {
            "INT" => Some(130),
            "TERM" => Some(143),
            _ => None,
        };
        assert_eq!(code, wanted, "{signal} {way}");
        box_.run("images -q").success().prints("");
        assert!(bytes_of_parts(&box_) < 12_500_000, "no more than the image has");
        if signal != "KILL" {
            let claims = std::fs::read_dir(box_.root().join("claims")).unwrap().count();
            assert_eq!(claims, 0, "{signal} {way}: what was half unpacked is gone already");
        }
        box_.run("image prune -f").success();
        box_.left_nothing_since(&before);
    }
    proxy.heal();
    box_.run(&format!("pull -q {name}")).success();
}

fn bytes_of_parts(box_: &Sandbox) -> u64 {
    let parts = std::fs::read_dir(box_.root().join("blobs/partial")).into_iter().flatten().flatten();
    parts.map(|part| part.metadata().unwrap().len()).sum()
}

#[test]
fn a_load_that_ends_in_the_middle_leaves_nothing() {
    let other = Sandbox::new();
    big(&other);
    other.run("save -o big.tar big").success();
    let archive = std::fs::read(other.dir().join("big.tar")).unwrap();
    let box_ = other.beside();
    box_.wharf_with(["load"], &archive).success();
    box_.run("rmi big").success();
    let before = box_.traces();
    for signal in ["INT", "TERM", "KILL"] {
        // Half of it comes, and then nothing more.
        let mut command = box_.command(["load"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut load = command.spawn().unwrap();
        let mut input = load.stdin.take().unwrap();
        input.write_all(&archive[..archive.len() / 2]).unwrap();
        let (_, took) = end(&mut load, signal);
        assert!(took < Duration::from_secs(2), "{signal}: {took:?}");
        drop(input);
        box_.run("images -q").success().prints("");
        if signal == "KILL" {
            box_.run("image prune -f").success();
        }
        box_.left_nothing_since(&before);
    }
    // Whenever it is killed, there is a whole image or none.
    let path = other.dir().join("big.tar");
    for tens in 0..12 {
        let mut command = box_.command(["load", "-q", "-i", path.to_str().unwrap()]);
        let mut load = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(tens * 10));
        end(&mut load, "KILL");
        let listed = box_.run("images -q").success();
        if !listed.stdout.is_empty() {
            assert_eq!(box_.in_image("big", "wc -c < /first; wc -c < /second"), "6000000\n6000000\n");
            box_.run("rmi big").success();
        }
        box_.run("image prune -f").success();
        box_.left_nothing_since(&before);
    }
    box_.wharf_with(["load"], &archive).success();
}
