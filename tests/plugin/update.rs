//! `wharf plugin update`: what new code would do to one's own Dockerfiles, before it does it.

use std::fs;

use super::verbs::{component, config_of};
use crate::harness::{Sandbox, Small};

/// The next version of EXPOSE: ports are of udp.
fn changed_expose(box_: &Sandbox) {
    let mut bytes = fs::read(component(box_, "expose")).unwrap();
    for at in 0..bytes.len() - 3 {
        if &bytes[at..at + 3] == b"tcp" {
            bytes[at..at + 3].copy_from_slice(b"udp");
        }
    }
    box_.write("next.wasm", bytes);
}

#[test]
fn a_dry_run_shows_which_plans_change() {
    let box_ = Sandbox::new();
    let (config, lock) = config_of(&box_);
    changed_expose(&box_);
    box_.run("plugin add expose.wasm --name port --as EXPOSE=PORT --grant-all").success();
    let texts = [fs::read_to_string(&config).unwrap(), fs::read_to_string(&lock).unwrap()];
    box_.write("a/Dockerfile", "FROM not.here/image\nPORT 80\nUSER 1\nPORT 81/sctp\n");
    box_.write("a/b/web.Dockerfile", "FROM scratch\nUSER 1\n");

    let shown = box_.run("plugin update port next.wasm --dry-run a").success();
    let shown = shown.shows("a/Dockerfile: 1 of 3 statements are planned differently");
    let shown = shown.shows("a/b/web.Dockerfile: 0 of 1 statements are planned differently");
    let shown = shown.shows("--- before a/Dockerfile:2 PORT 80").shows("80/tcp").shows("80/udp");
    let shown = shown.shows("\"expose\": \"80/udp\"").without("\"Expose\"");
    assert!(shown.stdout.lines().any(|line| line.starts_with('-') && line.contains("80/tcp")), "{shown}");
    assert!(shown.stdout.lines().any(|line| line.starts_with('+') && line.contains("80/udp")), "{shown}");

    let json = box_.run("plugin update port next.wasm --format json --dry-run a/Dockerfile").success().json();
    assert_eq!(json["Plugins"][0]["Name"], "port");
    let changed = json["Dockerfiles"][0]["Changed"].as_array().unwrap();
    assert_eq!((changed.len(), &changed[0]["Line"]), (1, &2.into()));
    assert_eq!(texts, [fs::read_to_string(&config).unwrap(), fs::read_to_string(&lock).unwrap()]);

    box_.build("x", "FROM busybox\nPORT 80\n");
    assert_eq!(box_.inspect("x", "{{json .Config.ExposedPorts}}"), r#"{"80/tcp":{}}"#);
    let updated = box_.run("plugin update port next.wasm").success();
    updated.shows("Dockerfile: 1 of 1 statements are planned differently").says("updated port");
    assert!(fs::read_to_string(&config).unwrap().contains("next.wasm"));
    box_.run("build -t x .").success();
    assert_eq!(box_.inspect("x", "{{json .Config.ExposedPorts}}"), r#"{"80/udp":{}}"#);
    box_.run("rmi x").success();
}

#[test]
fn an_update_that_does_not_fit_changes_nothing() {
    let box_ = Sandbox::new();
    let (config, lock) = config_of(&box_);
    for name in ["expose", "guard", "user"] {
        component(&box_, name);
    }
    box_.run("plugin add expose.wasm --name port --as EXPOSE=PORT --grant-all").success();
    let texts = [fs::read_to_string(&config).unwrap(), fs::read_to_string(&lock).unwrap()];
    for (line, words) in [
        ("plugin update port guard.wasm", ["of the world `instruction`", "one of `hook`"]),
        ("plugin update port user.wasm", ["USER", "claimed"]),
        ("plugin update port none.wasm", ["none.wasm", "cannot read"]),
        ("plugin update run user.wasm", ["`run` is part of wharf", "enabled = false"]),
        ("plugin update nobody", ["nobody", "wharf plugin ls"]),
    ] {
        let output = box_.run(line).fails(1);
        words.iter().fold(output, |output, word| output.says(word));
        assert_eq!(texts, [fs::read_to_string(&config).unwrap(), fs::read_to_string(&lock).unwrap()]);
    }
}

#[test]
fn an_update_without_room_for_the_config_keeps_no_code() {
    let box_ = Sandbox::new();
    let small = Small::mount(box_.dir().join("config"), 100);
    let (config, lock) = (small.path().join("wharf.toml"), small.path().join("wharf.lock"));
    fs::write(&config, "").unwrap();
    box_.set("WHARF_CONFIG", config.to_str().unwrap());
    changed_expose(&box_);
    box_.run("plugin add expose.wasm --name port --as EXPOSE=PORT --grant-all").success();
    let texts = [fs::read_to_string(&config).unwrap(), fs::read_to_string(&lock).unwrap()];
    let codes = || {
        let codes = fs::read_dir(box_.root().join("plugins/code")).unwrap().flatten();
        codes.map(|entry| entry.file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = codes();
    assert!(!before.is_empty());
    small.leave(0);
    box_.run("plugin update port next.wasm").fails(1).says("No space left");
    assert_eq!(
        (codes(), texts),
        (before, [fs::read_to_string(&config).unwrap(), fs::read_to_string(&lock).unwrap()])
    );
    small.drop_ballast();
    box_.run("plugin update port next.wasm").success();
}

#[test]
fn a_dockerfile_is_looked_at_without_building() {
    let box_ = Sandbox::new();
    let text = "# escape=`\nFROM not.here/base:1 AS one\nRUN --network=none echo `\n  hi\nFROM one\nCOPY <<EOF /a\nx\nEOF\nFLY away\n";
    box_.write("Dockerfile", text);
    let error = box_.run("dockerfile plan --json Dockerfile").fails(1).json();
    assert!(error["error"].as_str().unwrap().contains("unknown instruction: FLY"), "{error}");
    box_.run("dockerfile plan Dockerfile").fails(1).says("Dockerfile:9").says("FLY");

    box_.write("Dockerfile", text.replace("FLY away\n", "USER me\n"));
    let planned = box_.run("dockerfile plan --json Dockerfile").success().json();
    assert_eq!(planned["assumed"][0], "not.here/base:1");
    let steps = |stage: usize| planned["stages"][stage]["steps"].clone();
    assert_eq!(steps(0)[0]["plugin"], "run");
    assert!(steps(0)[0]["ops"][0]["action"]["Exec"].is_object(), "{planned}");
    assert_eq!(steps(1)[1]["config"][0]["User"], "me");
    box_.run("dockerfile plan Dockerfile")
        .success()
        .shows("   9  USER me\n")
        .shows("not.here/base:1 is not here");
    box_.run("images -q").success().without("not.here");
    box_.run("dockerfile plan none").fails(1).says("none");
}
