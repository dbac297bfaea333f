//! Embeds the default plugins, and refuses components that were built from other sources than those beside
//! them; lists the files that `plugin new` writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> io::Result<()> {
    for path in ["../../plugins", "../../wit"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let fresh = Command::new("bash").args(["../../plugins/build.sh", "--stale"]).status();
    match fresh {
        Ok(status) if status.success() => {}
        Ok(_) => println!("cargo::error=plugins/prebuilt is older than its sources: run plugins/build.sh"),
        Err(error) => println!("cargo::error=cannot run plugins/build.sh --stale: {error}"),
    }
    packed_relocations();
    embedded()?;
    templates()
}

/// A program of this size has tens of thousands of addresses that are put right at every start. Packed
/// (DT_RELR), their list fills four pages instead of three hundred.
fn packed_relocations() {
    let target = |part| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Writes `PLUGINS`: each component of `plugins/prebuilt/` with its digest and what it says of itself.
fn embedded() -> io::Result<()> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let prebuilt = fs::canonicalize("../../plugins/prebuilt")?;
    let mut text = String::from(
        "/// The components that this binary holds.\npub(crate) static PLUGINS: &[Embedded] = &[\n",
    );
    let digests = fs::read_to_string(prebuilt.join("PREBUILT.sha256"))?;
    for line in fs::read_to_string(prebuilt.join("DESCRIPTIONS"))?.lines() {
        let about: BTreeMap<String, String> = serde_json::from_str(line)?;
        let [name, digest, description] = ["name", "digest", "description"].map(|key| &about[key]);
        let hex = digest.trim_start_matches("sha256:");
        if !digests.lines().any(|line| line == format!("{hex}  {name}.wasm")) {
            println!(
                "cargo::error=plugins/prebuilt/DESCRIPTIONS is not about {name}.wasm: run plugins/build.sh"
            );
        }
        let component = prebuilt.join(name).with_extension("wasm");
        let _ = writeln!(
            text,
            "    Embedded {{\n        name: {name:?},\n        bytes: include_bytes!({component:?}),\n        \
             digest: Some({digest:?}),\n        description: Some({description:?}),\n    }},"
        );
    }
    text.push_str("];\n");
    fs::write(out.join("embedded.rs"), text)
}

/// Writes `TEMPLATES`: what `plugins/templates/` has, the contract below `wit/`, and the kit below
/// `rust/vendor/`.
fn templates() -> io::Result<()> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let top = fs::canonicalize("../..")?;
    let mut files = Vec::new();
    for (from, to) in [
        ("plugins/templates", ""),
        ("wit", "wit/"),
        ("plugins/sdk/src", "rust/vendor/wharf-sdk/src/"),
        ("plugins/Cargo.lock", "rust/project/Cargo.lock"),
    ] {
        collect(&top.join(from), to, &mut files)?;
    }
    let manifest = out.join("sdk.toml");
    fs::write(&manifest, sdk_manifest(&top)?)?;
    files.push(("rust/vendor/wharf-sdk/Cargo.toml".into(), manifest));
    files.sort();

    let mut text = String::from(
        "/// Every file of every template, by its path.\nstatic TEMPLATES: &[(&str, &[u8])] = &[\n",
    );
    for (name, path) in files {
        let _ = writeln!(text, "    ({name:?}, include_bytes!({path:?})),");
    }
    text.push_str("];\n");
    fs::write(out.join("templates.rs"), text)
}

/// The files below a path, under the names they get.
fn collect(path: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    if path.is_file() {
        files.push((name.to_owned(), path.to_owned()));
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let below = if entry.file_type()?.is_dir() { "/" } else { "" };
        let name = format!("{name}{}{below}", entry.file_name().to_string_lossy());
        collect(&entry.path(), &name, files)?;
    }
    Ok(())
}

/// The kit's `Cargo.toml`, on its own: what it has from its workspace is written out.
fn sdk_manifest(top: &Path) -> io::Result<String> {
    let workspace = fs::read_to_string(top.join("plugins/Cargo.toml"))?;
    let own = fs::read_to_string(top.join("plugins/sdk/Cargo.toml"))?;
    let own = own.split("\n[lints]").next().unwrap_or_default();
    let written_out = own.lines().map(|line| match line.strip_suffix(".workspace = true") {
        None => line,
        Some(key) => {
            let value = workspace
                .lines()
                .find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = ")));
            value.unwrap_or(line)
        }
    });
    Ok(written_out.collect::<Vec<_>>().join("\n") + "\n")
}
