//! `plugin approve`: what a project's `wharf.toml` asks for, and the user's answer.
//!
//! An approval names the directory and the digest of its `wharf.toml`, and holds the lines that it
//! lets through. A changed file asks again. Code that a project brings has to be pinned by its
//! digest there, so that what was looked at is what runs.

use std::path::{Path, PathBuf};

use wharf_model::Digest;
use wharf_plugin::config::edit::{self, Edit};
use wharf_plugin::outline;
use wharf_plugin::rights::{self, Standing};
use wharf_plugin::{Approval, Config, Level, PluginConfig, PluginSource, Request, Source};

use super::{ChangeError, Whose};
use crate::Engine;
use crate::open;

/// One line that a project asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Where the project has it.
    pub place: String,
    /// TOML.
    pub line: String,
    /// What the plugin says it needs that for, and what else is to be known.
    pub reasons: Vec<String>,
}

/// All that a project asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its directory.
    pub project: PathBuf,
    /// Its `wharf.toml`.
    pub digest: Digest,
    /// Line by line; empty when there is nothing to approve.
    pub asks: Vec<Ask>,
}

impl Engine {
    /// What the project that this engine was opened for asks for and does not have yet.
    ///
    /// # Errors
    /// When there is no project, or it brings code that is not pinned.
    pub fn asked(&self, directory: &Path) -> Result<Asked, ChangeError> {
        let sources = open::sources(&self.options)?;
        let project = sources.iter().find(|source| source.level == Level::Project);
        let project = project.ok_or_else(|| ChangeError::NoProject { directory: directory.to_owned() })?;
        let asks: Result<Vec<Ask>, ChangeError> =
            self.config().requests.iter().map(|request| self.ask(request)).collect();
        Ok(Asked {
            project: project.path.parent().unwrap_or(directory).to_owned(),
            digest: Digest::of(&project.text),
            asks: asks?,
        })
    }

    /// Lets a project have what it asks for; the answer is the file that says so.
    ///
    /// # Errors
    /// When the project's file has changed since, or the lines do not fit the config.
    pub fn approve(&self, asked: &Asked, whose: Whose) -> Result<PathBuf, ChangeError> {
        let file = self.config_file(whose)?;
        let mut edit = Edit::open(&file)?;
        let earlier = self.config().approvals.iter().rev();
        let mut same = earlier.filter(|it| it.project == asked.project && it.digest == asked.digest);
        let mut lines = same.next().map(|approval| approval.lines.clone()).unwrap_or_default();
        lines.extend(asked.asks.iter().map(|ask| ask.line.clone()));
        edit.approve(&asked.project, asked.digest, &lines)?;
        let change = edit.change();
        self.plugins_of(self.config_in_project(&change)?)?.keywords()?;
        edit::write(&[change])?;
        self.note_project("approve", &asked.project, &lines);
        Ok(file)
    }

    /// Under the project's directory, as what it asks for may be about several plugins.
    fn note_project(&self, action: &str, project: &Path, lines: &[String]) {
        self.note_plugin(action, &project.display().to_string(), &[("lines", &lines.join("; "))]);
    }

    /// What was approved, for all projects.
    pub fn approvals(&self) -> &[Approval] {
        &self.config().approvals
    }

    /// Takes back what a project was let have.
    ///
    /// # Errors
    /// When it was not.
    pub fn disapprove(&self, directory: &Path) -> Result<PathBuf, ChangeError> {
        let project = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        let approval = self.approvals().iter().rev().find(|approval| approval.project == project);
        let approval = approval.ok_or_else(|| ChangeError::NotApproved { directory: project.clone() })?;
        let file = approval.place.file.clone();
        let mut edit = Edit::open(&file)?;
        edit.disapprove(&project)?;
        edit::write(&[edit.change()])?;
        self.note_project("disapprove", &project, &[]);
        Ok(file)
    }

    /// As it would be in the project, so that lines that do not fit are refused now.
    fn config_in_project(&self, change: &edit::Change) -> Result<Config, ChangeError> {
        let mut sources = open::sources(&self.options)?;
        let level =
            self.options.config.iter().find(|(path, _)| *path == change.path).map(|(_, level)| *level);
        sources.retain(|source| source.path != change.path);
        let (path, text) = (change.path.clone(), change.after.clone());
        sources.push(Source { path, text, level: level.unwrap_or(Level::User) });
        Ok(Config::load(&sources)?)
    }

    fn ask(&self, request: &Request) -> Result<Ask, ChangeError> {
        let asked = line_as_config(request);
        let reasons = match asked {
            Some(plugin) => self.reasons_of_code(&plugin, request)?,
            None => self.reasons_of_grants(request),
        };
        Ok(Ask { place: request.place.to_string(), line: request.grant.clone(), reasons })
    }

    /// A plugin that the project brings: it is loaded into the sandbox to be asked what it wants.
    fn reasons_of_code(&self, plugin: &PluginConfig, request: &Request) -> Result<Vec<String>, ChangeError> {
        if plugin.digest.is_none() && !matches!(plugin.source, PluginSource::Embedded(_)) {
            return Err(ChangeError::NoDigest {
                name: plugin.name.clone(),
                place: request.place.clone(),
                digest: digest_now(&plugin.source),
            });
        }
        if plugin.trust == wharf_plugin::Trust::NativeFull {
            return Ok(vec!["a native library: it can do whatever wharf can".to_owned()]);
        }
        let probe = Config { plugins: vec![plugin.clone()], ..Config::default() };
        let manifest = self.plugins_of(probe)?.manifest(&plugin.name)?;
        let mut reasons = vec![format!("{} {}: {}", manifest.name, manifest.version, manifest.summary)];
        for state in rights::states(&plugin.grants, &manifest.requests) {
            reasons.push(match state.standing {
                Standing::NotRequested => format!("{}: not requested, so without effect", state.right),
                standing => format!("{} ({}): {}", state.right, standing.as_str(), state.reason),
            });
        }
        Ok(reasons)
    }

    /// More rights for a plugin that is there: why it says it needs them.
    fn reasons_of_grants(&self, request: &Request) -> Vec<String> {
        let mut keys = request.key.split('.');
        let (Some("plugin"), Some(name), Some("grants"), Some(key)) =
            (keys.next(), keys.next(), keys.next(), keys.next())
        else {
            return Vec::new();
        };
        let Ok(manifest) = self.plugins.manifest(name) else { return Vec::new() };
        let values = toml::from_str::<toml::Table>(&format!("x = {}", value_of(&request.grant)));
        let values = values.ok().and_then(|mut table| table.remove("x"));
        let values = values.and_then(|value| value.as_array().cloned()).unwrap_or_default();
        let granted =
            self.config().plugin(name).map(|plugin| rights::words(&plugin.grants)).unwrap_or_default();
        let wanted = values.iter().filter_map(toml::Value::as_str).map(|value| format!("{key}:{value}"));
        let new = wanted.filter(|right| !granted.contains(right));
        new.map(|right| {
            let reason = manifest.requests.iter().find(|request| rights::covers(&request.right, &right));
            let said = reason.map_or("not requested, so without effect", |request| &*request.reason);
            format!("{right}: {said}")
        })
        .collect()
    }
}

/// A request that is a whole definition.
fn line_as_config(request: &Request) -> Option<PluginConfig> {
    let text = request.grant.clone();
    let source = Source { path: request.place.file.clone(), text, level: Level::User };
    Config::load(&[source]).ok()?.plugins.into_iter().next()
}

fn value_of(line: &str) -> &str {
    line.split_once(" = ").map_or("", |(_, value)| value)
}

fn digest_now(source: &PluginSource) -> Option<Digest> {
    match source {
        PluginSource::File(path) => outline::read(path).ok().map(Digest::of),
        PluginSource::Bundle(_) | PluginSource::Registry(_) | PluginSource::Embedded(_) => None,
    }
}
