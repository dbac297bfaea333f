//! Writes the C side of the contract: `c-glue WIT TEMPLATES` makes `TEMPLATES/c/bindings/<kind>/` of the
//! contract in `WIT`, in the words of a world called `plugin` with everything that its kind may import.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::{PackageId, Resolve, WorldId};

const KINDS: [&str; 4] = ["instruction", "storage", "network", "hook"];

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [contract, templates] = &arguments[..] else { bail!("expected two directories: WIT TEMPLATES") };
    for kind in KINDS {
        let out = templates.join("c/bindings").join(kind);
        fs::create_dir_all(&out)?;
        for (name, content) in generate(contract, kind)?.iter() {
            fs::write(out.join(name), content).with_context(|| format!("{} {name}", out.display()))?;
        }
    }
    Ok(())
}

/// What the generator makes of a kind's world.
fn generate(contract: &Path, kind: &str) -> Result<Files> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(contract)?;
    let world = world(&mut resolve, package, kind)?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    Ok(files)
}

/// `plugin` is a shorter prefix in C than `instruction-plugin`.
fn world(resolve: &mut Resolve, package: PackageId, kind: &str) -> Result<WorldId> {
    let name = &resolve.packages[package].name;
    let text = match &name.version {
        Some(version) => {
            format!("package wharf:c;\nworld plugin {{ include wharf:plugin/{kind}-plugin@{version}; }}\n")
        }
        None => bail!("{name} has no version"),
    };
    let own = resolve.push_str("plugin.wit", &text)?;
    resolve.select_world(&[own], Some("plugin"))
}
