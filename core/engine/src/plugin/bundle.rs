//! Bundles: plugins in a tar file, for machines without a network.
//!
//! ```text
//! plugins.json             [{name, source, world, version, digest, keywords, requests}]
//! code/<sha256>            the components and libraries, as they were built
//! ```
//!
//! Compiled code never travels, and neither do grants: `requests` is there to be read by a person,
//! and the machine that adds the bundle asks the plugins again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use wharf_model::manifest::Request;
use wharf_model::{Digest, Keyword};
use wharf_plugin::{PluginSource, World};

use super::ChangeError;
use super::add::Arrival;
use crate::{Engine, WholeFile};

const INDEX: &str = "plugins.json";
/// Bytes of the index at most.
const LARGEST_INDEX: u64 = 4 << 20;
/// Bytes of one plugin at most.
const LARGEST: u64 = 256 << 20;
/// Plugins at most.
const MOST: usize = 1000;

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    source: String,
    world: World,
    version: String,
    digest: Digest,
    keywords: BTreeMap<Keyword, Keyword>,
    requests: Vec<Request>,
}

impl Engine {
    /// Writes plugins into a bundle; the answer is what it holds.
    ///
    /// # Errors
    /// When one can not be used, or the file can not be written.
    pub fn bundle_plugins(
        &self,
        names: &[String],
        path: &Path,
    ) -> Result<Vec<(String, Digest)>, ChangeError> {
        let mut entries = Vec::new();
        let mut codes = BTreeMap::new();
        for name in names {
            let plugin = Self::known(self.config(), name)?;
            let portrait = self.plugins.portrait(name)?;
            codes.insert(portrait.digest, self.plugins.code(name)?);
            entries.push(Entry {
                name: name.clone(),
                source: plugin.source.to_string(),
                world: plugin.world,
                version: portrait.manifest.version,
                digest: portrait.digest,
                keywords: plugin.keywords.clone(),
                requests: portrait.manifest.requests,
            });
        }
        let written = WholeFile::create(path).and_then(|file| {
            write(&file.file, &entries, &codes)?;
            file.appear()
        });
        written.map_err(|source| ChangeError::Io { what: "write", path: path.to_owned(), source })?;
        Ok(entries.into_iter().map(|entry| (entry.name, entry.digest)).collect())
    }
}

fn write(
    file: &File,
    entries: &[Entry],
    codes: &BTreeMap<Digest, std::borrow::Cow<'static, [u8]>>,
) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(file);
    let index = serde_json::to_vec_pretty(entries)?;
    append(&mut tar, INDEX, &index)?;
    for (digest, code) in codes {
        append(&mut tar, &format!("code/{}", digest.hex()), code)?;
    }
    tar.finish()
}

/// The same plugins give the same file: no times, no owners.
fn append(tar: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    tar.append_data(&mut header, name, bytes)
}

/// Whether a file is a tar archive.
pub(super) fn is_bundle(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

/// The plugins of a bundle, each held against its digest.
pub(super) fn unpack(path: &Path, bytes: &[u8]) -> Result<Vec<Arrival>, ChangeError> {
    let wrong = |what: String| ChangeError::Bundle { path: path.to_owned(), what };
    let (index, mut codes) = read(bytes).map_err(|error| wrong(error.to_string()))?;
    let index = index.ok_or_else(|| wrong(format!("it has no {INDEX}")))?;
    let entries: Vec<Entry> =
        serde_json::from_slice(&index).map_err(|error| wrong(format!("{INDEX}: {error}")))?;
    let mut arrivals = Vec::new();
    for entry in entries {
        let Some(code) = codes.remove(&entry.digest) else {
            return Err(wrong(format!("the code of `{}`, {}, is not in it", entry.name, entry.digest)));
        };
        arrivals.push(Arrival {
            name: entry.name,
            source: PluginSource::Bundle(path.to_owned()),
            bytes: code,
            keywords: entry.keywords,
        });
    }
    if arrivals.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    Ok(arrivals)
}

type Contents = (Option<Vec<u8>>, BTreeMap<Digest, Vec<u8>>);

/// Nothing is unpacked into files: names in the archive are compared, and never become paths.
fn read(bytes: &[u8]) -> std::io::Result<Contents> {
    let mut index = None;
    let mut codes = BTreeMap::new();
    for entry in tar::Archive::new(bytes).entries()? {
        let mut entry = entry?;
        let is_index = entry.path_bytes().as_ref() == INDEX.as_bytes();
        let limit = if is_index { LARGEST_INDEX } else { LARGEST };
        if entry.size() > limit || codes.len() > MOST || !entry.header().entry_type().is_file() {
            return Err(std::io::Error::other("it holds something that is no plugin"));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if is_index {
            index = Some(content);
        } else {
            codes.insert(Digest::of(&content), content);
        }
    }
    Ok((index, codes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(codes: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("b.tar");
        let entry = Entry {
            name: "a".into(),
            source: "file:/a.wasm".into(),
            world: World::Instruction,
            version: "1.0.0".into(),
            digest: Digest::of("code"),
            keywords: BTreeMap::new(),
            requests: vec![],
        };
        let codes = codes.iter().map(|code| (Digest::of(code), code.as_bytes().to_vec().into())).collect();
        write(&File::create(&path).unwrap(), &[entry], &codes).unwrap();
        (temp, path)
    }

    #[test]
    fn what_was_bundled_is_found_by_its_digest() {
        let (_temp, path) = bundle(&["code"]);
        let bytes = std::fs::read(&path).unwrap();
        assert!(is_bundle(&bytes));
        let arrivals = unpack(&path, &bytes).unwrap();
        assert_eq!((arrivals.len(), &*arrivals[0].name, &*arrivals[0].bytes), (1, "a", &b"code"[..]));
    }

    #[test]
    fn other_code_than_the_index_names_is_refused() {
        let (_temp, path) = bundle(&["CODE"]);
        let error = unpack(&path, &std::fs::read(&path).unwrap()).err().unwrap();
        assert!(error.to_string().contains("the code of `a`"), "{error}");
        let (_temp, path) = bundle(&["code"]);
        let mut bytes = std::fs::read(&path).unwrap();
        let cut = bytes.len() / 2;
        bytes.truncate(cut);
        assert!(unpack(&path, &bytes).is_err());
    }
}
