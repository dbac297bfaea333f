//! The default plugins fit this host.

use std::path::Path;
use std::time::Instant;

use wharf_model::Digest;
use wharf_model::hook::{Moment, Phase};
use wharf_model::storage::HostFacts;

use super::Shelf;
use crate::testing::Fixed;
use crate::{Config, Embedded, Fault, Level, PluginError, Plugins, Source};

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

/// Prints what it costs to know all instructions; run with `--nocapture`, and alone.
#[test]
fn timings() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/prebuilt");
    let temp = tempfile::tempdir().unwrap();
    let mut embedded = Vec::new();
    let mut toml = String::new();
    for name in ["add", "arg", "cmd", "copy", "env", "expose", "from", "label", "run", "user", "workdir"] {
        let Ok(bytes) = std::fs::read(directory.join(format!("{name}.wasm"))) else { return };
        let digest: &'static str = Box::leak(Digest::of(&bytes).to_string().into_boxed_str());
        let bytes: &'static [u8] = Box::leak(bytes.into_boxed_slice());
        embedded.push(Embedded { name, bytes, digest: Some(digest), description: None });
        toml += &format!("[plugin.{name}]\nworld = \"instruction\"\nsource = \"embedded:{name}\"\n");
    }
    let count = embedded.len();
    let embedded: &'static [Embedded] = Box::leak(embedded.into_boxed_slice());
    for round in 0..4 {
        let start = Instant::now();
        let source = Source { path: "a".into(), text: toml.clone(), level: Level::User };
        let config = Config::load(&[source]).unwrap();
        let plugins = Plugins::load(config, &temp.path().join("cache"), embedded).unwrap();
        let loaded = start.elapsed();
        plugins.keywords().unwrap();
        let keywords = start.elapsed();
        plugins.instruction(&"USER".parse().unwrap()).unwrap().unwrap();
        let found = start.elapsed();
        let call = super::statement("USER");
        let user = plugins.instruction(&call.keyword).unwrap().unwrap();
        let outcome = user.plan(&call, &mut Fixed::default());
        println!(
            "round {round}, {count} plugins: load {loaded:?}, keywords {:?}, validate {:?}, plan {:?} ({})",
            keywords - loaded,
            found - keywords,
            start.elapsed() - found,
            outcome.map_or_else(|error| error.to_string(), |_| "ok".into()),
        );
    }
}
