use std::io::Write;

use jiff::Timestamp;
use serde_json::{Value, json};
use wharf_engine::image::HistoryEntry;
use wharf_model::Platform;

use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;
use crate::template;

/// What `--format` may name, and the heads of those columns.
const FIELDS: [(&str, &str); 6] = [
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// Show how an image came to be
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten anything
    #[arg(long)]
    no_trunc: bool,
    /// Round sizes, and tell times as people do; `--human=false` prints bytes and dates
    #[arg(
        short = 'H',
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true"
    )]
    human: bool,
    /// Go template, `table` with one, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// The image for this platform, where the name has several
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Name or id
    image: String,
}

impl History {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let steps = globals.engine()?.history(&self.image, self.platform.as_ref()).map_err(Report::failed)?;
        if let Some(format) = self.format.as_deref().filter(|format| !matches!(*format, "" | "table")) {
            let values: Vec<Value> = steps.iter().map(|step| self.fields(step)).collect();
            output::text(&template::list(format, &FIELDS, &values)?)?;
            return Ok(0);
        }
        if self.quiet {
            output::lines(steps.iter().map(|step| self.id(step)))?;
            return Ok(0);
        }
        let created = if self.human { "CREATED" } else { "CREATED AT" };
        let rows: Vec<Vec<String>> = steps.iter().map(|step| self.row(step)).collect();
        let mut out = output::data();
        render::table(&mut out, &["IMAGE", created, "CREATED BY", "SIZE", "COMMENT"], &rows)?;
        out.flush()?;
        Ok(0)
    }

    fn row(&self, step: &HistoryEntry) -> Vec<String> {
        let created = if self.human { since(step) } else { at(step) };
        vec![self.id(step), created, self.made_by(step), self.size(step), step.comment.clone()]
    }

    fn fields(&self, step: &HistoryEntry) -> Value {
        json!({
            "Comment": step.comment,
            "CreatedAt": at(step),
            "CreatedBy": self.made_by(step),
            "CreatedSince": since(step),
            "ID": self.id(step),
            "Size": self.size(step),
        })
    }

    fn made_by(&self, step: &HistoryEntry) -> String {
        self.shorten(&output::printable(&step.created_by.replace(['\n', '\t'], " ")))
    }

    fn size(&self, step: &HistoryEntry) -> String {
        if self.human { render::size(step.size) } else { step.size.to_string() }
    }

    fn id(&self, step: &HistoryEntry) -> String {
        match &step.id {
            None => "<missing>".to_owned(),
            Some(id) if self.no_trunc => id.clone(),
            Some(id) => id.trim_start_matches("sha256:").chars().take(12).collect(),
        }
    }

    fn shorten(&self, text: &str) -> String {
        if self.no_trunc || text.chars().count() <= 45 {
            return text.to_owned();
        }
        text.chars().take(44).chain(['…']).collect()
    }
}

fn since(step: &HistoryEntry) -> String {
    let created = step.created.as_ref().and_then(|time| time.parse::<Timestamp>().ok());
    created.map_or_else(|| "N/A".to_owned(), render::ago)
}

fn at(step: &HistoryEntry) -> String {
    step.created.clone().unwrap_or_else(|| "N/A".to_owned())
}
