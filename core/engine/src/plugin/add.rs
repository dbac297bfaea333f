//! `plugin add`: from a file to a plugin that is configured and locked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wharf_model::grant::Grants;
use wharf_model::manifest::Manifest;
use wharf_model::{Digest, Keyword, Reference};
use wharf_plugin::config::edit::{self, Edit};
use wharf_plugin::lock::Lock;
use wharf_plugin::outline::{self, Form, Outline};
use wharf_plugin::rights::{self, RightState, Standing};
use wharf_plugin::{Config, Level, PluginConfig, PluginSource, Trust, World, shelf};

use super::file::pin;
use super::{ChangeError, Origin, Whose, bundle};
use crate::Engine;

/// What is added, and what it may do.
#[derive(Debug, Clone, Default)]
pub struct AddPlugin {
    /// Where its code is.
    pub from: Origin,
    /// What it is called; the name of the file or the repository without it.
    pub name: Option<String>,
    /// Rights in words.
    pub grants: Vec<String>,
    /// Everything it requests.
    pub grant_all: bool,
    /// Its own keyword and the one it gets here.
    pub keywords: Vec<(Keyword, Keyword)>,
    /// A native library may be loaded.
    pub native: bool,
    /// Which file defines it.
    pub whose: Whose,
}

/// A plugin that was added.
#[derive(Debug, Clone)]
pub struct Added {
    /// Its name here.
    pub name: String,
    /// Its contract.
    pub world: World,
    /// Its code.
    pub digest: Digest,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The keywords it has here, or its driver's name.
    pub names: Vec<String>,
    /// How its rights stand.
    pub rights: Vec<RightState>,
    /// The file that defines it.
    pub config: PathBuf,
    /// The lock.
    pub lock: PathBuf,
}

/// Code that is about to become a plugin.
pub(super) struct Arrival {
    pub(super) name: String,
    pub(super) source: PluginSource,
    pub(super) bytes: Vec<u8>,
    pub(super) keywords: BTreeMap<Keyword, Keyword>,
}

impl Engine {
    /// Adds a plugin, or all of a bundle.
    ///
    /// # Errors
    /// When a file is no plugin, a name or a keyword is taken, or a grant is not requested. Nothing
    /// is added then.
    pub fn add_plugin(&self, request: &AddPlugin) -> Result<Vec<Added>, ChangeError> {
        let arrivals = self.arrivals(request)?;
        let file = self.config_file(request.whose)?;
        let known = self.config_unlocked()?;
        let mut kept = Vec::new();
        let codes = arrivals.iter().map(|arrival| arrival.bytes.as_slice());
        let added = self.shelve(codes, &mut kept).and_then(|()| {
            let mut plugins = Vec::new();
            for arrival in &arrivals {
                refuse_taken(&known, &arrival.name)?;
                plugins.push(self.introduce(arrival, request)?);
            }
            self.define_all(&file, &plugins)
        });
        match &added {
            Ok(added) => added.iter().for_each(|added| self.note_added(added)),
            Err(_) => self.unshelve(&kept),
        }
        added
    }

    fn note_added(&self, added: &Added) {
        let granted = |right: &&RightState| matches!(right.standing, Standing::Granted | Standing::Partly);
        let given = added.rights.iter().filter(granted).map(|right| right.right.as_str());
        let (digest, grants) = (added.digest.to_string(), given.collect::<Vec<_>>().join(" "));
        self.note_plugin("add", &added.name, &[("digest", &digest), ("grants", &grants)]);
    }

    fn arrivals(&self, request: &AddPlugin) -> Result<Vec<Arrival>, ChangeError> {
        let keywords = request.keywords.iter().cloned().collect();
        let file = match &request.from {
            Origin::File(file) => file,
            Origin::Registry(from) => {
                let bytes = self.fetch_plugin(from)?;
                let name = request.name.clone().unwrap_or_else(|| name_in_registry(from));
                return Ok(vec![Arrival {
                    name,
                    source: PluginSource::Registry(from.clone()),
                    bytes,
                    keywords,
                }]);
            }
        };
        let path = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        let not_a_plugin = |source| ChangeError::File { path: path.clone(), source };
        let bytes = outline::read(&path).map_err(not_a_plugin)?;
        if bundle::is_bundle(&bytes) {
            return bundle::unpack(&path, &bytes);
        }
        let name = request.name.clone().unwrap_or_else(|| name_of(&path));
        Ok(vec![Arrival { name, source: PluginSource::File(path), bytes, keywords }])
    }

    /// Keeps code; what was not there before is told, whatever becomes of the rest.
    pub(super) fn shelve<'c>(
        &self,
        codes: impl Iterator<Item = &'c [u8]>,
        kept: &mut Vec<Digest>,
    ) -> Result<(), ChangeError> {
        for code in codes {
            let cannot = |source| ChangeError::File { path: self.options.plugins(), source };
            if shelf::put(&self.options.plugins(), code).map_err(cannot)? {
                kept.push(Digest::of(code));
            }
        }
        Ok(())
    }

    pub(super) fn unshelve(&self, kept: &[Digest]) {
        for digest in kept {
            let _as_before = shelf::forget(&self.options.plugins(), *digest);
        }
    }

    /// Asks it who it is, and decides what it may do.
    fn introduce(&self, arrival: &Arrival, request: &AddPlugin) -> Result<PluginConfig, ChangeError> {
        let mut plugin = self.candidate(arrival, request.native)?;
        let probe = Config { plugins: vec![plugin.clone()], ..Config::default() };
        let portrait = self.plugins_of(probe)?.portrait(&plugin.name)?;
        check_keywords(&plugin, portrait.own_keywords())?;
        plugin.grants = granted(&plugin.name, request, &portrait.manifest)?;
        Ok(plugin)
    }

    /// As it would be defined, without grants.
    pub(super) fn candidate(&self, arrival: &Arrival, native: bool) -> Result<PluginConfig, ChangeError> {
        let path = || shown(&arrival.source);
        let outline =
            Outline::of(&arrival.bytes).map_err(|source| ChangeError::File { path: path(), source })?;
        let digest = Digest::of(&arrival.bytes);
        let world = match outline.form {
            Form::Component => {
                outline.world().map_err(|source| ChangeError::File { path: path(), source })?
            }
            Form::Library if !native => return Err(ChangeError::Native { path: path(), digest }),
            Form::Library => self.world_of_library(arrival)?,
        };
        let mut plugin = PluginConfig::fresh(&arrival.name, world, arrival.source.clone());
        plugin.digest = Some(digest);
        plugin.keywords.clone_from(&arrival.keywords);
        if outline.form == Form::Library {
            plugin.trust = Trust::NativeFull;
        }
        Ok(plugin)
    }

    /// A library tells its world only when it is loaded as one.
    fn world_of_library(&self, arrival: &Arrival) -> Result<World, ChangeError> {
        let mut last = None;
        for world in [World::Instruction, World::Storage, World::Network, World::Hook] {
            let mut plugin = PluginConfig::fresh(&arrival.name, world, arrival.source.clone());
            plugin.digest = Some(Digest::of(&arrival.bytes));
            plugin.trust = Trust::NativeFull;
            let probe = Config { plugins: vec![plugin], ..Config::default() };
            match self.plugins_of(probe)?.portrait(&arrival.name) {
                Ok(_) => return Ok(world),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or(ChangeError::NoFile("plugin's"), ChangeError::Plugin))
    }

    fn define_all(&self, file: &Path, plugins: &[PluginConfig]) -> Result<Vec<Added>, ChangeError> {
        let mut edit = Edit::open(file)?;
        for plugin in plugins {
            edit.define(plugin)?;
        }
        let change = edit.change();
        let all = self.plugins_of(self.config_with(&change)?)?;
        all.keywords()?;
        let mut pins = BTreeMap::new();
        let mut added = Vec::new();
        for plugin in plugins {
            pins.insert(plugin.name.clone(), pin(&all, plugin)?);
            let portrait = all.portrait(&plugin.name)?;
            added.push(Added {
                name: plugin.name.clone(),
                world: plugin.world,
                digest: portrait.digest,
                names: portrait.names(),
                rights: rights::states(&plugin.grants, &portrait.manifest.requests),
                manifest: portrait.manifest,
                config: file.to_owned(),
                lock: Lock::beside(file),
            });
        }
        let lock = Self::relock(file, pins, &BTreeSet::new())?;
        edit::write(&[change].into_iter().chain(lock).collect::<Vec<_>>())?;
        Ok(added)
    }
}

fn refuse_taken(config: &Config, name: &str) -> Result<(), ChangeError> {
    match config.plugin(name) {
        Some(plugin) => Err(ChangeError::Exists {
            name: name.to_owned(),
            place: plugin.place.clone(),
            embedded: plugin.level == Level::Defaults,
        }),
        None => Ok(()),
    }
}

fn check_keywords(plugin: &PluginConfig, own: Vec<Keyword>) -> Result<(), ChangeError> {
    match plugin.keywords.keys().find(|keyword| !own.contains(keyword)) {
        None => Ok(()),
        Some(keyword) => Err(ChangeError::NoKeyword {
            name: plugin.name.clone(),
            keyword: keyword.to_string(),
            known: own.iter().map(Keyword::to_string).collect(),
        }),
    }
}

/// What the caller grants, which has to be requested.
fn granted(name: &str, request: &AddPlugin, manifest: &Manifest) -> Result<Grants, ChangeError> {
    if request.grant_all {
        let known = manifest.requests.iter().map(|request| &request.right);
        return Ok(rights::parse(known.filter(|right| rights::is_known(right)))?);
    }
    let grants = rights::parse(&request.grants)?;
    refuse_unrequested(name, &grants, manifest)?;
    Ok(grants)
}

/// A grant without a request would have no effect.
pub(super) fn refuse_unrequested(
    name: &str,
    grants: &Grants,
    manifest: &Manifest,
) -> Result<(), ChangeError> {
    let states = rights::states(grants, &manifest.requests);
    match states.into_iter().find(|state| state.standing == rights::Standing::NotRequested) {
        None => Ok(()),
        Some(state) => Err(ChangeError::NotRequested {
            name: name.to_owned(),
            right: state.right,
            requested: manifest.requests.iter().map(|request| request.right.clone()).collect(),
        }),
    }
}

/// As errors name it.
pub(super) fn shown(source: &PluginSource) -> PathBuf {
    match source {
        PluginSource::File(path) | PluginSource::Bundle(path) => path.clone(),
        PluginSource::Embedded(name) => PathBuf::from(name),
        PluginSource::Registry(_) => PathBuf::from(source.to_string()),
    }
}

/// `registry.example/acme/apt:1.4` is `apt`.
pub(super) fn name_in_registry(from: &Reference) -> String {
    from.path().rsplit('/').next().unwrap_or_default().to_owned()
}

/// `libsan.so` is `san`, `Apt.v2.wasm` is `apt.v2`.
pub(super) fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let library = path.extension().is_some_and(|extension| extension == "so");
    let stem = stem.strip_prefix("lib").filter(|_| library).unwrap_or(&stem);
    let plain = |letter: char| {
        let known = letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_.".contains(letter);
        if known { letter } else { '-' }
    };
    stem.chars().map(plain).collect()
}
