//! What components say of themselves, for a program that they are part of.
//!
//! `describe FILE.wasm...` prints one line of JSON for each: its name, the digest of the component, and
//! the text for [`Embedded::description`](wharf_plugin::Embedded::description). The components are asked
//! without settings; one that wants some is an error.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use wharf_model::Digest;
use wharf_plugin::outline::Outline;
use wharf_plugin::{Config, PluginConfig, PluginSource, Plugins};

fn main() -> Result<(), Box<dyn Error>> {
    let cache = tempfile::tempdir()?;
    let mut out = std::io::stdout().lock();
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        writeln!(out, "{}", line(&path, &cache.path().join("cache"))?)?;
    }
    Ok(())
}

fn line(path: &Path, cache: &Path) -> Result<serde_json::Value, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let name = path.file_stem().ok_or("no file name")?.to_string_lossy().into_owned();
    let world = Outline::of(&bytes)?.world()?;
    let plugin = PluginConfig::fresh(&name, world, PluginSource::File(std::path::absolute(path)?));
    let config = Config { plugins: vec![plugin], ..Config::default() };
    let description = Plugins::load(config, cache, &[])?.description(&name)?;
    let digest = Digest::of(&bytes).to_string();
    Ok(serde_json::json!({ "name": name, "digest": digest, "description": description }))
}
