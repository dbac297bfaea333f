//! Native libraries: only with both words of trust, only with our contract.

use std::process::Command;
use std::time::{Duration, Instant};

use wharf_model::Digest;
use wharf_model::build::Outcome;

use super::{Shelf, plan};
use crate::testing::Fixed;
use crate::{Fault, PluginError};

const TRUST: &str = "trust = \"native-full\"\ngrants.ops = [\"expand\"]";

/// Compiles the library with one `--cfg`.
fn library(wrong: &str) -> Vec<u8> {
    library_of(wrong, &crate::contract::FILES.iter().map(|(_, text)| *text).collect::<String>())
}

fn library_of(wrong: &str, contract: &str) -> Vec<u8> {
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("plugin.rs");
    let output = temp.path().join("libplugin.so");
    std::fs::write(&source, include_str!("native_plugin.rs")).unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "--crate-type=cdylib", "--cap-lints=allow", "-Cstrip=symbols"]);
    rustc.args(["--cfg", wrong, "-o"]).arg(&output).arg(&source);
    // Comments and blanks are no part of the contract.
    rustc.env("CONTRACT", format!("// a comment\n\n{contract}"));
    let built = rustc.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    std::fs::read(output).unwrap()
}

fn ask(wrong: &str) -> Result<Outcome, PluginError> {
    ask_of(&library(wrong))
}

fn ask_of(bytes: &[u8]) -> Result<Outcome, PluginError> {
    let mut shelf = Shelf::new();
    shelf.add("hello", "instruction", bytes, &format!("{TRUST}\ndigest = \"{}\"", Digest::of(bytes)));
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
fn a_library_of_the_contract_before_something_was_added_goes_on_loading() {
    let added: [(&str, &[&str]); 2] =
        [("devices.wit", &["exec-devices", "op-devices"]), ("signatures.wit", &["image-signatures"])];
    let mut files: Vec<(&str, String)> =
        crate::contract::FILES.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    let function = "    @since(version = 0.1.0)\n    site-file: func(name: string) -> result<option<list<u8>>, failure>;\n";
    let signatures = files.iter_mut().find(|(name, _)| *name == "signatures.wit").unwrap();
    assert!(signatures.1.contains(function));
    signatures.1 = signatures.1.replace(function, "");
    let before: String = files.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(ask_of(&library_of("nothing", &before)).unwrap(), ask("nothing").unwrap());
    for (added, imports) in added {
        files.retain(|(name, _)| *name != added);
        for (_, text) in &mut files {
            for import in imports {
                *text = text.replace(&format!("    import {import};\n"), "");
            }
        }
        let before: String = files.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            ask_of(&library_of("nothing", &before)).unwrap(),
            ask("nothing").unwrap(),
            "before {added}"
        );
    }
    let before: String = files.into_iter().map(|(_, text)| text).collect();
    let other = before.replace("import image-files;", "");
    let refused = ask_of(&library_of("nothing", &other)).unwrap_err();
    assert!(refused.to_string().contains("another text of the contract"), "{refused}");
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
fn a_library_that_blocks_is_given_up_and_not_called_again() {
    let bytes = library("blocks");
    let mut shelf = Shelf::new();
    let lines = format!("{TRUST}\nlimits.time_ms = 50\ndigest = \"{}\"", Digest::of(&bytes));
    shelf.add("hello", "instruction", &bytes, &lines);
    shelf.add(
        "other",
        "instruction",
        &super::instruction(super::NOTHING),
        "keywords = { HELLO = \"OTHER\" }",
    );
    let plugins = shelf.plugins();
    let start = Instant::now();
    let error = plan(&plugins).unwrap_err();
    assert!(matches!(error.fault(), Fault::Time { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(error.to_string(), "plugin `hello`: plan-instruction: took longer than 50 ms");
    assert!(error.next_step().unwrap().contains("[plugin.hello]\nlimits.time_ms = 200"));
    let again = plan(&plugins).unwrap_err();
    assert!(again.to_string().contains("an earlier call of it did not return"), "{again}");
    assert!(again.next_step().is_some());
    let other = super::owner(&plugins, "OTHER").unwrap();
    assert!(other.plan(&super::statement("OTHER"), &mut Fixed::default()).is_ok());
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
