use serde_json::{Value, json};
use wharf_engine::image::{Hit, SearchFilter};

use crate::globals::Globals;
use crate::output;
use crate::report::Report;
use crate::template;

/// What `--format` may name, and the heads of those columns.
const FIELDS: [(&str, &str); 5] = [
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];
const TABLE: &str = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";
/// Letters of a description.
const SHORT: usize = 45;

/// Look for images in a registry
///
/// Docker's registry searches names and descriptions. A registry that has no search is asked for all of its
/// names, and those that hold the text are printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// Only some: stars=NUMBER, is-official=BOOL
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Go template, `json`, or `table` with a template
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// As many at most: 1 to 100, or 0 for 25
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
    /// Do not shorten descriptions
    #[arg(long)]
    no_trunc: bool,
    /// [HOST/]TEXT
    term: String,
}

impl Search {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let mut filter = SearchFilter::default();
        for text in &self.filter {
            filter.add(text).map_err(Report::failed)?;
        }
        let found = globals.engine()?.search(&self.term, self.limit, &filter);
        let found = found.map_err(|error| {
            let hint = error.next_step();
            hint.into_iter().fold(Report::failed(error), Report::hint)
        })?;
        let format = self.format.as_deref().filter(|format| !matches!(*format, "" | "table"));
        let values: Vec<Value> = found.iter().map(|hit| self.fields(hit)).collect();
        output::text(&template::list(format.unwrap_or(TABLE), &FIELDS, &values)?)?;
        Ok(0)
    }

    fn fields(&self, hit: &Hit) -> Value {
        json!({
            "Name": hit.name,
            "Description": self.shorten(&output::printable(&hit.description.replace(['\n', '\r', '\t'], " "))),
            "StarCount": hit.stars.to_string(),
            "IsOfficial": if hit.official { "[OK]" } else { "" },
            // Nothing is: docker's registry builds no images any more.
            "IsAutomated": "",
        })
    }

    fn shorten(&self, text: &str) -> String {
        if self.no_trunc || text.chars().count() <= SHORT {
            return text.to_owned();
        }
        text.chars().take(SHORT - 1).chain(['…']).collect()
    }
}
