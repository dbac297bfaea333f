//! `plugin ls`: what there is and in which state.

use std::path::{Path, PathBuf};

use wharf_model::Digest;
use wharf_plugin::rights::{self, RightState};
use wharf_plugin::{Config, Fault, Level, PluginConfig, PluginError, PluginSource, Plugins, Source, World};
use wharf_plugin::{outline, shelf};

use crate::Engine;

/// Whether a plugin can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginState {
    /// Part of the program.
    Embedded,
    /// Configured, found and in order.
    Ok,
    /// Its code is nowhere.
    Missing,
    /// Its code, or what is said about it, is not what was locked.
    Changed,
    /// It is there and can not be used.
    Broken,
    /// A project asks for it.
    NotApproved,
    /// Its definition is there, and says that it is not used.
    Off,
}

impl PluginState {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Broken => "broken",
            Self::NotApproved => "not approved",
            Self::Off => "off",
        }
    }
}

/// One plugin.
#[derive(Debug, Clone)]
pub struct PluginSummary {
    /// Its name.
    pub name: String,
    /// Its contract.
    pub world: World,
    /// The keywords it has here, its driver's name, or what it is asked about.
    pub names: Vec<String>,
    /// The version its author gave it.
    pub version: String,
    /// Where its code is from.
    pub source: String,
    /// Its code, where that is known.
    pub digest: Option<Digest>,
    /// How its rights stand.
    pub rights: Vec<RightState>,
    /// Whether it can be used.
    pub state: PluginState,
    /// What is to be said about that.
    pub note: Option<String>,
    /// The file that defines it.
    pub defined: PathBuf,
}

impl Engine {
    /// All plugins, in the order of the config; those that are switched off and those that a project asks
    /// for come last.
    pub fn list_plugins(&self) -> Vec<PluginSummary> {
        let configured =
            self.config().plugins.iter().map(|plugin| self.plugin_summary(&self.plugins, plugin));
        let off = self.config().switched_off.iter().map(|plugin| unused(plugin, PluginState::Off));
        configured.chain(off).chain(self.asked_for()).collect()
    }

    pub(super) fn plugin_summary(&self, plugins: &Plugins, plugin: &PluginConfig) -> PluginSummary {
        let mut summary = PluginSummary {
            name: plugin.name.clone(),
            world: plugin.world,
            names: Vec::new(),
            version: String::new(),
            source: plugin.source.to_string(),
            digest: plugin.digest,
            rights: rights::states(&plugin.grants, &[]),
            state: PluginState::Ok,
            note: None,
            defined: plugin.place.file.clone(),
        };
        match plugins.portrait(&plugin.name) {
            Ok(portrait) => {
                summary.names = portrait.names();
                summary.version.clone_from(&portrait.manifest.version);
                summary.digest = Some(portrait.digest);
                summary.rights = rights::states(&plugin.grants, &portrait.manifest.requests);
                summary.note = self.source_note(plugin);
                if matches!(plugin.source, PluginSource::Embedded(_)) {
                    summary.state = PluginState::Embedded;
                }
            }
            Err(error) => {
                summary.state = state_of(&error);
                summary.note = Some(error.fault().to_string());
            }
        }
        summary
    }

    /// A kept copy goes on working when the file it came from does not.
    fn source_note(&self, plugin: &PluginConfig) -> Option<String> {
        let (PluginSource::File(path), Some(digest)) = (&plugin.source, plugin.digest) else { return None };
        if !shelf::has(&self.options.plugins(), digest) {
            return None;
        }
        match outline::read(path) {
            Ok(bytes) if Digest::of(&bytes) == digest => None,
            Ok(_) => {
                Some(format!("{} has changed since: `wharf plugin update {}`", path.display(), plugin.name))
            }
            Err(_) => Some(format!("{} is gone; wharf's own copy is used", path.display())),
        }
    }

    /// Definitions in a project's file that nobody approved.
    fn asked_for(&self) -> Vec<PluginSummary> {
        let whole = |key: &str| key.strip_prefix("plugin.").is_some_and(|name| !name.contains('.'));
        let asked = self.config().requests.iter().filter(|request| whole(&request.key));
        asked.filter_map(|request| asked_plugin(&request.grant, &request.place.file)).collect()
    }
}

fn state_of(error: &PluginError) -> PluginState {
    match error.fault() {
        Fault::Source { .. } | Fault::NotKept { .. } => PluginState::Missing,
        Fault::Digest { .. } | Fault::Locked(_) => PluginState::Changed,
        _ => PluginState::Broken,
    }
}

fn asked_plugin(line: &str, file: &Path) -> Option<PluginSummary> {
    let source = Source { path: file.to_owned(), text: line.to_owned(), level: Level::User };
    let plugin = Config::load(&[source]).ok()?.plugins.into_iter().next()?;
    Some(PluginSummary {
        note: Some("`wharf plugin approve` shows what it asks for".to_owned()),
        defined: file.to_owned(),
        ..unused(&plugin, PluginState::NotApproved)
    })
}

/// Without a look at its code.
pub(super) fn unused(plugin: &PluginConfig, state: PluginState) -> PluginSummary {
    PluginSummary {
        name: plugin.name.clone(),
        world: plugin.world,
        names: plugin.keywords.values().map(ToString::to_string).collect(),
        version: String::new(),
        source: plugin.source.to_string(),
        digest: plugin.digest,
        rights: Vec::new(),
        state,
        note: None,
        defined: plugin.place.file.clone(),
    }
}
