use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use wharf_engine::plugin::PluginSummary;

use super::rights;
use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;
use crate::template;

/// What `--format` may name, and the heads of those columns.
const FIELDS: [(&str, &str); 9] = [
    ("Name", "NAME"),
    ("World", "WORLD"),
    ("Provides", "PROVIDES"),
    ("Version", "VERSION"),
    ("Source", "SOURCE"),
    ("Digest", "DIGEST"),
    ("Grants", "GRANTS"),
    ("State", "STATE"),
    ("Note", "NOTE"),
];

/// List plugins
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten digests
    #[arg(long)]
    no_trunc: bool,
    /// Go template, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl Ls {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine_in(Path::new("."))?;
        if self.quiet {
            let configured = engine.config().plugins.iter().map(|plugin| plugin.name.clone());
            output::lines(configured)?;
            return Ok(0);
        }
        let plugins = engine.list_plugins();
        if let Some(format) = self.format.as_deref().or(self.json.then_some("json")) {
            let values: Vec<Value> = plugins.iter().map(|plugin| self.fields(plugin)).collect();
            output::text(&template::list(format, &FIELDS, &values)?)?;
            return Ok(0);
        }
        let rows: Vec<Vec<String>> = plugins.iter().map(|plugin| self.row(plugin)).collect();
        let mut out = output::data();
        let head = ["NAME", "WORLD", "PROVIDES", "VERSION", "SOURCE", "DIGEST", "GRANTS", "STATE"];
        render::table(&mut out, &head, &rows)?;
        out.flush()?;
        for (name, note) in plugins.iter().filter_map(|plugin| Some((&plugin.name, plugin.note.as_ref()?))) {
            output::say(&format!("{name}: {note}"));
        }
        Ok(0)
    }

    fn row(&self, plugin: &PluginSummary) -> Vec<String> {
        vec![
            plugin.name.clone(),
            plugin.world.to_string(),
            names(plugin),
            or_dash(&plugin.version),
            plugin.source.clone(),
            self.digest(plugin),
            rights::summary(&plugin.rights),
            plugin.state.as_str().to_owned(),
        ]
    }

    fn digest(&self, plugin: &PluginSummary) -> String {
        match plugin.digest {
            Some(digest) if self.no_trunc => digest.to_string(),
            Some(digest) => digest.short(),
            None => "-".to_owned(),
        }
    }

    fn fields(&self, plugin: &PluginSummary) -> Value {
        json!({
            "Name": plugin.name,
            "World": plugin.world.as_str(),
            "Provides": names(plugin),
            "Version": plugin.version,
            "Source": plugin.source,
            "Digest": self.digest(plugin),
            "Grants": rights::summary(&plugin.rights),
            "State": plugin.state.as_str(),
            "Note": plugin.note.clone().unwrap_or_default(),
        })
    }
}

fn names(plugin: &PluginSummary) -> String {
    or_dash(&output::printable(&plugin.names.join(",")))
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
