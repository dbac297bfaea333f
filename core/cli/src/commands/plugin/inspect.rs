use std::io::Write;

use serde_json::{Value, json};
use wharf_engine::plugin::PluginDetails;

use super::{refused, rights};
use crate::globals::Globals;
use crate::output::{self, printable};
use crate::render;
use crate::report::Report;
use crate::template;

/// Show everything about plugins: what they ask for and have, keywords, limits, imports
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Go template, or `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Names of plugins, or files and artifacts (oci://...) that are not configured
    #[arg(required = true, value_name = "NAME|FILE|oci://...")]
    names: Vec<String>,
}

impl Inspect {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let mut found = Vec::new();
        let code = crate::commands::each(&self.names, |name| {
            found.push(engine.inspect_plugin(name).map_err(refused)?);
            Ok(())
        })?;
        match self.format.as_deref().or(self.json.then_some("json")) {
            Some("json") => {
                let values: Value = found.iter().map(fields).collect();
                output::lines([crate::commands::inspect::pretty(&values)])?;
            }
            Some(format) => {
                let lines: Result<Vec<String>, Report> =
                    found.iter().map(|details| template::one(format, &fields(details))).collect();
                output::lines(lines?)?;
            }
            None => {
                let mut out = output::data();
                for (index, details) in found.iter().enumerate() {
                    if index > 0 {
                        writeln!(out)?;
                    }
                    show(&mut out, details)?;
                }
                out.flush()?;
            }
        }
        Ok(code)
    }
}

fn show(out: &mut dyn Write, details: &PluginDetails) -> std::io::Result<()> {
    for (head, text) in facts(details) {
        writeln!(out, "{head:<10} {}", printable(&text))?;
    }
    if !details.summary.rights.is_empty() {
        writeln!(out)?;
        render::table(out, &["RIGHT", "STANDING", "REASON"], &rights::rows(&details.summary.rights))?;
    }
    for keyword in &details.keywords {
        let own =
            if keyword.own == keyword.name { String::new() } else { format!(" (its own {})", keyword.own) };
        writeln!(out, "\n{}{own}: {}", keyword.name, printable(&keyword.summary))?;
        for flag in &keyword.flags {
            let value = if flag.takes_value { "=..." } else { "" };
            writeln!(
                out,
                "  --{:<20} {}",
                printable(&format!("{}{value}", flag.name)),
                printable(&flag.doc)
            )?;
        }
    }
    Ok(())
}

fn facts(details: &PluginDetails) -> Vec<(&'static str, String)> {
    let summary = &details.summary;
    let mut facts = vec![
        ("name", summary.name.clone()),
        ("is", format!("{} {}", details.own_name, summary.version)),
        ("does", details.about.clone()),
        ("world", summary.world.to_string()),
        ("provides", summary.names.join(" ")),
        ("source", summary.source.clone()),
        ("digest", summary.digest.map(|digest| digest.to_string()).unwrap_or_default()),
        ("state", summary.state.as_str().to_owned()),
        ("note", summary.note.clone().unwrap_or_default()),
        ("defined", details.place.clone().unwrap_or_default()),
        ("lock", details.lock.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
        ("form", details.form.map(|form| form.as_str().to_owned()).unwrap_or_default()),
        ("size", details.size.map(render::size).unwrap_or_default()),
        ("compiled", compiled(details)),
        ("limits", limits(details)),
        ("exports", details.exports.join(" ")),
        ("imports", details.imports.join(" ")),
        ("wasi", details.wasi.join(" ")),
    ];
    let settings = details.settings.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>();
    facts.push(("settings", settings.join(", ")));
    if details.required {
        facts.push(("required", "yes: missing, failed or late means no".to_owned()));
    }
    if details.native {
        facts.push(("trust", "native-full: it can do whatever wharf can".to_owned()));
    }
    facts.retain(|(_, text)| !text.trim().is_empty());
    facts
}

fn compiled(details: &PluginDetails) -> String {
    match &details.compiled {
        Some((path, size)) => format!("{} in {}", render::size(*size), path.display()),
        None => "not yet: when it is first used".to_owned(),
    }
}

fn limits(details: &PluginDetails) -> String {
    let limits = &details.limits;
    format!("memory {}, fuel {}, time {} ms", bytes(limits.memory), limits.fuel, limits.time.as_millis())
}

/// As the TOML writes it.
fn bytes(bytes: u64) -> String {
    match bytes {
        whole if whole % (1 << 20) == 0 => format!("{} MiB", whole >> 20),
        whole if whole % (1 << 10) == 0 => format!("{} KiB", whole >> 10),
        other => format!("{other} B"),
    }
}

fn fields(details: &PluginDetails) -> Value {
    let summary = &details.summary;
    json!({
        "Name": summary.name,
        "Configured": details.configured,
        "Manifest": { "Name": details.own_name, "Version": summary.version, "Summary": details.about },
        "World": summary.world.as_str(),
        "Provides": summary.names,
        "Source": summary.source,
        "Digest": summary.digest,
        "State": summary.state.as_str(),
        "Note": summary.note,
        "DefinedAt": details.place,
        "Lock": details.lock,
        "Form": details.form.map(|form| form.as_str()),
        "Size": details.size,
        "Compiled": details.compiled.as_ref().map(|(path, size)| json!({"Path": path, "Size": size})),
        "Limits": {
            "Memory": details.limits.memory,
            "Fuel": details.limits.fuel,
            "TimeMs": u64::try_from(details.limits.time.as_millis()).unwrap_or(u64::MAX),
        },
        "Rights": rights::json(&summary.rights),
        "Keywords": details.keywords.iter().map(keyword).collect::<Vec<_>>(),
        "Settings": details.settings,
        "Required": details.required,
        "Native": details.native,
        "Exports": details.exports,
        "Imports": details.imports,
        "Wasi": details.wasi,
    })
}

fn keyword(keyword: &wharf_engine::plugin::KeywordDetails) -> Value {
    let flags = keyword.flags.iter().map(|flag| {
        json!({
            "Name": flag.name,
            "TakesValue": flag.takes_value,
            "Repeatable": flag.repeatable,
            "ExpandsVariables": flag.expands_variables,
            "Doc": flag.doc,
        })
    });
    json!({
        "Name": keyword.name,
        "Own": keyword.own,
        "Summary": keyword.summary,
        "Body": keyword.body,
        "Flags": flags.collect::<Vec<_>>(),
        "BeforeFrom": keyword.before_from,
        "StartsStage": keyword.starts_stage,
    })
}
