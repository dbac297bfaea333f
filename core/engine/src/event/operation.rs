//! Steps of plugins' plans as entries of the journal.
//!
//! An entry is made from the step's own serialization, so that every operation of the contract has
//! one, also those that are added later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wharf_model::Digest;

use super::{Entry, Kind, bounded};

/// Bytes of one attribute of a step.
const LONGEST: usize = 512;

/// May hold secrets, or whole files.
const UNSAID: [&str; 4] = ["content", "env", "base", "inputs"];

/// A plugin that asked for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Its name in the config.
    pub name: String,
    /// The digest of its component or library; `None` when it could not be loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

impl Asker {
    pub(crate) fn new(name: &str, digest: Digest) -> Self {
        Self { name: name.to_owned(), digest: Some(digest) }
    }
}

/// One step, about the object `id`.
pub(crate) fn operation(step: &impl Serialize, id: &str, plugin: &Asker) -> Entry {
    let (name, fields) = match serde_json::to_value(step) {
        Ok(Value::Object(tagged)) => tagged.into_iter().next().unwrap_or_default(),
        Ok(Value::String(name)) => (name, Value::Null),
        _ => (String::new(), Value::Null),
    };
    let entry = Entry::new(Kind::Operation, kebab(&name), id).by(plugin);
    Entry { attributes: attributes(fields), ..entry }
}

/// A mount of a storage plan: `mount-overlay`, `mount-bind`, ...
pub(crate) fn mount(mount: &impl Serialize, id: &str, plugin: &Asker) -> Entry {
    let entry = operation(mount, id, plugin);
    Entry { action: format!("mount-{}", entry.action), ..entry }
}

fn attributes(fields: Value) -> BTreeMap<String, String> {
    match fields {
        Value::Null => BTreeMap::new(),
        // A path below an area, or a newtype's fields.
        Value::Object(fields) if rooted(&fields).is_none() => {
            let said = fields
                .into_iter()
                .filter(|(name, value)| !UNSAID.contains(&name.as_str()) && !is_empty(value));
            said.map(|(name, value)| (name, bounded(text(value), LONGEST))).collect()
        }
        other => BTreeMap::from([("path".to_owned(), bounded(text(other), LONGEST))]),
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Array(items) => items.into_iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => rooted(&fields).unwrap_or_else(|| Value::Object(fields).to_string()),
        other => other.to_string(),
    }
}

/// `container/<id>/changes`.
fn rooted(fields: &serde_json::Map<String, Value>) -> Option<String> {
    let (area, path) = (fields.get("area")?.as_str()?, fields.get("path")?.as_str()?);
    (fields.len() == 2).then(|| format!("{area}/{path}"))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// `RemoveTree` is `remove-tree`.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_model::storage::{Area, Rooted, StorageAction};

    fn shown(step: &impl Serialize) -> (String, Vec<(String, String)>) {
        let entry = operation(step, "x", &Asker { name: "p".into(), digest: None });
        (entry.action, entry.attributes.into_iter().collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn steps_are_told_by_their_own_words() {
        let path = |text: &str| Rooted::new(Area::Container, text).unwrap();
        let rename = StorageAction::Rename { source: path("a/b"), dest: path("c") };
        assert_eq!(
            shown(&rename),
            ("rename".into(), pairs(&[("dest", "container/c"), ("source", "container/a/b")]))
        );
        let remove = StorageAction::RemoveTree(path("a"));
        assert_eq!(shown(&remove), ("remove-tree".into(), pairs(&[("path", "container/a")])));
    }

    #[test]
    fn what_may_be_secret_is_not_told() {
        #[derive(Serialize)]
        enum Step {
            Exec { env: Vec<(String, String)>, cwd: Option<String>, argv: Vec<String> },
        }
        let step = Step::Exec {
            env: vec![("TOKEN".into(), "secret".into())],
            cwd: None,
            argv: vec!["a".into(), "b".into()],
        };
        assert_eq!(shown(&step), ("exec".into(), pairs(&[("argv", "a b")])));
    }
}
