//! Native libraries: only with both words of trust, only with our contract.

use std::process::Command;

use wharf_model::Digest;
use wharf_model::build::{ConfigChange, Outcome};
use wharf_model::statement::{Body, Invocation};

use super::{Shelf, plan};
use crate::testing::Fixed;
use crate::{Fault, PluginError};

const TRUST: &str = "trust = \"native-full\"\ngrants.ops = [\"expand\"]";

/// Compiles the library with one `--cfg`.
fn library(wrong: &str) -> Vec<u8> {
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("plugin.rs");
    let output = temp.path().join("libplugin.so");
    std::fs::write(&source, include_str!("native_plugin.rs")).unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "--crate-type=cdylib", "--cap-lints=allow", "-Cstrip=symbols"]);
    rustc.args(["--cfg", wrong, "-o"]).arg(&output).arg(&source);
    // Comments and blanks are no part of the contract.
    rustc.env("CONTRACT", format!("// a comment\n\n{}", crate::contract::WIT));
    let built = rustc.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    std::fs::read(output).unwrap()
}

fn ask(wrong: &str) -> Result<Outcome, PluginError> {
    let bytes = library(wrong);
    let mut shelf = Shelf::new();
    shelf.add("hello", "instruction", &bytes, &format!("{TRUST}\ndigest = \"{}\"", Digest::of(&bytes)));
    let outcome = plan(&shelf.plugins());
    if outcome.is_ok() {
        assert_eq!(shelf.events(), ["hello debug: hi!"]);
    }
    outcome
}

#[test]
fn a_library_asks_and_answers_like_a_component() {
    assert_eq!(ask("nothing").unwrap(), Outcome::Expand(vec!["1.2".into(), "234".into()]));
}

#[test]
fn a_library_that_does_not_fit_is_refused() {
    for (wrong, words) in [
        ("other_abi", "version 2 of the binary interface"),
        ("short", "8 bytes only"),
        ("no_table", "no table"),
        ("other_contract", "another text of the contract"),
        ("other_world", "it exports wharf:plugin/hook-plugin"),
        ("panics", "stopped: index out of bounds"),
        ("garbage", "the answer makes no sense"),
        ("too_large", "the answer is too large"),
    ] {
        let error = ask(wrong).unwrap_err();
        assert!(error.to_string().contains(words), "{wrong}: {error}");
        assert!(error.next_step().is_some(), "{error}");
    }
}

#[test]
fn a_library_takes_trust_and_a_digest() {
    let bytes = library("nothing");
    let mut shelf = Shelf::new();
    shelf.add("hello", "instruction", &bytes, "");
    let error = plan(&shelf.plugins()).unwrap_err();
    assert!(matches!(error.fault(), Fault::Untrusted { .. }), "{error:?}");
    assert!(error.next_step().unwrap().contains(&format!("digest = \"{}\"", Digest::of(&bytes))));

    let mut shelf = Shelf::new();
    shelf.add("hello", "instruction", b"\x7fELF", &format!("{TRUST}\ndigest = \"{}\"", Digest::of(&bytes)));
    let error = plan(&shelf.plugins()).unwrap_err();
    assert!(matches!(error.fault(), Fault::Digest { .. }), "{error:?}");
}

/// The SDK's side of the border, when somebody has compiled `plugins/native-example`:
/// `WHARF_TEST_STAMP=plugins/target/release/libstamp.so cargo test -p wharf-plugin`.
#[test]
fn the_example_of_the_sdk_answers() {
    let Some(path) = std::env::var_os("WHARF_TEST_STAMP") else {
        println!("skipped: WHARF_TEST_STAMP does not name a library");
        return;
    };
    let bytes = std::fs::read(path).unwrap();
    for (settings, works) in [("settings.prefix = \"mark\"", true), ("settings.wrong = 1", false)] {
        let mut shelf = Shelf::new();
        let lines = format!(
            "trust = \"native-full\"\ngrants.ops = [\"write\", \"config\"]\ndigest = \"{}\"\n{settings}",
            Digest::of(&bytes)
        );
        shelf.add("stamp", "instruction", &bytes, &lines);
        let plugins = shelf.plugins();
        let stamp = super::owner(&plugins, "STAMP");
        assert_eq!(stamp.is_ok(), works);
        let Ok(stamp) = stamp else { continue };

        let words = vec!["release".to_owned()];
        let call = Invocation { body: Body::Words(words), ..super::statement("STAMP") };
        let Outcome::Plan(plan) = stamp.plan(&call, &mut Fixed::default()).unwrap() else { panic!() };
        assert_eq!(plan.config, [ConfigChange::Label("mark.release".into(), "amd64".into())]);
        assert_eq!(plan.ops.len(), 1);

        let call = Invocation { body: Body::Words(vec![]), ..call };
        let error = stamp.plan(&call, &mut Fixed::default()).unwrap_err();
        assert_eq!(error.next_step().as_deref(), Some("write `STAMP release 1.4`"));
    }
}
