//! Compiled once; what is on disk is used or made again, never trusted blindly.

use std::os::unix::fs::symlink;

use super::{NOTHING, compiled, instruction, plan, shelf};
use crate::{Embedded, Fault, Plugins};

#[test]
fn a_component_is_compiled_once() {
    let shelf = shelf(NOTHING, "");
    plan(&shelf.plugins()).unwrap();
    assert_eq!(shelf.events(), ["compiling hello", "compiled hello"]);
    plan(&shelf.plugins()).unwrap();
    assert_eq!(shelf.events(), [""; 0]);
}

#[test]
fn damaged_code_is_made_again() {
    let shelf = shelf(NOTHING, "");
    plan(&shelf.plugins()).unwrap();
    let code = compiled(&shelf.cache()).join("component.cwasm");
    let good = std::fs::read(&code).unwrap();
    let mut flipped = good.clone();
    *flipped.get_mut(good.len() / 2).unwrap() ^= 1;
    for bytes in [&good[..good.len() / 2], b"", b"foreign", &flipped] {
        shelf.events();
        std::fs::write(&code, bytes).unwrap();
        plan(&shelf.plugins()).unwrap();
        assert_eq!(shelf.events(), ["compiling hello", "compiled hello"]);
        assert_eq!(std::fs::read(&code).unwrap(), good);
    }
    std::fs::remove_file(&code).unwrap();
    plan(&shelf.plugins()).unwrap();
}

#[test]
fn code_of_another_engine_is_made_again_even_with_a_fitting_digest() {
    let shelf = shelf(NOTHING, "");
    plan(&shelf.plugins()).unwrap();
    let directory = compiled(&shelf.cache());
    let foreign = [wharf_model::Digest::of("foreign").as_bytes(), &b"foreign"[..]].concat();
    std::fs::write(directory.join("component.cwasm"), &foreign).unwrap();
    plan(&shelf.plugins()).unwrap();
    assert_ne!(std::fs::read(directory.join("component.cwasm")).unwrap(), foreign);
}

#[test]
fn a_link_in_place_of_code_is_refused() {
    let shelf = shelf(NOTHING, "");
    plan(&shelf.plugins()).unwrap();
    let code = compiled(&shelf.cache()).join("component.cwasm");
    let moved = shelf.cache().join("moved");
    std::fs::rename(&code, &moved).unwrap();
    symlink(&moved, &code).unwrap();
    let error = plan(&shelf.plugins()).unwrap_err();
    assert!(matches!(error.fault(), Fault::Cache { .. }), "{error:?}");
    assert!(error.to_string().starts_with("plugin `hello`: "), "{error}");
    assert!(error.next_step().unwrap().starts_with(&format!("remove {}", code.display())), "{error}");
    std::fs::remove_file(&code).unwrap();
    plan(&shelf.plugins()).unwrap();
}

#[test]
fn loading_opens_no_file() {
    let mut shelf = shelf(NOTHING, "");
    let path = shelf.add("gone", "storage", b"", "");
    std::fs::remove_file(path).unwrap();
    let plugins = shelf.plugins();
    assert!(!shelf.cache().exists());
    plan(&plugins).unwrap();
    let error = plugins.storage("gone", &Default::default).unwrap().map(|_| ()).unwrap_err();
    assert!(matches!(error.fault(), Fault::Source { .. }), "{error:?}");
}

#[test]
fn an_embedded_component_is_found_by_name() {
    let bytes: &'static [u8] = Box::leak(instruction(NOTHING).into_boxed_slice());
    let embedded: &'static [Embedded] =
        Box::leak(Box::new([Embedded { name: "hello", bytes, digest: None, description: None }]));
    let temp = tempfile::tempdir().unwrap();
    for (name, works) in [("hello", true), ("other", false)] {
        let config = crate::testing::plugin(name, "instruction");
        let config = crate::Config { plugins: vec![config], ..crate::Config::default() };
        match Plugins::load(config, &temp.path().join("cache"), embedded) {
            Ok(plugins) => assert!(works && plugins.keywords().is_ok()),
            Err(error) => {
                assert!(!works);
                assert!(
                    error.to_string().starts_with("test.toml:1: plugin.other.source: no component"),
                    "{error}"
                );
            }
        }
    }
}

/// Prints what a process pays; run with `--nocapture`.
#[test]
fn timings() {
    use std::time::Instant;
    let shelf = shelf(NOTHING, "");
    let start = Instant::now();
    plan(&shelf.plugins()).unwrap();
    println!("compile and first call: {:?}", start.elapsed());
    for round in 0..3 {
        let start = Instant::now();
        let plugins = shelf.plugins();
        let load = start.elapsed();
        plan(&plugins).unwrap();
        let first = start.elapsed();
        plan(&plugins).unwrap();
        println!(
            "round {round}: load {load:?}, first call {:?}, second {:?}",
            first - load,
            start.elapsed() - first
        );
    }
    let toml: String = (0..20)
        .map(|number| {
            format!(
                "[plugin.p{number}]\nworld = \"instruction\"\nsource = \"file:/p{number}.wasm\"\n\
                 keywords = {{ A{number} = \"B{number}\" }}\ngrants.ops = [\"exec\", \"write\"]\n\
                 limits = {{ memory = \"64MiB\", fuel = 1000 }}\nsettings = {{ a = 1, b = [\"c\"] }}\n"
            )
        })
        .collect();
    for _ in 0..3 {
        let start = Instant::now();
        let source = crate::Source { path: "a".into(), text: toml.clone(), level: crate::Level::User };
        let config = crate::Config::load(&[source]).unwrap();
        let parsed = start.elapsed();
        Plugins::load(config, &shelf.cache(), &[]).unwrap();
        println!("config of 20 plugins: {parsed:?}, with load {:?}", start.elapsed());
    }
}
