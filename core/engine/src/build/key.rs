//! Cache keys: the same ops on the same files that read the same content.
//!
//! A key holds no times, no names of stages and no plugin's digest, so a plugin's upgrade that
//! plans the same keeps the layers. It is made of named parts, which are kept with the result:
//! when a step is not cached, the part that changed since the last build of that line can be told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wharf_model::{Digest, Hasher};

/// Raised when a layer of the same key would come out differently than before.
const FORMAT: &str = "wharf-build-1";

/// The named parts of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parts(BTreeMap<String, Digest>);

impl Parts {
    /// Adds a part as text.
    pub(super) fn add(&mut self, name: impl Into<String>, value: impl AsRef<[u8]>) {
        self.0.insert(name.into(), Digest::of(value));
    }

    /// The key.
    pub(super) fn key(&self) -> Digest {
        let mut hasher = Hasher::new();
        hasher.field(FORMAT);
        for (name, digest) in &self.0 {
            hasher.field(name);
            hasher.field(digest.to_string());
        }
        hasher.finish()
    }

    /// The names of parts that differ.
    pub(super) fn changed_since(&self, before: &Self) -> Vec<String> {
        let names = self.0.keys().chain(before.0.keys()).collect::<std::collections::BTreeSet<_>>();
        names.into_iter().filter(|name| self.0.get(*name) != before.0.get(*name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_called_by_its_name() {
        let mut before = Parts::default();
        before.add("base", "a");
        before.add("content of .", "b");
        let mut now = before.clone();
        assert_eq!(now.key(), before.key());
        now.add("content of .", "c");
        now.add("env", "");
        assert_ne!(now.key(), before.key());
        assert_eq!(now.changed_since(&before), ["content of .", "env"]);
    }
}
