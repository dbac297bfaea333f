use super::*;
use crate::bindings::{build_plan, hook_types, network_plan, storage_plan};
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
    let forward = |address: &str, port| {
        network_plan::Action::Forward(network_plan::Forward {
            host_address: address.into(),
            host_port: port,
            container_address: "172.17.0.2".into(),
            container_port: 80,
            protocol: crate::bindings::types::Protocol::Tcp,
            bridge: "wh-0".into(),
        })
    };
    assert!(network(forward("0.0.0.0", 8080)).is_ok());
    for action in [forward("localhost", 8080), forward("::", 0)] {
        assert!(network(action).is_err());
    }
}

fn rooted(path: &str) -> storage_plan::Rooted {
    storage_plan::Rooted { area: storage_plan::Area::Layer, path: path.into() }
}

fn storage(steps: Vec<storage_plan::Action>, mounts: Vec<storage_plan::Mount>) -> Checked<StoragePlan> {
    let step = |action| storage_plan::Step { action, label: String::new() };
    let steps = steps.into_iter().map(step).collect();
    storage_plan::Plan { steps, mounts, state: vec![], diagnostics: vec![] }.try_into()
}

#[test]
fn storage_stays_below_its_areas() {
    let image = |source: &str, path: &str| {
        let filesystem = storage_plan::Filesystem::Ext4;
        let (source, path) = (rooted(source), path.into());
        storage_plan::Mount::Image(storage_plan::ImageMount { source, filesystem, path, read_only: false })
    };
    let make = |path: &str, size| {
        storage_plan::Action::MakeFile(storage_plan::MakeFile { path: rooted(path), size })
    };
    assert!(storage(vec![make("abc/image", 1 << 30)], vec![image("abc/image", "")]).is_ok());
    assert!(storage(vec![], vec![image("abc/image", "fs/a")]).is_ok());
    for (steps, mounts) in [
        (vec![make("../x", 1)], vec![]),
        (vec![make("x", 0)], vec![]),
        (vec![make("x", u64::MAX)], vec![]),
        (vec![storage_plan::Action::RemoveTree(rooted("/etc"))], vec![]),
        (vec![storage_plan::Action::RemoveTree(rooted(""))], vec![]),
        (vec![], vec![image("a/../../b", "")]),
        (vec![], vec![image("a", "../etc")]),
        (vec![], vec![image("a", "/etc")]),
        (vec![], vec![image("a\0b", "")]),
    ] {
        assert!(storage(steps.clone(), mounts.clone()).is_err(), "{steps:?} {mounts:?}");
    }
}

#[test]
fn overlay_options_are_as_mount_takes_them() {
    let options = wharf_model::storage::OverlayOptions {
        index: Some(false),
        xino: Some(true),
        volatile: true,
        ..Default::default()
    };
    assert_eq!(options.words(), ["index=off", "xino=on", "volatile"]);
}

/// A reference is judged by git's own rules where it is fetched.
#[test]
fn repositories_can_not_be_options() {
    let git = |url: &str, reference: Option<&str>, checksum: Option<&str>| {
        build(build_plan::Action::Git(build_plan::GitSource {
            url: url.into(),
            reference: reference.map(Into::into),
            checksum: checksum.map(Into::into),
            keep_git_dir: false,
        }))
    };
    for url in ["https://a/b.git", "ssh://git@a/b", "git@a:b.git"] {
        assert!(git(url, Some("v1.0"), Some("0123ABCD")).is_ok(), "{url}");
    }
    for (url, reference, checksum) in [
        ("--upload-pack=x", None, None),
        ("ext::sh -c x", None, None),
        ("file:///etc", None, None),
        ("https://a/b", Some("a b"), None),
        ("https://a/b", None, Some("main")),
    ] {
        assert!(git(url, reference, checksum).is_err(), "{url} {reference:?} {checksum:?}");
    }
}

#[test]
fn what_hooks_add_is_plain() {
    let file = |target: &str| {
        let (target, content) = (target.into(), b"x".to_vec());
        hook_types::Adjustment::ProvideFile(hook_types::ProvidedFile { target, content, mode: 0o644 })
    };
    let attach = |name: &str, media_type: &str| {
        let (name, media_type) = (name.into(), media_type.into());
        hook_types::Adjustment::Attach(hook_types::Attachment { name, media_type, content: vec![] })
    };
    let host = |name: &str, address: &str| hook_types::Adjustment::AddHost((name.into(), address.into()));
    let fine =
        [file("/etc/ssl/ca.pem"), attach("sbom.json", "application/spdx+json"), host("mirror", "10.0.0.1")];
    assert!(adjustments(fine.to_vec()).is_ok());
    for wrong in [
        file("etc/x"),
        file("/"),
        file("/a/../b"),
        file("/a\0b"),
        attach("../x", "text/plain"),
        attach("x", "text"),
        host("a b", "10.0.0.1"),
        host("a", "mirror"),
        hook_types::Adjustment::UnsetEnv("A=B".into()),
    ] {
        assert!(adjustments(vec![wrong.clone()]).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_manifest_asks_in_the_words_of_the_config() {
    let manifest = |right: &str| -> Checked<wharf_model::manifest::Manifest> {
        let requests = vec![wit::Request { right: right.into(), reason: "a reason".into() }];
        let (name, version) = ("a".into(), "1".into());
        wit::Manifest { name, version, summary: String::new(), requests }.try_into()
    };
    for right in ["ops:exec", "net:host", "read:context:debian/**", "remote:https://a/v1/", "extensions:x"] {
        assert!(manifest(right).is_ok(), "{right}");
    }
    for right in ["", "exec", "ops:", "root:all", "ops:a\nb"] {
        assert!(manifest(right).is_err(), "{right:?}");
    }
}
