use super::*;
use crate::bindings::{build_plan, network_plan, storage_plan};
use wharf_model::build::Plan;
use wharf_model::network::NetworkPlan;
use wharf_model::storage::StoragePlan;

fn build(action: build_plan::Action) -> Checked<Plan> {
    let op = build_plan::Op { action, label: "a\u{1b}[31mb".into() };
    let raw = build_plan::Plan {
        ops: vec![op],
        rootfs: build_plan::Input::Op(0),
        config: vec![],
        diagnostics: vec![],
    };
    raw.try_into()
}

fn write(base: build_plan::Input, path: &str, mode: u32) -> build_plan::Action {
    let content = b"x".to_vec();
    build_plan::Action::Write(build_plan::Write { base, path: path.into(), content, owner: None, mode })
}

fn http(url: &str, checksum: Option<&str>, filename: &str) -> build_plan::Action {
    build_plan::Action::Http(build_plan::HttpSource {
        url: url.into(),
        checksum: checksum.map(Into::into),
        filename: filename.into(),
    })
}

#[test]
fn a_build_plan_that_makes_no_sense_is_refused() {
    use build_plan::Input::{Named, Op, Stage};
    for (action, words) in [
        (write(Op(0), "/a", 0o644), "op 0 is not an earlier op"),
        (write(Op(7), "/a", 0o644), "op 7 is not an earlier op"),
        (write(Named(String::new()), "/a", 0o644), "input is empty"),
        (write(Stage, "", 0o644), "path is empty"),
        (write(Stage, "a\0b", 0o644), "NUL"),
        (write(Stage, "/a", 0o100_644), "not permission bits"),
        (http("file:///etc/passwd", None, "a"), "not an http address"),
        (http("https://a/b", None, "../b"), "not a file name"),
        (http("https://a/b", Some("md5:1"), "b"), "not a digest"),
    ] {
        let Err(Nonsense::Wrong(what)) = build(action) else { panic!("{words}") };
        assert!(what.contains(words), "{what}");
    }
}

#[test]
fn labels_lose_what_a_terminal_would_obey() {
    let plan = build(write(build_plan::Input::Stage, "/a", 0o644)).unwrap();
    assert_eq!(plan.ops.first().unwrap().label, "a[31mb");
}

#[test]
fn long_strings_are_too_large() {
    let long = "x".repeat(TEXT + 1);
    let refused = build(write(build_plan::Input::Stage, &long, 0o644));
    assert!(matches!(refused, Err(Nonsense::TooLarge(_))));
}

fn network(action: network_plan::Action) -> Checked<NetworkPlan> {
    let raw = network_plan::Plan {
        namespace: network_plan::Namespace::Own,
        steps: vec![network_plan::Step { action, label: String::new() }],
        interfaces: vec![],
        dns_servers: vec![],
        dns_search: vec![],
        state: vec![],
        diagnostics: vec![],
    };
    raw.try_into()
}

#[test]
fn names_of_links_and_settings_can_not_escape() {
    let bridge =
        |name: &str| network_plan::Action::Bridge(network_plan::Bridge { name: name.into(), mtu: None });
    let sysctl = |key: &str, value: &str| {
        network_plan::Action::Sysctl(network_plan::Sysctl {
            place: network_plan::Place::Host,
            key: key.into(),
            value: value.into(),
        })
    };
    for action in [
        bridge(""),
        bridge("sixteen-letters-"),
        bridge(".."),
        bridge("a/b"),
        bridge("a\" accept"),
        sysctl("kernel/core_pattern", "|/bin/sh"),
        sysctl("net/../kernel/core_pattern", "x"),
        sysctl("net/ipv4//x", "1"),
        sysctl("net/ipv4/ip_forward", "1\n2"),
    ] {
        assert!(network(action.clone()).is_err(), "{action:?}");
    }
    assert!(network(bridge("wh-0123456789ab")).is_ok());
    assert!(network(sysctl("net/ipv4/conf/eth0.1/route_localnet", "1")).is_ok());
}

#[test]
fn addresses_are_parsed() {
    let forward = |address: &str, port, protocol: &str| {
        network_plan::Action::Forward(network_plan::Forward {
            host_address: address.into(),
            host_port: port,
            container_address: "172.17.0.2".into(),
            container_port: 80,
            protocol: protocol.into(),
            bridge: "wh-0".into(),
        })
    };
    assert!(network(forward("0.0.0.0", 8080, "tcp")).is_ok());
    for action in [forward("localhost", 8080, "tcp"), forward("::", 0, "tcp"), forward("::", 1, "icmp")] {
        assert!(network(action).is_err());
    }
}

#[test]
fn storage_stays_below_its_areas() {
    let rooted = |path: &str| storage_plan::Rooted { area: storage_plan::Area::Layer, path: path.into() };
    let plan = |path: &str, option: &str| -> Checked<StoragePlan> {
        let overlay = storage_plan::Overlay {
            lower: vec![rooted(path)],
            upper: None,
            work: None,
            options: vec![option.into()],
        };
        let raw = storage_plan::Plan {
            steps: vec![],
            mounts: vec![storage_plan::Mount::Overlay(overlay)],
            state: vec![],
            diagnostics: vec![],
        };
        raw.try_into()
    };
    assert!(plan("abc/diff", "index=off").is_ok());
    assert!(plan("abc/diff", "volatile").is_ok());
    for (path, option) in [
        ("../x", "volatile"),
        ("/etc", "volatile"),
        ("", "volatile"),
        ("abc", "lowerdir=/etc"),
        ("abc", "index=off,lowerdir=/etc"),
        ("abc", "context"),
    ] {
        assert!(plan(path, option).is_err(), "{path} {option}");
    }
}
