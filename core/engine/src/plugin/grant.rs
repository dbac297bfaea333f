//! `plugin grant`: what a plugin may do, changed in the file that has the last word.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use wharf_model::grant::Grants;
use wharf_plugin::config::edit::{self, Edit};
use wharf_plugin::lock::Lock;
use wharf_plugin::rights::{self, RightState};

use super::add::refuse_unrequested;
use super::{ChangeError, Whose};
use crate::Engine;

/// A change of grants.
#[derive(Debug, Clone, Default)]
pub struct Regrant {
    /// Rights in words.
    pub rights: Vec<String>,
    /// Everything it requests.
    pub all: bool,
    /// Take them away instead.
    pub revoke: bool,
    /// Only say what would be written.
    pub dry_run: bool,
    /// Which file.
    pub whose: Whose,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct GrantChange {
    /// The lines of the file; none when nothing changes.
    pub lines: Vec<String>,
    /// The file.
    pub file: PathBuf,
    /// How its rights stand afterwards.
    pub rights: Vec<RightState>,
}

impl Engine {
    /// How a plugin's rights stand.
    ///
    /// # Errors
    /// When there is none of that name, or it can not be loaded.
    pub fn plugin_rights(&self, name: &str) -> Result<Vec<RightState>, ChangeError> {
        let config = self.config_unlocked()?;
        let grants = &Self::known(&config, name)?.grants;
        let manifest = self.plugins_of(config.clone())?.manifest(name)?;
        Ok(rights::states(grants, &manifest.requests))
    }

    /// Grants rights, or takes them away.
    ///
    /// # Errors
    /// When a word is no right, the plugin does not request it, or another file has the last word.
    pub fn grant(&self, name: &str, change: &Regrant) -> Result<GrantChange, ChangeError> {
        let config = self.config_unlocked()?;
        let before = Self::known(&config, name)?.grants.clone();
        let manifest = self.plugins_of(config)?.manifest(name)?;
        let mut named = rights::parse(&change.rights)?;
        if change.all {
            let wanted = manifest.requests.iter().map(|request| &request.right);
            named = rights::parse(wanted.filter(|right| rights::is_known(right)))?;
        }
        if !change.revoke {
            refuse_unrequested(name, &named, &manifest)?;
        }
        let after = if change.revoke { without(&before, &named) } else { with(&before, &named) };
        let file = self.file_about(name, change.whose)?;
        let lines = self.regrant(name, &file, &before, &after, change.dry_run)?;
        if !change.dry_run && !lines.is_empty() {
            let action = if change.revoke { "revoke" } else { "grant" };
            let words: Vec<String> = rights::words(&named).into_iter().collect();
            self.note_plugin(action, name, &[("grants", &words.join(" "))]);
        }
        Ok(GrantChange { lines, file, rights: rights::states(&after, &manifest.requests) })
    }

    fn regrant(
        &self,
        name: &str,
        file: &std::path::Path,
        before: &Grants,
        after: &Grants,
        dry_run: bool,
    ) -> Result<Vec<String>, ChangeError> {
        let (old, new) = (by_key(before), by_key(after));
        let mut edit = Edit::open(file)?;
        let mut lines = Vec::new();
        for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let values = new.get(key).cloned().unwrap_or_default();
            if old.get(key) != Some(&values) {
                edit.set_grants(name, key, &values)?;
                let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
                lines.push(format!("grants.{key} = [{}]", quoted.join(", ")));
            }
        }
        if lines.is_empty() {
            return Ok(lines);
        }
        lines.insert(0, format!("[plugin.{name}]"));
        let change = edit.change();
        let config = self.config_with(&change)?;
        if config.plugin(name).is_none_or(|plugin| plugin.grants != *after) {
            return Err(ChangeError::Overruled { name: name.to_owned(), file: file.to_owned() });
        }
        if !dry_run {
            let lock = Self::relock(file, repinned(name, file, &config)?, &BTreeSet::new())?;
            edit::write(&[change].into_iter().chain(lock).collect::<Vec<_>>())?;
        }
        Ok(lines)
    }
}

/// The plugin's pin with its new grants, if that file's lock has one.
fn repinned(
    name: &str,
    file: &std::path::Path,
    config: &wharf_plugin::Config,
) -> Result<BTreeMap<String, wharf_plugin::lock::Pin>, ChangeError> {
    let pin = Lock::of(file)?.and_then(|lock| lock.pins.get(name).cloned());
    let defined = config.plugin(name).filter(|plugin| plugin.place.file == file);
    let (Some(mut pin), Some(plugin)) = (pin, defined) else { return Ok(BTreeMap::new()) };
    pin.grants = rights::words(&plugin.grants);
    Ok(BTreeMap::from([(name.to_owned(), pin)]))
}

fn with(before: &Grants, more: &Grants) -> Grants {
    let words = rights::words(before).into_iter().chain(rights::words(more));
    rights::parse(words).unwrap_or_else(|_| before.clone())
}

/// What is left when some rights, and what they cover, are gone.
fn without(before: &Grants, less: &Grants) -> Grants {
    let less = rights::words(less);
    let left = rights::words(before);
    let left = left.into_iter().filter(|right| !less.iter().any(|gone| rights::covers(gone, right)));
    rights::parse(left).unwrap_or_else(|_| before.clone())
}

fn by_key(grants: &Grants) -> BTreeMap<String, Vec<String>> {
    let mut keys = BTreeMap::<String, Vec<String>>::new();
    for word in rights::words(grants) {
        if let Some((key, value)) = word.split_once(':') {
            keys.entry(key.to_owned()).or_default().push(value.to_owned());
        }
    }
    keys
}
