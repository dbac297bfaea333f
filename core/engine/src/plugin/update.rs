//! `plugin update`: what would change, over the user's own Dockerfiles, and then the change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use wharf_model::Digest;
use wharf_plugin::config::edit::{self, Change, Edit};
use wharf_plugin::outline::{self, Outline};
use wharf_plugin::rights::{self, RightState};
use wharf_plugin::{Config, Level, PluginConfig, PluginSource, Portrait, shelf};

use super::add::shown;
use super::file::pin;
use super::registry::is_fixed;
use super::{ChangeError, Origin};
use crate::Engine;
use crate::build::PlannedFile;

/// One plugin before and after.
#[derive(Debug, Clone)]
pub struct PluginUpdate {
    /// Its name.
    pub name: String,
    /// Its version and code until now, where that can still be told.
    pub before: Option<(String, Digest)>,
    /// Its version and code from then on.
    pub after: (String, Digest),
    /// What the config says otherwise than the lock, which is taken over.
    pub relocked: Option<String>,
    /// Keywords or driver names that it did not have.
    pub new_names: Vec<String>,
    /// Those that it does not have any more.
    pub lost_names: Vec<String>,
    /// What it did not request before.
    pub new_requests: Vec<RightState>,
    /// What it does not request any more.
    pub lost_requests: Vec<String>,
}

/// A statement whose plan is another one.
#[derive(Debug, Clone)]
pub struct StatementChange {
    /// The line it begins on.
    pub line: u32,
    /// As written.
    pub statement: String,
    /// Its plan until now, or the error.
    pub before: Value,
    /// Its plan from then on, or the error.
    pub after: Value,
}

/// A Dockerfile planned twice.
#[derive(Debug, Clone)]
pub struct PlanChange {
    /// The file.
    pub file: PathBuf,
    /// Statements in it.
    pub statements: usize,
    /// Those with another plan.
    pub changed: Vec<StatementChange>,
}

/// An update that was looked at.
#[derive(Debug)]
pub struct Prepared {
    /// What becomes of each plugin.
    pub updates: Vec<PluginUpdate>,
    /// What becomes of each Dockerfile's plans.
    pub plans: Vec<PlanChange>,
    changes: Vec<Change>,
    codes: Vec<Vec<u8>>,
}

impl Engine {
    /// Looks at new code for one plugin (from `from`, or from where it came), or for all whose
    /// source has changed, and plans Dockerfiles with the old and with the new code.
    ///
    /// # Errors
    /// When a plugin can not be used, or has become one of another kind.
    pub fn prepare_update(
        &self,
        name: Option<&str>,
        from: Option<&Origin>,
        dockerfiles: &[PathBuf],
    ) -> Result<Prepared, ChangeError> {
        let config = self.config_unlocked()?;
        let mut changes: BTreeMap<PathBuf, (Edit, Vec<PluginConfig>)> = BTreeMap::new();
        let mut codes = Vec::new();
        for plugin in self.to_update(&config, name)? {
            let (fresh, code) = self.renewed(plugin, from)?;
            let target = plugin.place.file.clone();
            let entry = match changes.entry(target.clone()) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert((Edit::open(&target)?, Vec::new()))
                }
            };
            if let (Some(digest), Some(code)) = (fresh.digest, code) {
                entry.0.set_code(&plugin.name, &fresh.source.to_string(), digest)?;
                codes.push(code);
            }
            entry.1.push(fresh);
        }
        // What came from a registry lies nowhere else where it could be asked.
        let kept: Result<Vec<_>, _> = codes.iter().map(|code| self.keep_for_a_look(code)).collect();
        kept.and_then(|kept| {
            let prepared = self.look(&config, changes, codes, dockerfiles);
            kept.into_iter().for_each(|kept| self.forget_code(kept));
            prepared
        })
    }

    /// Carries out what [`Engine::prepare_update`] looked at.
    ///
    /// # Errors
    /// When a file changed meanwhile or can not be written. Then nothing is left of the new code.
    pub fn update(&self, prepared: &Prepared) -> Result<(), ChangeError> {
        let mut kept = Vec::new();
        let codes = prepared.codes.iter().map(Vec::as_slice);
        let written = self.shelve(codes, &mut kept).and_then(|()| Ok(edit::write(&prepared.changes)?));
        written.inspect_err(|_| self.unshelve(&kept))?;
        for update in &prepared.updates {
            self.note_plugin("update", &update.name, &[("digest", &update.after.1.to_string())]);
        }
        Ok(())
    }

    fn to_update<'a>(
        &self,
        config: &'a Config,
        name: Option<&str>,
    ) -> Result<Vec<&'a PluginConfig>, ChangeError> {
        let Some(name) = name else {
            let outside = |plugin: &&PluginConfig| plugin.level != Level::Defaults;
            return Ok(config.plugins.iter().filter(outside).collect());
        };
        let plugin = Self::known(config, name)?;
        if plugin.level == Level::Defaults {
            return Err(ChangeError::Embedded { name: name.to_owned() });
        }
        Ok(vec![plugin])
    }

    /// The plugin with the code that its source has now. Bundles and embedded components stay what
    /// they are.
    fn renewed(
        &self,
        plugin: &PluginConfig,
        from: Option<&Origin>,
    ) -> Result<(PluginConfig, Option<Vec<u8>>), ChangeError> {
        let source = match from {
            Some(Origin::File(file)) => {
                PluginSource::File(std::path::absolute(file).unwrap_or_else(|_| file.clone()))
            }
            Some(Origin::Registry(name)) => PluginSource::Registry(name.clone()),
            None => plugin.source.clone(),
        };
        let is_kept = |digest| shelf::has(&self.options.plugins(), digest);
        let (path, code) = match &source {
            PluginSource::File(path) => {
                let code = outline::read(path);
                (path.clone(), code.map_err(|source| ChangeError::File { path: path.clone(), source })?)
            }
            PluginSource::Registry(name)
                if source != plugin.source || !is_fixed(name, plugin.digest, is_kept) =>
            {
                (shown(&source), self.fetch_plugin(name)?)
            }
            PluginSource::Registry(_) | PluginSource::Bundle(_) | PluginSource::Embedded(_) => {
                return Ok((plugin.clone(), None));
            }
        };
        let not_a_plugin = |source| ChangeError::File { path: path.clone(), source };
        let outline = Outline::of(&code).map_err(not_a_plugin)?;
        if outline.form == outline::Form::Component {
            let is = outline.world().map_err(not_a_plugin)?;
            if is != plugin.world {
                let (name, was) = (plugin.name.clone(), plugin.world);
                return Err(ChangeError::World { name, was, path, is });
            }
        }
        let mut fresh = plugin.clone();
        fresh.digest = Some(Digest::of(&code));
        fresh.source = source;
        Ok((fresh, Some(code)))
    }

    fn look(
        &self,
        config: &Config,
        changes: BTreeMap<PathBuf, (Edit, Vec<PluginConfig>)>,
        codes: Vec<Vec<u8>>,
        dockerfiles: &[PathBuf],
    ) -> Result<Prepared, ChangeError> {
        let mut after = config.clone();
        for fresh in changes.values().flat_map(|(_, plugins)| plugins) {
            if let Some(plugin) = after.plugins.iter_mut().find(|plugin| plugin.name == fresh.name) {
                *plugin = fresh.clone();
            }
        }
        let renewed = self.beside(after)?;
        renewed.plugins.keywords()?;
        let mut prepared = Prepared { updates: Vec::new(), plans: Vec::new(), changes: Vec::new(), codes };
        for (file, (edit, plugins)) in changes {
            let mut pins = BTreeMap::new();
            for plugin in &plugins {
                pins.insert(plugin.name.clone(), pin(&renewed.plugins, plugin)?);
                prepared.updates.extend(self.compare(plugin, &renewed)?);
            }
            let change = edit.change();
            prepared.changes.extend((change.before.as_deref() != Some(&change.after)).then_some(change));
            prepared.changes.extend(Self::relock(&file, pins, &BTreeSet::new())?);
        }
        for file in dockerfiles {
            prepared.plans.push(self.plan_twice(&renewed, file)?);
        }
        Ok(prepared)
    }

    /// `None` when the plugin stays what it is.
    fn compare(&self, plugin: &PluginConfig, renewed: &Self) -> Result<Option<PluginUpdate>, ChangeError> {
        let before = self.plugins.portrait(&plugin.name).ok();
        let after = renewed.plugins.portrait(&plugin.name)?;
        if before.as_ref().is_some_and(|before| before.digest == after.digest) {
            return Ok(None);
        }
        let names = |portrait: Option<&Portrait>| portrait.map(Portrait::names).unwrap_or_default();
        let (old_names, new_names) = (names(before.as_ref()), names(Some(&after)));
        let old_requests: Vec<&str> = before
            .iter()
            .flat_map(|portrait| &portrait.manifest.requests)
            .map(|request| request.right.as_str())
            .collect();
        let states = rights::states(&plugin.grants, &after.manifest.requests);
        let requested = |right: &str| after.manifest.requests.iter().any(|request| request.right == right);
        Ok(Some(PluginUpdate {
            name: plugin.name.clone(),
            relocked: self.config().plugin(&plugin.name).and_then(relocked),
            before: before.as_ref().map(|before| (before.manifest.version.clone(), before.digest)),
            after: (after.manifest.version.clone(), after.digest),
            lost_names: old_names.iter().filter(|name| !new_names.contains(name)).cloned().collect(),
            new_names: new_names.into_iter().filter(|name| !old_names.contains(name)).collect(),
            lost_requests: old_requests
                .iter()
                .filter(|right| !requested(right))
                .map(|it| (*it).into())
                .collect(),
            new_requests: states
                .into_iter()
                .filter(|state| requested(&state.right) && !old_requests.contains(&&*state.right))
                .collect(),
        }))
    }

    fn plan_twice(&self, renewed: &Self, file: &Path) -> Result<PlanChange, ChangeError> {
        let (before, after) = (self.plans_of(file), renewed.plans_of(file));
        let lines: BTreeSet<(u32, usize)> = before.keys().chain(after.keys()).copied().collect();
        let absent = || (String::new(), Value::Null);
        let changed = lines.iter().filter_map(|line| {
            let (old_words, old) = before.get(line).cloned().unwrap_or_else(absent);
            let (new_words, new) = after.get(line).cloned().unwrap_or_else(absent);
            let statement = if new_words.is_empty() { old_words } else { new_words };
            (old != new).then_some(StatementChange { line: line.0, statement, before: old, after: new })
        });
        let changed = changed.collect();
        Ok(PlanChange { file: file.to_owned(), statements: lines.len(), changed })
    }

    /// The plan of each statement by its line; several from one line are counted. An error is what
    /// its statement gives.
    fn plans_of(&self, file: &Path) -> BTreeMap<(u32, usize), (String, Value)> {
        let mut plans = BTreeMap::new();
        match self.plan_dockerfile(file, None) {
            Ok(planned) => add_plans(&planned, &mut plans),
            Err(failure) => {
                let line = failure.span.as_ref().map_or(0, |span| span.line);
                let error = Value::from(format!("error: {}", failure.error));
                plans.insert((line, 0), (String::new(), error));
            }
        }
        plans
    }
}

fn relocked(plugin: &PluginConfig) -> Option<String> {
    plugin.pin.as_ref()?.mismatch.as_ref().map(ToString::to_string)
}

fn add_plans(planned: &PlannedFile, plans: &mut BTreeMap<(u32, usize), (String, Value)>) {
    for step in planned.stages.iter().flat_map(|stage| &stage.steps) {
        let index = plans.range((step.line, 0)..=(step.line, usize::MAX)).count();
        let plan = serde_json::json!({ "ops": step.ops, "config": step.config, "rootfs": step.rootfs });
        plans.insert((step.line, index), (step.statement.clone(), plan));
    }
}

/// Dockerfiles in a directory and below it: `Dockerfile`, `Dockerfile.*`, `*.Dockerfile`,
/// `Containerfile`. Links are not followed; a thousand are enough.
///
/// # Errors
/// When the directory can not be read.
pub fn dockerfiles_in(directory: &Path) -> Result<Vec<PathBuf>, ChangeError> {
    const MOST: usize = 1000;
    let cannot = |source| ChangeError::Io { what: "read", path: directory.to_owned(), source };
    let mut found = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if folder == directory => return Err(cannot(error)),
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !name.starts_with('.') => folders.push(entry.path()),
                Ok(kind) if kind.is_file() && is_dockerfile(&name) => found.push(entry.path()),
                _ => {}
            }
        }
        if found.len() >= MOST {
            break;
        }
    }
    found.sort();
    found.truncate(MOST);
    Ok(found)
}

fn is_dockerfile(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "dockerfile"
        || name == "containerfile"
        || name.starts_with("dockerfile.")
        || name.ends_with(".dockerfile")
}
