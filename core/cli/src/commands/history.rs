use std::io::Write;

use jiff::Timestamp;
use wharf_engine::image::HistoryEntry;
use wharf_model::Platform;

use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;

/// Show how an image came to be
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten anything
    #[arg(long)]
    no_trunc: bool,
    /// The image for this platform, where the name has several
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Name or id
    image: String,
}

impl History {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let steps = globals.engine()?.history(&self.image, self.platform.as_ref()).map_err(Report::failed)?;
        if self.quiet {
            output::lines(steps.iter().map(|step| self.id(step)))?;
            return Ok(0);
        }
        let rows: Vec<Vec<String>> = steps.iter().map(|step| self.row(step)).collect();
        let mut out = output::data();
        render::table(&mut out, &["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], &rows)?;
        out.flush()?;
        Ok(0)
    }

    fn row(&self, step: &HistoryEntry) -> Vec<String> {
        let created = step.created.as_ref().and_then(|time| time.parse::<Timestamp>().ok());
        vec![
            self.id(step),
            created.map_or_else(|| "N/A".to_owned(), render::ago),
            self.shorten(&output::printable(&step.created_by.replace('\n', " "))),
            render::size(step.size),
            step.comment.clone(),
        ]
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
