use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use similar::TextDiff;
use wharf_engine::author::plan_text;
use wharf_engine::plugin::{PlanChange, PluginUpdate, Prepared, StatementChange, dockerfiles_in};

use super::{origin, refused, rights};
use crate::commands::inspect::pretty;
use crate::globals::Globals;
use crate::output::{self, printable};
use crate::report::Report;

/// Take new code for a plugin, after showing what it changes
///
/// Dockerfiles are planned with the old and the new code, and the plans compared. Nothing is run.
/// Without new code the plugin's own source is looked at again, be it a file or a registry's tag, which also locks what was changed in
/// wharf.toml by hand.
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// All plugins whose source has changed
    #[arg(long, conflicts_with_all = ["name", "from"])]
    all: bool,
    /// Only show the difference
    #[arg(long, value_name = "DOCKERFILE|DIR", num_args = 0..)]
    dry_run: Option<Vec<PathBuf>>,
    /// Compare the plans of these Dockerfiles, or of those in a directory
    #[arg(long, value_name = "DOCKERFILE|DIR")]
    over: Vec<PathBuf>,
    /// How to print the difference: text, json
    #[arg(long, value_name = "HOW", default_value = "text", value_parser = ["text", "json"])]
    format: String,
    /// Name of the plugin
    #[arg(required_unless_present = "all")]
    name: Option<String>,
    /// Its new code: a file, or oci://HOST/REPOSITORY[:TAG|@DIGEST]
    #[arg(value_name = "FILE|oci://...")]
    from: Option<String>,
}

impl Update {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let files = self.dockerfiles()?;
        let from = self.from.as_deref().map(origin).transpose()?;
        let prepared = engine.prepare_update(self.name.as_deref(), from.as_ref(), &files).map_err(refused)?;
        match &*self.format {
            "json" => output::lines([pretty(&fields(&prepared))])?,
            _ => output::text(&text(&prepared))?,
        }
        if self.dry_run.is_some() {
            return Ok(0);
        }
        engine.update(&prepared).map_err(refused)?;
        let names: Vec<&str> = prepared.updates.iter().map(|update| update.name.as_str()).collect();
        output::say(&if names.is_empty() {
            "up to date".to_owned()
        } else {
            format!("updated {}", names.join(" "))
        });
        Ok(0)
    }

    /// Those that were named; else the one that `wharf build .` would take here.
    fn dockerfiles(&self) -> Result<Vec<PathBuf>, Report> {
        let named: Vec<&PathBuf> = self.dry_run.iter().flatten().chain(&self.over).collect();
        if named.is_empty() {
            let here = PathBuf::from("Dockerfile");
            return Ok(if here.is_file() { vec![here] } else { Vec::new() });
        }
        let mut files = Vec::new();
        for path in named {
            if path.is_dir() {
                files.extend(dockerfiles_in(path).map_err(refused)?);
            } else {
                files.push(path.clone());
            }
        }
        Ok(files)
    }
}

fn text(prepared: &Prepared) -> String {
    let mut text: String = prepared.updates.iter().map(told).collect();
    for plan in &prepared.plans {
        let (all, changed) = (plan.statements, plan.changed.len());
        text += &format!("{}: {changed} of {all} statements are planned differently\n", plan.file.display());
        text.extend(plan.changed.iter().map(|change| difference(&plan.file, change)));
    }
    text
}

fn told(update: &PluginUpdate) -> String {
    let before = match &update.before {
        Some((version, digest)) => format!("{version} {}", digest.short()),
        None => "what could not be used".to_owned(),
    };
    let (version, digest) = &update.after;
    let mut text = format!("{}: {before} -> {version} {}\n", update.name, digest.short());
    text.extend(update.relocked.iter().map(|said| printable(&format!("  locked anew: {said}\n"))));
    for (word, names) in [("+", &update.new_names), ("-", &update.lost_names)] {
        text.extend(names.iter().map(|name| format!("  {word} provides {}\n", printable(name))));
    }
    for state in &update.new_requests {
        let (right, standing) = (&state.right, state.standing.as_str());
        text += &printable(&format!("  + requests {right} ({standing}): {}\n", state.reason));
    }
    text.extend(update.lost_requests.iter().map(|right| printable(&format!("  - requests {right}\n"))));
    text
}

/// A unified difference of the two plans, as `plugin test` writes them.
fn difference(file: &Path, change: &StatementChange) -> String {
    let (before, after) = (plan_text(&change.before), plan_text(&change.after));
    let diff = TextDiff::from_lines(&before, &after);
    let place = format!("{}:{} {}", file.display(), change.line, change.statement.replace('\n', " "));
    let head = (format!("before {place}"), format!("after  {place}"));
    printable(
        &diff
            .unified_diff()
            .context_radius(3)
            .header(&head.0, &head.1)
            .missing_newline_hint(false)
            .to_string(),
    )
}

fn fields(prepared: &Prepared) -> Value {
    json!({
        "Plugins": prepared.updates.iter().map(update_fields).collect::<Vec<_>>(),
        "Dockerfiles": prepared.plans.iter().map(plan_fields).collect::<Vec<_>>(),
    })
}

fn update_fields(update: &PluginUpdate) -> Value {
    let code = |(version, digest): &(String, wharf_engine::plugin::Digest)| json!({"Version": version, "Digest": digest});
    json!({
        "Name": update.name,
        "Before": update.before.as_ref().map(code),
        "After": code(&update.after),
        "Relocked": update.relocked,
        "NewProvides": update.new_names,
        "LostProvides": update.lost_names,
        "NewRequests": rights::json(&update.new_requests),
        "LostRequests": update.lost_requests,
    })
}

fn plan_fields(plan: &PlanChange) -> Value {
    let changed = plan.changed.iter().map(|change| {
        json!({
            "Line": change.line,
            "Statement": change.statement,
            "Before": change.before,
            "After": change.after,
        })
    });
    json!({"File": plan.file, "Statements": plan.statements, "Changed": changed.collect::<Vec<_>>()})
}
