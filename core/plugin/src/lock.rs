//! `wharf.lock`: what each plugin of the `wharf.toml` beside it was when it was last looked at.
//!
//! ```toml
//! version = 1
//!
//! [plugin.apt]
//! source = "file:/usr/lib/wharf/apt.wasm"
//! digest = "sha256:..."
//! world = "instruction"
//! version = "1.4.0"
//! keywords = ["APT"]
//! grants = ["net:sandbox", "ops:exec"]
//! ```
//!
//! A plugin that the lock names has to be what the lock says, or it is not used: its code, its
//! world, the keywords it has here, and what the file beside the lock grants it. A plugin that the
//! lock does not name is not locked. Without a lock, nothing is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wharf_model::{Digest, Keyword};

use crate::config::{Place, PluginConfig, World};
use crate::rights;

/// Bytes of a lock at most.
const LARGEST: u64 = 4 << 20;

const HEAD: &str = "# What each plugin of the wharf.toml beside this file was when it was last looked at.\n\
                    # `wharf plugin add`, `grant`, `update` and `lock` write it; keep it with the wharf.toml.\n\n";

/// Why a lock can not be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It is there but can not be read.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what a lock is.
    #[error("{path}: {what}", path = .path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// One plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Where its code is from, as the config writes it.
    pub source: String,
    /// Its code.
    pub digest: Digest,
    /// Its contract.
    pub world: World,
    /// The version that its author gave it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The keywords that it has here.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub keywords: BTreeSet<Keyword>,
    /// What the config grants it, in words.
    #[serde(default)]
    pub grants: BTreeSet<String>,
}

/// All of a file's plugins that are locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The lock's own file.
    pub path: PathBuf,
    /// By name.
    pub pins: BTreeMap<String, Pin>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    #[serde(default)]
    plugin: BTreeMap<String, Pin>,
}

/// The config and the lock say different things.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {place} says {config}, and {lock} says {pinned}", lock = .lock.display())]
pub struct Mismatch {
    /// What differs.
    pub key: &'static str,
    /// Where the config defines the plugin.
    pub place: Place,
    /// As the config has it.
    pub config: String,
    /// The lock.
    pub lock: PathBuf,
    /// As the lock has it.
    pub pinned: String,
}

impl Lock {
    /// The lock that belongs to a config file.
    pub fn beside(config: &Path) -> PathBuf {
        config.with_extension("lock")
    }

    /// The lock of a config file; `None` when there is none.
    ///
    /// # Errors
    /// When it can not be read or is no lock.
    pub fn of(config: &Path) -> Result<Option<Self>, LockError> {
        let path = Self::beside(config);
        let cannot = |source| LockError::Read { path: path.clone(), source };
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error)),
        };
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(file, LARGEST), &mut text).map_err(cannot)?;
        Self::parse(&path, &text).map(Some)
    }

    /// Reads a lock's text.
    ///
    /// # Errors
    /// When it is no lock, or one of a later version.
    pub fn parse(path: &Path, text: &str) -> Result<Self, LockError> {
        let wrong = |what: String| LockError::Syntax { path: path.into(), what };
        let text: Text = toml::from_str(text)
            .map_err(|error| wrong(error.message().lines().collect::<Vec<_>>().join(", ")))?;
        if text.version != 1 {
            return Err(wrong(format!(
                "it is of version {}, and this program knows version 1",
                text.version
            )));
        }
        Ok(Self { path: path.into(), pins: text.plugin })
    }

    /// As it is written.
    pub fn text(&self) -> String {
        let text = Text { version: 1, plugin: self.pins.clone() };
        format!("{HEAD}{}", toml::to_string(&text).unwrap_or_default())
    }
}

impl LockError {
    /// What would get the user past this.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Syntax { path, .. } => {
                Some(format!("move {} away and write it anew with `wharf plugin lock`", path.display()))
            }
        }
    }
}

impl Pin {
    /// The first difference to a definition, apart from what only its code tells.
    pub fn against(&self, lock: &Path, plugin: &PluginConfig) -> Option<Mismatch> {
        let differs = |key, config: String, pinned: String| {
            let place = plugin.place.clone();
            (config != pinned).then(|| Mismatch { key, place, config, lock: lock.into(), pinned })
        };
        let digest = plugin.digest.unwrap_or(self.digest);
        differs("source", plugin.source.to_string(), self.source.clone())
            .or_else(|| differs("digest", digest.to_string(), self.digest.to_string()))
            .or_else(|| differs("world", plugin.world.to_string(), self.world.to_string()))
            .or_else(|| differs("grants", list(&rights::words(&plugin.grants)), list(&self.grants)))
    }

    /// Whether the keywords that its code answers to are those of the lock.
    pub fn against_keywords<'a>(
        &self,
        lock: &Path,
        place: &Place,
        keywords: impl Iterator<Item = &'a Keyword>,
    ) -> Option<Mismatch> {
        let claimed: BTreeSet<Keyword> = keywords.cloned().collect();
        let words = |keywords: &BTreeSet<Keyword>| list(&keywords.iter().map(Keyword::to_string).collect());
        (claimed != self.keywords).then(|| Mismatch {
            key: "keywords",
            place: place.clone(),
            config: words(&claimed),
            lock: lock.into(),
            pinned: words(&self.keywords),
        })
    }
}

fn list(words: &BTreeSet<String>) -> String {
    if words.is_empty() { "nothing".into() } else { words.iter().cloned().collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin() -> Pin {
        Pin {
            source: "file:/a.wasm".into(),
            digest: Digest::of("a"),
            world: World::Instruction,
            version: "1.0.0".into(),
            keywords: ["APT".parse().unwrap()].into(),
            grants: ["ops:exec".to_owned()].into(),
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let lock = Lock { path: "wharf.lock".into(), pins: [("apt".to_owned(), pin())].into() };
        let text = lock.text();
        assert!(text.starts_with("# What each plugin"), "{text}");
        assert!(text.contains("[plugin.apt]\nsource = \"file:/a.wasm\"\ndigest = \"sha256:"), "{text}");
        assert_eq!(Lock::parse(&lock.path, &text).unwrap(), lock);
        assert_eq!(Lock::parse(&lock.path, "version = 1\n").unwrap().pins.len(), 0);
    }

    #[test]
    fn what_is_no_lock_is_named() {
        for (text, what) in [
            ("", "wharf.lock: missing field `version`"),
            ("version = 2", "wharf.lock: it is of version 2, and this program knows version 1"),
            ("version = 1\nx = 2", "wharf.lock: unknown field `x`"),
            ("version = 1\n[plugin.a]\nsource = \"x\"", "wharf.lock: missing field `digest`"),
            ("= 1", "wharf.lock: "),
        ] {
            let error = Lock::parse(Path::new("wharf.lock"), text).unwrap_err();
            assert!(error.to_string().starts_with(what), "{error}");
            assert!(error.next_step().unwrap().contains("wharf plugin lock"));
        }
    }
}
