use std::io::Write;

use jiff::Timestamp;
use serde_json::{Value, json};
use wharf_engine::Engine;
use wharf_engine::image::ImageSummary;

use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;
use crate::template;

/// What `--format` may name, and the heads of those columns.
const FIELDS: [(&str, &str); 7] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Digest", "DIGEST"),
];

/// List images
#[derive(Debug, clap::Args)]
pub(crate) struct Images {
    /// Same as without it: there are no hidden images
    #[arg(short, long)]
    all: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Show what a registry's tag leads to
    #[arg(long)]
    digests: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Go template, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Only images of this name: REPOSITORY[:TAG]
    name: Option<String>,
}

impl Images {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let mut list = engine.images().map_err(Report::failed)?;
        list.retain(|image| self.wants(image));
        if self.quiet {
            let mut ids: Vec<String> = list.iter().map(|image| self.id(image)).collect();
            ids.dedup();
            output::lines(ids)?;
        } else if let Some(format) = &self.format {
            let values: Vec<Value> = list.iter().map(|image| self.fields(engine, image)).collect();
            output::text(&template::list(format, &FIELDS, &values)?)?;
        } else {
            let rows: Vec<Vec<String>> = list.iter().map(|image| self.row(engine, image)).collect();
            let mut head = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
            if self.digests {
                head.insert(2, "DIGEST");
            }
            let mut out = output::data();
            render::table(&mut out, &head, &rows)?;
            out.flush()?;
        }
        Ok(0)
    }

    fn wants(&self, image: &ImageSummary) -> bool {
        let Some(wanted) = &self.name else { return true };
        let Some(name) = &image.name else { return false };
        *wanted == name.familiar_name() || *wanted == name.familiar()
    }

    fn row(&self, engine: &Engine, image: &ImageSummary) -> Vec<String> {
        let (repository, tag) = names(image);
        let digest = self.digests.then(|| digest(engine, image));
        let rest = [self.id(image), created(image), render::size(image.size)];
        [repository, tag].into_iter().chain(digest).chain(rest).collect()
    }

    fn id(&self, image: &ImageSummary) -> String {
        if self.no_trunc { image.id.to_string() } else { image.id.short() }
    }

    fn fields(&self, engine: &Engine, image: &ImageSummary) -> Value {
        let (repository, tag) = names(image);
        json!({
            "Repository": repository,
            "Tag": tag,
            "ID": self.id(image),
            "CreatedSince": created(image),
            "CreatedAt": Timestamp::from_second(image.added).map(|time| time.to_string()).unwrap_or_default(),
            "Size": render::size(image.size),
            "Digest": digest(engine, image),
        })
    }
}

fn names(image: &ImageSummary) -> (String, String) {
    let none = || "<none>".to_owned();
    match &image.name {
        Some(name) => (name.familiar_name(), name.tag().map_or_else(none, str::to_owned)),
        None => (none(), none()),
    }
}

fn digest(engine: &Engine, image: &ImageSummary) -> String {
    let found = engine.remote_digest(image).ok().flatten();
    found.map_or_else(|| "<none>".to_owned(), |digest| digest.to_string())
}

fn created(image: &ImageSummary) -> String {
    Timestamp::from_second(image.added).map_or_else(|_| "N/A".to_owned(), render::ago)
}
