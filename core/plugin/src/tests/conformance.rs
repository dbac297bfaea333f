//! One source, two artifacts: default plugins as components and as native libraries give the same
//! answers.
//!
//! The libraries are built here, from the workspace of the plugins, into a target directory of their
//! own beside ours; the components are the prebuilt ones, which `plugins/build.sh --stale` holds
//! against the same sources.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use wharf_model::Digest;
use wharf_model::hook::{ContainerMount, Event, Moment, MountKind, Phase, Subject};
use wharf_model::network::{Attachment, Network, Port, Protocol, Subnet};
use wharf_model::statement::{Body, Heredoc, Invocation};
use wharf_model::storage::{Area, HostFacts, Object};

use super::Shelf;
use crate::testing::Fixed;
use crate::{PluginError, Plugins};

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins");

/// Builds the libraries, once for all tests of a process.
fn libraries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let here = std::env::current_exe().unwrap();
        // <target>/<profile>/deps/<this>
        let target = here.ancestors().nth(3).unwrap().join("native-plugins");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(Path::new(PLUGINS).join("Cargo.toml"));
        cargo.arg("--target-dir").arg(&target);
        let packages =
            ["wharf-instructions", "wharf-storage-drivers", "wharf-network-drivers", "wharf-hooks"];
        cargo.args(packages.iter().flat_map(|package| ["-p", package]));
        let examples = ["run", "copy", "env", "overlay", "storage_copy", "bridge", "guard"];
        cargo.args(examples.iter().flat_map(|example| ["--example", example]));
        for set_by_the_caller in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(set_by_the_caller);
        }
        let built = cargo.output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        target.join("debug/examples")
    })
}

/// The plugin twice: as a component and as a library, under the same name.
fn both(name: &str, world: &str, lines: &str) -> [Shelf; 2] {
    let component = std::fs::read(format!("{PLUGINS}/prebuilt/{name}.wasm")).unwrap();
    let library = libraries().join(format!("lib{}.so", name.replace('-', "_")));
    let library = std::fs::read(library).unwrap();
    let trust = format!("trust = \"native-full\"\ndigest = \"{}\"\n{lines}", Digest::of(&library));
    let [mut sandboxed, mut native] = [Shelf::new(), Shelf::new()];
    sandboxed.add(name, world, &component, lines);
    native.add(name, world, &library, &trust);
    [sandboxed, native]
}

/// What can be compared of an answer.
fn shown<T: std::fmt::Debug>(answer: Result<T, PluginError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{error}: {:?} {:?}", error.failure(), error.next_step()),
    }
}

/// Asks both the same, and says how many of the answers were plans.
fn equal(shelves: &[Shelf; 2], ask: impl Fn(&Plugins) -> Vec<(bool, String)>) -> usize {
    let [sandboxed, native] = shelves.each_ref().map(|shelf| ask(&shelf.plugins()));
    assert!(!sandboxed.is_empty());
    for (left, right) in sandboxed.iter().zip(&native) {
        assert_eq!(left, right);
    }
    assert_eq!(sandboxed.len(), native.len());
    let manifests = shelves.each_ref().map(|shelf| {
        let plugins = shelf.plugins();
        let name = plugins.config().plugins.first().unwrap().name.clone();
        plugins.manifest(&name).unwrap()
    });
    let [left, right] = &manifests;
    assert_eq!(left, right);
    sandboxed.iter().filter(|(fine, _)| *fine).count()
}

fn judged<T: std::fmt::Debug>(answer: Result<T, PluginError>) -> (bool, String) {
    (answer.is_ok(), shown(answer))
}

fn call(keyword: &str, body: Body, flags: &[(&str, Option<&str>)]) -> Invocation {
    let flag = |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
    Invocation { body, flags: flags.iter().map(flag).collect(), ..super::statement(keyword) }
}

fn words(line: &str) -> Body {
    Body::Words(line.split_whitespace().map(str::to_owned).collect())
}

fn instructions(name: &str, lines: &str, calls: &[Invocation]) -> usize {
    equal(&both(name, "instruction", lines), |plugins| {
        let described = format!("{:?}", plugins.keywords().unwrap());
        let plan = |call: &Invocation| {
            let args = BTreeMap::from([("VERSION".into(), "1.2".into())]);
            let mut fixed = Fixed { args, ..Fixed::default() };
            judged(super::owner(plugins, call.keyword.as_str()).unwrap().plan(call, &mut fixed))
        };
        std::iter::once((false, described)).chain(calls.iter().map(plan)).collect()
    })
}

#[test]
fn instructions_plan_the_same() {
    let heredoc = Heredoc { name: "EOF".into(), expand: true, chomp: false, content: "echo hi\n".into() };
    let script = Invocation { heredocs: vec![heredoc], ..call("RUN", Body::Text("<<EOF".into()), &[]) };
    let cache = Some("type=cache,target=/root/.cache,sharing=locked");
    let grants = "grants = { ops = [\"exec\", \"mount-cache\"], net = [\"sandbox\"] }";
    let plans = instructions(
        "run",
        grants,
        &[
            call("RUN", Body::Text("make -j2".into()), &[]),
            call("RUN", Body::Json(vec!["make".into(), "test".into()]), &[("mount", cache)]),
            script,
            call("RUN", Body::Text("true".into()), &[("network", Some("none"))]),
            // Not granted, and nonsense.
            call("RUN", Body::Text("true".into()), &[("network", Some("host"))]),
            call("RUN", Body::Text("true".into()), &[("mount", Some("type=floppy"))]),
            call("RUN", Body::Text(String::new()), &[]),
        ],
    );
    assert_eq!(plans, 4);
    let plans = instructions(
        "copy",
        "grants.ops = [\"copy\", \"write\"]",
        &[
            call("COPY", words("a b /c/"), &[("chown", Some("app:app")), ("chmod", Some("755"))]),
            call("COPY", words("a /c"), &[("link", None)]),
            call("COPY", words("a"), &[]),
            call("COPY", words("a /c"), &[("from", Some("other"))]),
            call("COPY", words("a /c"), &[("chmod", Some("rwx"))]),
        ],
    );
    assert_eq!(plans, 2);
    let pairs = |items: &[(&str, &str)]| {
        let items = items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Body::Pairs { items, legacy: false }
    };
    let calls = [call("ENV", pairs(&[("A", "1"), ("B", "2")]), &[]), call("ENV", pairs(&[]), &[])];
    assert_eq!(instructions("env", "grants.ops = [\"config\"]", &calls), 1);
}

fn objects() -> Vec<Object> {
    let parents = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    [
        (Area::Layer, parents(&[]), None),
        (Area::Layer, parents(&["b", "a"]), None),
        (Area::Container, parents(&["b", "a"]), None),
        (Area::Volume, parents(&[]), None),
        (Area::Container, parents(&["a"]), Some(1 << 30)),
    ]
    .into_iter()
    .map(|(area, parents, size_limit)| Object { id: "c".into(), area, parents, size_limit })
    .collect()
}

#[test]
fn storage_drivers_plan_the_same() {
    let facts = || HostFacts {
        filesystems: vec!["ext4".into(), "overlay".into()],
        root_fstype: "ext4".into(),
        ..HostFacts::default()
    };
    let ask = |plugins: &Plugins| {
        let name = plugins.config().plugins.first().unwrap().name.clone();
        let driver = plugins.storage(&name, &facts).unwrap().unwrap();
        let mut answers = vec![(false, format!("{:?}", driver.info()))];
        let state = Fixed::default();
        for object in objects() {
            answers.push(judged(driver.locate(&object)));
            answers.push(judged(driver.plan_create("t", &object, &state)));
            answers.push(judged(driver.plan_commit("t", &object, &object, &state)));
            answers.push(judged(driver.plan_attach("t", &object, false, &state)));
            answers.push(judged(driver.plan_attach("t", &object, true, &state)));
            answers.push(judged(driver.plan_detach("t", &object, &state)));
            answers.push(judged(driver.plan_remove("t", &object, &state)));
        }
        answers
    };
    let all = "grants.ops = [\"directory\", \"remove-tree\", \"mount-overlay\", \"mount-directory\"]";
    let set = format!("{all}\nsettings.options = [\"index=off\", \"volatile\"]");
    assert!(equal(&both("overlay", "storage", &set), ask) > 25);
    assert!(equal(&both("storage-copy", "storage", all), ask) > 25);
    // Refused by the grants, in the same words.
    assert!(equal(&both("overlay", "storage", "grants.ops = [\"directory\"]"), ask) < 25);
}

fn network(options: &[(&str, &str)], internal: bool) -> Network {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Network {
        id: "0123456789abcdef".repeat(4),
        name: "net".into(),
        driver: "bridge".into(),
        subnets: vec![Subnet { cidr: "172.30.0.0/16".parse().unwrap(), gateway: None }],
        internal,
        options: options.iter().map(pair).collect(),
    }
}

#[test]
fn network_drivers_plan_the_same() {
    let everywhere: IpAddr = "0.0.0.0".parse().unwrap();
    let port =
        Port { host_address: everywhere, host_port: 8080, container_port: 80, protocol: Protocol::Udp };
    let ops = "grants.ops = [\"link\", \"address\", \"sysctl\", \"firewall\", \"publish\"]";
    let plans = equal(&both("bridge", "network", ops), |plugins| {
        let driver = plugins.network("bridge", &HostFacts::default).unwrap().unwrap();
        let mut answers = vec![(false, format!("{:?}", driver.info()))];
        let (facts, state) = (HostFacts::default(), Fixed::default());
        let networks =
            [network(&[], false), network(&[("mtu", "1400")], true), network(&[("colour", "red")], false)];
        for network in networks {
            answers.push(judged(driver.plan_network("t", &network, &facts, &state)));
            let attachment = Attachment {
                container: "fedcba9876543210".repeat(4),
                network,
                if_name: "eth0".into(),
                addresses: vec!["172.30.0.2/16".parse().unwrap()],
                mac: None,
                ports: vec![port.clone()],
            };
            answers.push(judged(driver.plan_attach("t", &attachment, &facts, &state)));
            answers.push(judged(driver.release("t", &attachment, &state)));
        }
        answers
    });
    assert_eq!(plans, 7);
}

#[test]
fn hooks_judge_the_same() {
    let lines = "grants.ops = [\"judge\"]\nsettings = { deny = [\"/var/lib/wharf\"], warn = [\"/etc\"] }";
    let plans = equal(&both("guard", "hook", lines), |plugins| {
        let hook = plugins.hooks(Moment::Container, Phase::Judge).remove(0);
        let judge = |source: &str| {
            let Subject::Container(mut spec) = super::hostile::event().subject else { panic!("a container") };
            let (source, target) = (source.to_owned(), "/x".to_owned());
            spec.mounts = vec![ContainerMount { kind: MountKind::Bind, source, target, read_only: false }];
            let event = Event { subject: Subject::Container(spec), changes: vec![] };
            judged(hook.judge(&event, None))
        };
        ["/home", "/etc", "/var/lib/wharf/x", "/"].map(judge).into()
    });
    assert_eq!(plans, 4);
}
