//! `--filter` of `events`: values of one key are alternatives, keys must all fit.

use std::collections::BTreeMap;

use super::{Entry, Kind};

/// The keys docker has. The engine has no daemon, node, config, secret, service or scope to tell
/// apart, so nothing but the local scope fits those.
const KEYS: [&str; 13] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "type",
    "volume",
];

/// Which entries are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    wanted: BTreeMap<String, Vec<String>>,
}

/// Why a filter is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Without a value.
    #[error("invalid argument \"{0}\" for \"-f, --filter\" flag: bad format of filter (expected name=value)")]
    Format(String),
    /// No such key.
    #[error("invalid filter '{0}': expected one of {keys}", keys = KEYS.join(", "))]
    Unknown(String),
}

impl Filter {
    /// Adds `key=value`.
    ///
    /// # Errors
    /// When it is not that, or there is no such key.
    pub fn add(&mut self, text: &str) -> Result<(), FilterError> {
        let (key, value) = text.split_once('=').ok_or_else(|| FilterError::Format(text.to_owned()))?;
        let key = key.trim().to_ascii_lowercase();
        if !KEYS.contains(&key.as_str()) {
            return Err(FilterError::Unknown(key));
        }
        self.wanted.entry(key).or_default().push(value.trim().to_owned());
        Ok(())
    }

    /// Whether entries of this kind are asked for by name.
    pub(super) fn names(&self, kind: Kind) -> bool {
        self.wanted.get("type").is_some_and(|kinds| kinds.iter().any(|name| name == kind.as_str()))
    }

    pub(super) fn fits(&self, entry: &Entry) -> bool {
        self.wanted.iter().all(|(key, values)| values.iter().any(|value| fits(entry, key, value)))
    }
}

fn fits(entry: &Entry, key: &str, value: &str) -> bool {
    let attribute = |name: &str| entry.attributes.get(name).map(String::as_str);
    let begins = |kind: Kind| {
        entry.kind == kind
            && (entry.id.starts_with(value) || attribute("name").is_some_and(|name| name.starts_with(value)))
    };
    match key {
        "type" => entry.kind.as_str() == value,
        // `exec_create: sh` is asked for by the part before the colon.
        "event" => entry.action == value || entry.action.split(':').next() == Some(value),
        "container" => begins(Kind::Container) || attribute("container").is_some_and(|id| id == value),
        "network" => begins(Kind::Network),
        "volume" => begins(Kind::Volume),
        "plugin" => begins(Kind::Plugin) || entry.plugin.as_ref().is_some_and(|plugin| plugin.name == value),
        "image" => is_image(entry, value),
        "label" => match value.split_once('=') {
            Some((name, value)) => attribute(name) == Some(value),
            None => attribute(value).is_some(),
        },
        "scope" => value == "local",
        _ => false,
    }
}

/// By id or name, with or without the tag.
fn is_image(entry: &Entry, value: &str) -> bool {
    let name = match entry.kind {
        Kind::Image => entry.attributes.get("name"),
        Kind::Container => entry.attributes.get("image"),
        _ => return false,
    };
    let untagged = |name: &str| match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        _ => name.to_owned(),
    };
    let by_id = entry.kind == Kind::Image && entry.id == value;
    by_id || name.is_some_and(|name| name == value || untagged(name) == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(texts: &[&str]) -> Filter {
        let mut filter = Filter::default();
        texts.iter().for_each(|text| filter.add(text).unwrap());
        filter
    }

    #[test]
    fn values_of_a_key_are_alternatives_and_keys_must_all_fit() {
        let entry = Entry::new(Kind::Container, "exec_create: sh", "0123abc")
            .with("image", "busybox:1")
            .with("name", "web")
            .with("tier", "front");
        for (texts, expected) in [
            (&[][..], true),
            (&["type=container"], true),
            (&["type=image"], false),
            (&["type=image", "type=container"], true),
            (&["container=web"], true),
            (&["container=0123"], true),
            (&["container=db"], false),
            (&["event=exec_create"], true),
            (&["event=start"], false),
            (&["image=busybox"], true),
            (&["image=busybox:1"], true),
            (&["image=busy"], false),
            (&["label=tier"], true),
            (&["label=tier=front"], true),
            (&["label=tier=back"], false),
            (&["type=container", "event=start"], false),
            (&["volume=web"], false),
            (&["scope=local"], true),
            (&["node=x"], false),
        ] {
            assert_eq!(filter(texts).fits(&entry), expected, "for {texts:?}");
        }
    }

    #[test]
    fn a_filter_has_a_known_key_and_a_value() {
        assert_eq!(Filter::default().add("type"), Err(FilterError::Format("type".into())));
        assert_eq!(Filter::default().add("colour=red"), Err(FilterError::Unknown("colour".into())));
    }
}
