//! The default plugins fit this host.

use std::path::Path;

use wharf_model::hook::{Moment, Phase};
use wharf_model::storage::HostFacts;

use super::Shelf;
use crate::{Fault, PluginError};

/// A machine on which every driver works.
fn facts() -> HostFacts {
    HostFacts {
        kernel: "6.18.0".into(),
        rootless: false,
        filesystems: vec!["ext4".into(), "overlay".into()],
        root_fstype: "ext4".into(),
        links: vec!["eth0".into(), "lo".into()],
    }
}

/// Loads a component as a plugin of one world.
fn load(bytes: &[u8], world: &str) -> Result<(), PluginError> {
    let mut shelf = Shelf::new();
    shelf.add("it", world, bytes, "");
    let plugins = shelf.plugins();
    match world {
        "instruction" => plugins.keywords().map(|_| ()),
        "storage" => plugins.storage("it", &facts).expect("it is named").map(|_| ()),
        "network" => plugins.network("it", &facts).expect("it is named").map(|_| ()),
        // A hook is in the list when it subscribes, or when it can not be loaded.
        _ => plugins
            .hooks(Moment::Container, Phase::Judge)
            .first()
            .map_or(Ok(()), |hook| hook.subscriptions().map(|_| ())),
    }
}

#[test]
fn each_prebuilt_component_is_of_one_world() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/prebuilt");
    let files = std::fs::read_dir(&directory).into_iter().flatten().flatten().map(|file| file.path());
    let components: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "wasm")).collect();
    if components.is_empty() {
        println!("skipped: no component in {}", directory.display());
    }
    for path in components {
        let bytes = std::fs::read(&path).unwrap();
        let fits = ["instruction", "storage", "network", "hook"].map(|world| match load(&bytes, world) {
            Ok(()) => true,
            Err(error) => {
                assert!(matches!(error.fault(), Fault::World { .. }), "{}: {error}", path.display());
                false
            }
        });
        assert_eq!(fits.iter().filter(|fits| **fits).count(), 1, "{}", path.display());
    }
}
