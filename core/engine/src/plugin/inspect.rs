//! `plugin inspect`: everything about one plugin, configured or not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wharf_model::statement::FlagSpec;
use wharf_plugin::outline::{self, Form, Outline};
use wharf_plugin::{Config, Limits, PluginConfig, PluginSource, Plugins, Portrait, Trust};

use super::add::{Arrival, name_in_registry, name_of, shown};
use super::list::{self, PluginState, PluginSummary};
use super::{ChangeError, bundle};
use crate::Engine;

/// A keyword of an instruction plugin.
#[derive(Debug, Clone)]
pub struct KeywordDetails {
    /// As it is called here.
    pub name: String,
    /// As the plugin calls it.
    pub own: String,
    /// What it does.
    pub summary: String,
    /// How the rest of the line is read: `words`, `json-or-text`, ...
    pub body: String,
    /// Its flags.
    pub flags: Vec<FlagSpec>,
    /// It may stand before the first stage.
    pub before_from: bool,
    /// It begins a stage.
    pub starts_stage: bool,
}

/// Everything about one plugin.
#[derive(Debug, Clone)]
pub struct PluginDetails {
    /// What the list shows.
    pub summary: PluginSummary,
    /// Whether the config names it; a file that is only looked at is not named.
    pub configured: bool,
    /// What it says it does.
    pub about: String,
    /// The name its author gave it.
    pub own_name: String,
    /// Component or library.
    pub form: Option<Form>,
    /// Bytes.
    pub size: Option<u64>,
    /// What the component exports.
    pub exports: Vec<String>,
    /// What it imports of the contract.
    pub imports: Vec<String>,
    /// What it imports of WASI.
    pub wasi: Vec<String>,
    /// What a call may use up.
    pub limits: Limits,
    /// Its keywords.
    pub keywords: Vec<KeywordDetails>,
    /// Its settings, as TOML would write the values.
    pub settings: BTreeMap<String, String>,
    /// A hook that must answer.
    pub required: bool,
    /// It runs with all our rights.
    pub native: bool,
    /// The file and line that define it.
    pub place: Option<String>,
    /// The lock that names it.
    pub lock: Option<PathBuf>,
    /// Its compiled code and how large that is.
    pub compiled: Option<(PathBuf, u64)>,
}

impl Engine {
    /// Looks at a configured plugin, at a file, or at what a registry has (`oci://...`).
    ///
    /// # Errors
    /// When there is neither. A configured plugin that can not be used is shown as it is.
    pub fn inspect_plugin(&self, name: &str) -> Result<PluginDetails, ChangeError> {
        if let Some(from) = PluginSource::in_registry(name) {
            let from = from.map_err(|what| ChangeError::Locator { what })?;
            let bytes = self.fetch_plugin(&from)?;
            let kept = self.keep_for_a_look(&bytes)?;
            let found = self.inspect_code(name_in_registry(&from), PluginSource::Registry(from), bytes);
            self.forget_code(kept);
            return found;
        }
        let path = Path::new(name);
        if self.config().plugin(name).is_none() && path.is_file() {
            return self.inspect_file(path);
        }
        let Some(off) = self.config().switched_off.iter().find(|plugin| plugin.name == name) else {
            return Ok(self.inspect_configured(&self.plugins, Self::known(self.config(), name)?));
        };
        if off.trust == Trust::NativeFull {
            // What a library says of itself it says only when it runs.
            let details = details(list::unused(off, PluginState::Off), None, None);
            return Ok(PluginDetails {
                configured: true,
                native: true,
                place: Some(off.place.to_string()),
                ..details
            });
        }
        let probe = self.plugins_of(Config { plugins: vec![off.clone()], ..Config::default() })?;
        let mut details = self.inspect_configured(&probe, off);
        details.summary.state = PluginState::Off;
        Ok(details)
    }

    fn inspect_configured(&self, plugins: &Plugins, plugin: &PluginConfig) -> PluginDetails {
        let portrait = plugins.portrait(&plugin.name).ok();
        let outline = plugins.code(&plugin.name).ok().and_then(|bytes| Outline::of(&bytes).ok());
        let summary = self.plugin_summary(plugins, plugin);
        let mut details = details(summary, portrait.as_ref(), outline.as_ref());
        details.configured = true;
        details.limits = plugin.limits;
        details.settings = plugin.settings.iter().map(|(key, value)| (key.clone(), toml_of(value))).collect();
        details.required = plugin.required;
        details.native = plugin.trust == Trust::NativeFull;
        details.place = Some(plugin.place.to_string());
        details.lock = plugin.pin.as_ref().map(|pinned| pinned.lock.clone());
        details.compiled = compiled(plugins, &details);
        for keyword in &mut details.keywords {
            let own = plugin.keywords.iter().find(|(_, here)| here.as_str() == keyword.name);
            keyword.own = own.map_or_else(|| keyword.name.clone(), |(own, _)| own.to_string());
        }
        details
    }

    /// A library says what it is only when it runs, so of one that is not configured only its size
    /// and digest are told.
    fn inspect_file(&self, path: &Path) -> Result<PluginDetails, ChangeError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let not_a_plugin = |source| ChangeError::File { path: path.clone(), source };
        let bytes = outline::read(&path).map_err(not_a_plugin)?;
        if bundle::is_bundle(&bytes) {
            return Err(ChangeError::Bundle { path, what: "it holds several; add it, or unpack it".into() });
        }
        self.inspect_code(name_of(&path), PluginSource::File(path), bytes)
    }

    fn inspect_code(
        &self,
        name: String,
        source: PluginSource,
        bytes: Vec<u8>,
    ) -> Result<PluginDetails, ChangeError> {
        let not_a_plugin = |fault| ChangeError::File { path: shown(&source), source: fault };
        let outline = Outline::of(&bytes).map_err(not_a_plugin)?;
        let arrival = Arrival { name, source, bytes, keywords: BTreeMap::new() };
        let plugin = self.candidate(&arrival, false)?;
        let probe = self.plugins_of(Config { plugins: vec![plugin.clone()], ..Config::default() })?;
        let portrait = probe.portrait(&plugin.name)?;
        let summary = PluginSummary {
            state: PluginState::Ok,
            note: Some("not configured".to_owned()),
            names: portrait.names(),
            version: portrait.manifest.version.clone(),
            rights: wharf_plugin::rights::states(&plugin.grants, &portrait.manifest.requests),
            name: plugin.name.clone(),
            world: plugin.world,
            source: plugin.source.to_string(),
            digest: plugin.digest,
            defined: PathBuf::new(),
        };
        let mut details = details(summary, Some(&portrait), Some(&outline));
        details.compiled = compiled(&probe, &details);
        Ok(details)
    }
}

fn compiled(plugins: &Plugins, details: &PluginDetails) -> Option<(PathBuf, u64)> {
    details.summary.digest.and_then(|digest| plugins.compiled(digest))
}

fn details(summary: PluginSummary, portrait: Option<&Portrait>, outline: Option<&Outline>) -> PluginDetails {
    let imports = outline.map(|outline| outline.imports.clone()).unwrap_or_default();
    let (wasi, imports) = imports.into_iter().partition(|name| name.starts_with("wasi:"));
    PluginDetails {
        summary,
        configured: false,
        about: portrait.map(|portrait| portrait.manifest.summary.clone()).unwrap_or_default(),
        own_name: portrait.map(|portrait| portrait.manifest.name.clone()).unwrap_or_default(),
        form: outline.map(|outline| outline.form),
        size: outline.map(|outline| outline.size),
        exports: outline.map(|outline| outline.exports.clone()).unwrap_or_default(),
        imports,
        wasi,
        limits: Limits::default(),
        keywords: portrait.map(keywords).unwrap_or_default(),
        settings: BTreeMap::new(),
        required: false,
        native: outline.is_some_and(|outline| outline.form == Form::Library),
        place: None,
        lock: None,
        compiled: None,
    }
}

fn keywords(portrait: &Portrait) -> Vec<KeywordDetails> {
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let details = portrait.keywords().map(|spec| KeywordDetails {
        name: spec.keyword.to_string(),
        own: spec.keyword.to_string(),
        summary: spec.summary.clone(),
        body: serde_json::to_value(spec.body).map(|body| word(&body)).unwrap_or_default(),
        flags: spec.flags.clone(),
        before_from: spec.before_from,
        starts_stage: spec.starts_stage,
    });
    details.collect()
}

fn toml_of(value: &wharf_model::Value) -> String {
    match value {
        wharf_model::Value::Text(text) => format!("{text:?}"),
        wharf_model::Value::Integer(number) => number.to_string(),
        wharf_model::Value::Boolean(truth) => truth.to_string(),
        wharf_model::Value::Texts(texts) => format!("{texts:?}"),
    }
}
