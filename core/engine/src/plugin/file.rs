//! Which config file a command changes, and what that would mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wharf_plugin::config::edit::{Change, Edit};
use wharf_plugin::lock::{Lock, Pin};
use wharf_plugin::{Config, Level, PluginConfig, Plugins, Source, rights};

use super::ChangeError;
use crate::Engine;
use crate::open;

/// Whose file is changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Whose {
    /// The user's; the one that was given instead of all, where one was.
    #[default]
    Mine,
    /// The user's.
    User,
    /// The machine's.
    Site,
}

impl Engine {
    /// The file that is changed.
    pub(super) fn config_file(&self, whose: Whose) -> Result<PathBuf, ChangeError> {
        let of =
            |level| self.options.config.iter().find(|(_, its)| *its == level).map(|(path, _)| path.clone());
        let (found, word) = match whose {
            Whose::Mine => (of(Level::User).or_else(|| of(Level::Site)), "user's"),
            Whose::User => (of(Level::User), "user's"),
            Whose::Site => (of(Level::Site), "site's"),
        };
        found.ok_or(ChangeError::NoFile(word))
    }

    /// The config as it would be, without what a project says and without locks.
    pub(super) fn config_with(&self, change: &Change) -> Result<Config, ChangeError> {
        let mut sources = open::sources(&self.options)?;
        sources.retain(|source| source.level != Level::Project && source.path != change.path);
        let level =
            self.options.config.iter().find(|(path, _)| *path == change.path).map(|(_, level)| *level);
        let text = change.after.clone();
        sources.push(Source { path: change.path.clone(), text, level: level.unwrap_or(Level::User) });
        Ok(Config::load(&sources)?)
    }

    /// The config as it is, without what a project says and without locks.
    pub(super) fn config_unlocked(&self) -> Result<Config, ChangeError> {
        let mut sources = open::sources(&self.options)?;
        sources.retain(|source| source.level != Level::Project);
        Ok(Config::load(&sources)?)
    }

    /// The change of the lock beside a config file that gives some plugins new pins and takes others
    /// away. `None` when it stays as it is.
    pub(super) fn relock(
        file: &Path,
        fresh: BTreeMap<String, Pin>,
        gone: &BTreeSet<String>,
    ) -> Result<Option<Change>, ChangeError> {
        let old = Lock::of(file)?;
        let mut lock =
            old.clone().unwrap_or_else(|| Lock { path: Lock::beside(file), pins: BTreeMap::new() });
        lock.pins.retain(|name, _| !gone.contains(name));
        lock.pins.extend(fresh);
        let is_new = old.is_none() && !lock.pins.is_empty();
        if !is_new && old.is_none_or(|old| old == lock) {
            return Ok(None);
        }
        let before = std::fs::read_to_string(&lock.path).ok();
        Ok(Some(Change { path: lock.path.clone(), before, after: lock.text() }))
    }

    /// The file that has the last word about a plugin, if it is one that commands change; else
    /// whose is asked for.
    pub(super) fn file_about(&self, name: &str, whose: Whose) -> Result<PathBuf, ChangeError> {
        if whose == Whose::Mine {
            for level in [Level::User, Level::Site] {
                for (path, _) in self.options.config.iter().filter(|(_, its)| *its == level) {
                    if Edit::open(path)?.names(name) {
                        return Ok(path.clone());
                    }
                }
            }
        }
        self.config_file(whose)
    }

    /// Knows whether `name` is a plugin.
    pub(super) fn known<'a>(config: &'a Config, name: &str) -> Result<&'a PluginConfig, ChangeError> {
        config.plugin(name).ok_or_else(|| {
            let names = config.plugins.iter().map(|plugin| plugin.name.as_str());
            let nearest = crate::build::dockerfile::nearest(name, names).map(str::to_owned);
            ChangeError::Unknown { name: name.to_owned(), nearest }
        })
    }
}

/// What a lock says of a plugin as it is now.
pub(super) fn pin(plugins: &Plugins, plugin: &PluginConfig) -> Result<Pin, ChangeError> {
    let portrait = plugins.portrait(&plugin.name)?;
    Ok(Pin {
        source: plugin.source.to_string(),
        digest: portrait.digest,
        world: plugin.world,
        version: portrait.manifest.version.clone(),
        keywords: portrait.keywords().map(|spec| spec.keyword.clone()).collect(),
        grants: rights::words(&plugin.grants),
    })
}
