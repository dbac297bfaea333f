//! What the `prune` verbs have in common: the question, the filters, and docker's words.

use std::io::{self, BufRead, Write};

use wharf_engine::disk::{Keep, PruneError};
use wharf_engine::image::Removed;

use crate::output;
use crate::render;
use crate::report::Report;
use crate::units;

/// Options of `prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct PruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only what was made before a time (until=24h) or has a label (label=NAME[=VALUE]), or has it not (label!=NAME[=VALUE])
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

impl PruneArgs {
    /// Asks, unless `--force` was given; false is no.
    pub(super) fn confirmed(&self, warning: &str) -> Result<bool, Report> {
        if self.force {
            return Ok(true);
        }
        let mut out = output::data();
        write!(out, "WARNING! {warning}Are you sure you want to continue? [y/N] ")?;
        out.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// What the filters leave alone.
    pub(super) fn keep(&self) -> Result<Keep, Report> {
        let mut keep = Keep::default();
        for filter in &self.filter {
            match filter.split_once('=') {
                Some(("until", time)) => {
                    keep.until = Some(units::time(time).map_err(|error| Report::message(1, error))?);
                }
                Some(("label", label)) => keep.labels.push(parted(label)),
                Some(("label!", label)) => keep.labelled.push(parted(label)),
                _ => {
                    let message = format!("invalid filter `{filter}`");
                    return Err(Report::message(1, message)
                        .hint("write until=24h, label=NAME[=VALUE] or label!=NAME[=VALUE]"));
                }
            }
        }
        Ok(keep)
    }

    /// That nothing is filtered, where no filter has a meaning.
    pub(super) fn unfiltered(&self) -> Result<(), Report> {
        match self.filter.first() {
            None => Ok(()),
            Some(filter) => Err(Report::message(1, format!("--filter {filter} is not supported here"))),
        }
    }
}

/// `NAME`, or `NAME=VALUE`.
fn parted(label: &str) -> (String, Option<String>) {
    match label.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (label.to_owned(), None),
    }
}

/// A list with its head; without anything to list, nothing.
pub(super) fn section(head: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    lines.iter().fold(format!("{head}:\n"), |text, line| text + line + "\n") + "\n"
}

/// The last line.
pub(super) fn total(bytes: u64) -> String {
    format!("Total reclaimed space: {}\n", render::size(bytes))
}

/// Docker writes these in lower case here.
pub(super) fn words(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("untagged: {}", name.familiar()),
        Removed::Deleted(digest) => format!("deleted: {digest}"),
    }
}

pub(super) fn failed(error: PruneError) -> Report {
    Report::failed(error)
}
