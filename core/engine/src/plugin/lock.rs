//! `plugin lock`: writes down what every configured plugin is now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use wharf_plugin::Level;
use wharf_plugin::config::edit;
use wharf_plugin::lock::Lock;

use super::ChangeError;
use super::file::pin;
use crate::Engine;

impl Engine {
    /// Writes the lock beside each config file that defines plugins; the answer is what was locked
    /// where.
    ///
    /// # Errors
    /// When a plugin can not be loaded; no lock is changed then.
    pub fn lock_plugins(&self) -> Result<Vec<(PathBuf, Vec<String>)>, ChangeError> {
        let config = self.config_unlocked()?;
        let plugins = self.plugins_of(config.clone())?;
        let mut files: BTreeMap<PathBuf, BTreeMap<String, _>> = BTreeMap::new();
        for plugin in config.plugins.iter().filter(|plugin| plugin.level != Level::Defaults) {
            let pins = files.entry(plugin.place.file.clone()).or_default();
            pins.insert(plugin.name.clone(), pin(&plugins, plugin)?);
        }
        let mut locked = Vec::new();
        for (file, pins) in files {
            let names: Vec<String> = pins.keys().cloned().collect();
            let old = Lock::of(&file)?.map(|lock| lock.pins.into_keys().collect()).unwrap_or_default();
            let gone: BTreeSet<String> = old;
            edit::write(&Self::relock(&file, pins, &gone)?.into_iter().collect::<Vec<_>>())?;
            locked.push((Lock::beside(&file), names));
        }
        Ok(locked)
    }
}
