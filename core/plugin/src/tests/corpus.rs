//! Plugins that were compiled for every released version of the contract go on loading.

use std::path::Path;
use std::sync::Arc;

use wharf_model::storage::{Area, Object};

use super::Shelf;
use crate::imports::{Contract, Hook, Instruction, Network, Storage};
use crate::session::{Listener, Outside, Session, Subject};
use crate::testing::Fixed;
use crate::wasm::{Bound, Machine};
use crate::{Limits, World, aot};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");

fn versions() -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().path());
    let versions: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    assert!(versions.iter().any(|path| path.ends_with(crate::contract::VERSION)), "{versions:?}");
    versions
}

fn link<W: Contract>(machine: &Machine, version: &Path) {
    let path = version.join(format!("all-of-{}.wasm", W::WORLD));
    let code = aot::compile(machine.engine(), &std::fs::read(&path).unwrap()).unwrap();
    let component = aot::load(machine.engine(), &code).unwrap();
    let wants_remote = W::WORLD != World::Instruction;
    for granted in [false, true] {
        let linked = machine.link::<W>(&component, granted);
        let linked = linked.map_err(|fault| format!("{}: {fault}", path.display())).unwrap();
        assert_eq!(linked.lacks_remote, wants_remote && !granted);
        // Types of exports are compared when it is put together.
        let plugin = crate::testing::plugin("p", W::WORLD.as_str());
        let subject = Subject::new(&plugin, Listener::default(), Outside::default());
        let session = Session::new(&Arc::new(subject));
        let nothing = |_: &W::Instance, _: &mut wasmtime::Store<crate::imports::Caller>| Ok(());
        let (_, put) = machine.call::<W, ()>(&linked.pre, session, Limits::default(), Bound::Fuel, nothing);
        put.map_err(|fault| format!("{}: {fault}", path.display())).unwrap();
    }
}

#[test]
fn every_type_is_what_it_was() {
    let machine = Machine::new().unwrap();
    for version in versions() {
        link::<Instruction>(&machine, &version);
        link::<Storage>(&machine, &version);
        link::<Network>(&machine, &version);
        link::<Hook>(&machine, &version);
    }
}

#[test]
fn real_plugins_go_on_answering() {
    for version in versions() {
        let mut shelf = Shelf::new();
        for (name, world, ops) in [
            ("label", "instruction", r#"["config"]"#),
            ("storage-copy", "storage", r#"["directory", "remove-tree", "mount-directory"]"#),
            ("bridge", "network", r#"["link", "address", "sysctl", "firewall", "publish"]"#),
            ("guard", "hook", r#"["judge"]"#),
        ] {
            let bytes = std::fs::read(version.join(format!("{name}.wasm"))).unwrap();
            shelf.add(name, world, &bytes, &format!("grants.ops = {ops}"));
        }
        let plugins = shelf.plugins();
        for name in ["label", "storage-copy", "bridge", "guard"] {
            let manifest = plugins.manifest(name).unwrap();
            assert_eq!(manifest.name, name);
            assert!(manifest.requests.iter().all(|request| request.parts().0 == "ops"), "{manifest:?}");
        }
        let words = plugins.keywords().unwrap();
        assert_eq!(words.first().map(|(spec, _)| spec.keyword.to_string()).as_deref(), Some("LABEL"));
        let copy = plugins.storage("storage-copy", &Default::default).unwrap().unwrap();
        let object = Object { id: "a".into(), area: Area::Layer, parents: vec![], size_limit: None };
        let plan = copy.plan_create("a", &object, &Fixed::default()).unwrap();
        assert_eq!(plan.steps.len(), 1);
        let bridge = plugins.network("bridge", &Default::default).unwrap().unwrap();
        assert!(bridge.info().needs_subnet);
        let hooks = plugins.hooks(wharf_model::hook::Moment::Container, wharf_model::hook::Phase::Judge);
        let verdict = hooks.first().unwrap().judge(&super::hostile::event(), None).unwrap();
        assert_eq!(verdict, wharf_model::hook::Verdict::Allow);
    }
}
