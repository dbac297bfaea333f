//! Events: what was done here, to what, and which plugin asked for it.
//!
//! Two sorts are in one journal (`<root>/events/`, see [`wharf_store::journal`]), each a line of JSON:
//!
//! | kind | written | what it says |
//! |---|---|---|
//! | `container`, `image`, `network`, `volume`, `plugin` | when it has happened | docker's events |
//! | `operation` | before it is carried out | one step of a plugin's plan, with the plugin and its digest |
//! | `hook` | when a hook has answered | an adjustment, a warning or a denial |
//!
//! An operation that fails is followed by one named `failed`. Contents of files and environments are
//! never in the journal, as they may hold secrets. A journal that can not be written (a full disk)
//! stops nothing: the engine must be able to remove things then.

mod filter;
mod life;
mod operation;
mod stream;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wharf_model::{Digest, Reference};
use wharf_store::Store;

pub use filter::{Filter, FilterError};
pub use operation::Asker;
pub(crate) use operation::{mount, operation};
pub use stream::{EventsError, EventsOptions, Plugins};

use crate::Engine;
use crate::container::Container;

/// Bytes of one attribute; what is longer is cut.
const LONGEST: usize = 4096;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// A plugin of the configuration.
    Plugin,
    /// A step of a plugin's plan.
    Operation,
    /// A hook's answer.
    Hook,
}

impl Kind {
    /// As `--filter type=` and docker's JSON have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Plugin => "plugin",
            Self::Operation => "operation",
            Self::Hook => "hook",
        }
    }

    /// Docker has events of this kind; the others are shown when they are asked for.
    pub fn is_dockers(self) -> bool {
        !matches!(self, Self::Operation | Self::Hook)
    }
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Nanoseconds since 1970.
    pub time: i64,
    /// What it is about.
    pub kind: Kind,
    /// What was done: `create`, `die`, `mkdir`, `deny`, ...
    pub action: String,
    /// The id or name of what it was done to.
    pub id: String,
    /// What else is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The plugin that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Asker>,
}

impl Entry {
    pub(crate) fn new(kind: Kind, action: impl Into<String>, id: impl Into<String>) -> Self {
        let time = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        Self { time, kind, action: action.into(), id: id.into(), attributes: BTreeMap::new(), plugin: None }
    }

    pub(crate) fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), bounded(value.into(), LONGEST));
        self
    }

    pub(crate) fn by(mut self, plugin: &Asker) -> Self {
        self.plugin = Some(plugin.clone());
        self
    }

    /// A container with docker's attributes: its labels, its image and its name.
    pub(crate) fn of(container: &Container, action: impl Into<String>) -> Self {
        let labels = container.config.labels.iter();
        let entry = labels.fold(Self::new(Kind::Container, action, &container.id), |entry, (name, value)| {
            entry.with(name, value)
        });
        entry.with("image", &container.image).with("name", &container.name)
    }

    /// A network; `type` is its driver, as docker calls it.
    pub(crate) fn network(action: &str, name: &str, id: &str, driver: &str) -> Self {
        Self::new(Kind::Network, action, id).with("name", name).with("type", driver)
    }

    /// An image by its id, with a name where it is about one.
    pub(crate) fn image(action: impl Into<String>, id: &Digest, name: Option<String>) -> Self {
        let id = id.to_string();
        Self::new(Kind::Image, action, &id).with("name", name.unwrap_or(id))
    }

    /// An image that came from elsewhere or went there: docker tells which by its name, and the repository.
    pub(crate) fn transfer(action: &str, name: &Reference) -> Self {
        Self::new(Kind::Image, action, name.familiar()).with("name", name.familiar_name())
    }

    /// What nobody used was removed; `bytes` were taken by it.
    pub(crate) fn prune(kind: Kind, bytes: u64) -> Self {
        Self::new(kind, "prune", "").with("reclaimed", bytes.to_string())
    }
}

fn bounded(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push_str("...");
    }
    text
}

/// Adds entries to a store's journal, all at once.
pub(crate) fn note(store: &Store, entries: impl IntoIterator<Item = Entry>) {
    let lines: Vec<String> =
        entries.into_iter().filter_map(|entry| serde_json::to_string(&entry).ok()).collect();
    // A journal that can not be written stops nothing.
    let _ = store.journal().append(lines.iter().map(String::as_str));
}

impl Engine {
    /// Adds entries to the journal, all at once.
    pub(crate) fn note(&self, entries: impl IntoIterator<Item = Entry>) {
        note(&self.store, entries);
    }

    /// Notes what was done to a plugin of the configuration: `add`, `grant`, `approve`, ...
    pub(crate) fn note_plugin(&self, action: &str, name: &str, attributes: &[(&str, &str)]) {
        let entry = Entry::new(Kind::Plugin, action, name).with("name", name);
        let entry = attributes.iter().fold(entry, |entry, (name, value)| entry.with(*name, *value));
        self.note([entry]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_short_line() {
        let entry = Entry::new(Kind::Image, "tag", "x").with("name", "a\nb").with("long", "ü".repeat(9000));
        let line = serde_json::to_string(&entry).unwrap();
        assert!(!line.contains('\n') && line.len() < LONGEST + 200, "{}", line.len());
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry);
        let pulled = Entry::transfer("pull", &"h.io/a:1".parse().unwrap());
        assert_eq!((pulled.id.as_str(), pulled.attributes["name"].as_str()), ("h.io/a:1", "h.io/a"));
    }
}
