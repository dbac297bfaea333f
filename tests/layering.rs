//! The rules of the house, as tests: which crate may know which, where `unsafe` may stand, what no
//! file is called, how long one may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::repository;

/// Who may know whom. `tests` knows the program only.
const ARROWS: [(&str, &[&str]); 7] = [
    ("wharf-model", &[]),
    ("wharf-store", &["wharf-model"]),
    ("wharf-runtime", &["wharf-model"]),
    ("wharf-plugin", &["wharf-model"]),
    ("wharf-engine", &["wharf-model", "wharf-store", "wharf-runtime", "wharf-plugin"]),
    ("wharf", &["wharf-engine", "wharf-model"]),
    ("wharf-tests", &[]),
];

/// What a crate must not bring in, because it is not its business.
const STRANGERS: [(&str, &[&str]); 5] = [
    ("wharf-model", &["clap", "libc", "nix", "rusqlite", "rustix", "tokio", "wasmtime"]),
    ("wharf-store", &["clap", "nix", "wasmtime"]),
    ("wharf-runtime", &["clap", "rusqlite", "tokio", "toml", "wasmtime"]),
    ("wharf-engine", &["clap", "libc", "rusqlite", "wasmtime"]),
    ("wharf", &["libc", "nix", "rusqlite", "tokio", "wasmtime"]),
];

/// Where `unsafe` may stand.
const UNSAFE: [&str; 7] = [
    "core/plugin/src/aot.rs",
    "core/plugin/src/dylib.rs",
    "core/runtime/src/sys.rs",
    "core/runtime/src/sys/",
    // The other side of dylib.rs: what a native plugin exports.
    "core/plugin/src/tests/native_plugin.rs",
    "plugins/sdk/src/native",
    "plugins/sdk/src/instruction.rs",
];

const NAMES_THAT_SAY_NOTHING: [&str; 7] = ["util", "utils", "helpers", "common", "misc", "types", "manager"];

const LONGEST: usize = 700;

#[test]
fn crates_know_only_what_the_drawing_shows() {
    let found = dependencies();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into();
    for (name, wanted) in &found {
        let allowed = allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not in the drawing"));
        let ours = wanted.iter().filter(|other| other.starts_with("wharf"));
        let wrong: Vec<_> = ours.filter(|other| !allowed.contains(&other.as_str())).collect();
        assert!(wrong.is_empty(), "{name} must not know {wrong:?}");
    }
    let names: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, allowed.keys().copied().collect(), "the crates of the workspace");
}

#[test]
fn crates_leave_to_others_what_is_others_business() {
    let found = dependencies();
    for (name, strangers) in STRANGERS {
        let met: Vec<_> = strangers.iter().filter(|stranger| found[name].contains(**stranger)).collect();
        assert!(met.is_empty(), "{name} must not know {met:?}");
    }
}

#[test]
fn unsafe_stands_where_its_arguments_are_read() {
    for (path, text) in sources() {
        let allowed = UNSAFE.iter().any(|place| path.starts_with(place));
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let used = code.filter(|line| !line.contains('"')).any(|line| {
            line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == "unsafe")
        });
        assert!(allowed || !used, "{path} has `unsafe`, which belongs into one of {UNSAFE:?}");
    }
}

#[test]
fn files_are_called_after_what_they_hold() {
    for (path, _) in sources() {
        let stem = Path::new(&path).file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!NAMES_THAT_SAY_NOTHING.contains(&stem.as_str()), "{path}: name it after what it holds");
    }
}

#[test]
fn files_can_be_read_in_one_sitting() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        let is_test = path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/");
        assert!(is_test || lines <= LONGEST, "{path} has {lines} lines: split it");
    }
}

/// A module that nobody names is not compiled, and its tests never fail.
#[test]
fn every_file_of_the_tests_is_named_by_its_module() {
    // A plugin that a test builds is a crate of its own.
    let is_own = |path: &str| path.starts_with("tests/plugin/forgetful/");
    let files = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("tests/") && path != "tests/e2e.rs" && !is_own(path));
    for (path, _) in files {
        let path = Path::new(&path);
        let (name, folder) = match path.file_stem().unwrap().to_str().unwrap() {
            "mod" => (path.parent().unwrap().file_name().unwrap(), path.parent().unwrap().parent().unwrap()),
            _ => (path.file_stem().unwrap(), path.parent().unwrap()),
        };
        let top = folder == Path::new("tests");
        let parent = if top { "tests/e2e.rs".into() } else { folder.join("mod.rs") };
        let text = fs::read_to_string(repository().join(&parent)).unwrap_or_default();
        let line = format!("mod {};", name.to_str().unwrap());
        assert!(text.lines().any(|it| it == line), "{} does not say `{line}`", parent.display());
    }
}

/// Nothing that a person reads or runs depends on where somebody once worked.
#[test]
fn the_demo_and_the_tests_name_no_mirror() {
    for path in ["dev", "examples/python/Dockerfile", "tests/harness/python.rs", ".ci/run"] {
        let text = fs::read_to_string(repository().join(path)).unwrap();
        for word in ["deb.debian.org", "archive.ubuntu.com", "http_proxy=http"] {
            assert!(!text.contains(word), "{path} names {word}");
        }
    }
}

/// Direct dependencies of each crate of the workspace: those for its tests do not count.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(repository());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let direct = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().clone();
        all.into_iter().filter(|it| it["kind"] != "dev").map(|it| text(&it["name"])).collect()
    };
    packages.map(|package| (text(&package["name"]), direct(package))).collect()
}

/// Every Rust file of the repository, by its path.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for top in ["core", "plugins", "examples", "tests"] {
        collect(&repository().join(top), &mut found);
    }
    assert!(found.len() > 50, "the sources are not where they were");
    found
}

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for path in paths {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(repository()).unwrap().to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}
