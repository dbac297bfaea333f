use std::io::Write;

use jiff::Timestamp;
use serde_json::{Value, json};
use wharf_engine::Engine;
use wharf_engine::image::{ImageFilter, ImageSummary, ImageTree};

use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;
use crate::{template, units};

/// What `--format` may name, and the heads of those columns.
const FIELDS: [(&str, &str); 12] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Digest", "DIGEST"),
    ("Containers", "CONTAINERS"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("VirtualSize", "SIZE"),
    ("Platform", "PLATFORM"),
];
/// What has no name, no tag or no digest.
const NONE: &str = "<none>";
const TABLE: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const DIGESTS: &str = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

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
    /// Only some: dangling=true, label=NAME[=VALUE], reference=PATTERN, before=IMAGE, since=IMAGE, until=TIME
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Go template, `json`, or `table` with a template
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show the platforms of each name
    #[arg(long, conflicts_with_all = ["quiet", "digests", "format"])]
    tree: bool,
    /// Only images of this name: REPOSITORY[:TAG]; `*` stands for anything but a slash
    name: Option<String>,
}

impl Images {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let filter = self.filters()?;
        let engine = globals.engine()?;
        let list = engine.images_like(&filter).map_err(Report::failed)?;
        if self.tree {
            return self.show_tree(engine, list);
        }
        let format = self.format.as_deref().filter(|format| !matches!(*format, "" | "table"));
        if self.quiet && format.is_none() {
            let mut ids: Vec<String> = list.iter().map(|image| self.id(image)).collect();
            ids.dedup();
            output::lines(ids)?;
            return Ok(0);
        }
        let usual = if self.digests { DIGESTS } else { TABLE };
        let format = format.unwrap_or(usual);
        // Docker fills it when the columns have it, and says that there is none to whoever asks for JSON alone.
        let asks = self.digests || format.contains(".Digest");
        let row = |image: &ImageSummary| {
            let digest = if asks { digest(engine, image) } else { NONE.to_owned() };
            self.fields(image, digest)
        };
        let values: Vec<Value> = list.iter().map(row).collect();
        output::text(&template::list(format, &FIELDS, &values)?)?;
        Ok(0)
    }

    fn filters(&self) -> Result<ImageFilter, Report> {
        let mut filter = ImageFilter::default();
        for text in &self.filter {
            match text.split_once('=') {
                Some(("until", time)) => {
                    filter.until(units::time(time).map_err(|error| Report::message(1, error))?);
                }
                _ => filter.add(text).map_err(Report::failed)?,
            }
        }
        if let Some(name) = &self.name {
            filter.add_reference(name).map_err(Report::failed)?;
        }
        Ok(filter)
    }

    fn id(&self, image: &ImageSummary) -> String {
        if self.no_trunc { image.id.to_string() } else { image.id.short() }
    }

    fn fields(&self, image: &ImageSummary, digest: String) -> Value {
        let (repository, tag) = names(image);
        let time = Timestamp::from_second(image.added).ok();
        json!({
            "Repository": repository,
            "Tag": tag,
            "ID": self.id(image),
            "CreatedSince": time.map_or_else(|| "N/A".to_owned(), render::ago),
            "CreatedAt": time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()),
            "Size": render::size(image.size),
            "VirtualSize": render::size(image.size),
            "Digest": digest,
            // Docker looks for these in `system df` only.
            "Containers": "N/A",
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
            "Platform": image.platform.to_string(),
        })
    }

    fn show_tree(&self, engine: &Engine, list: Vec<ImageSummary>) -> Result<u8, Report> {
        let mut rows = Vec::new();
        for tree in engine.image_trees(list).map_err(Report::failed)? {
            rows.extend(self.branches(&tree));
        }
        let mut out = output::data();
        render::table(&mut out, &["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"], &rows)?;
        out.flush()?;
        Ok(0)
    }

    /// The name with all that it leads to, and a line for each platform.
    fn branches(&self, tree: &ImageTree) -> Vec<Vec<String>> {
        let short = |id: &wharf_model::Digest| if self.no_trunc { id.to_string() } else { id.short() };
        let used = |used: bool| if used { "U".to_owned() } else { String::new() };
        let name = tree.summary.name.as_ref().map_or_else(|| "<untagged>".to_owned(), |it| it.familiar());
        let all = &tree.variants;
        let mut rows = vec![vec![
            name,
            short(tree.index.as_ref().unwrap_or(&tree.summary.id)),
            render::size(all.iter().map(|image| image.size).sum()),
            render::size(all.iter().map(|image| image.content).sum()),
            used(all.iter().any(|image| image.in_use)),
        ]];
        for (number, image) in all.iter().enumerate() {
            let branch = if number + 1 == all.len() { "└─" } else { "├─" };
            rows.push(vec![
                format!("{branch} {}", image.platform),
                short(&image.id),
                render::size(image.size),
                render::size(image.content),
                used(image.in_use),
            ]);
        }
        rows
    }
}

fn names(image: &ImageSummary) -> (String, String) {
    let none = || NONE.to_owned();
    match &image.name {
        // The tag beside a digest is not what was asked for.
        Some(name) if name.digest().is_some() => (name.familiar_name(), none()),
        Some(name) => (name.familiar_name(), name.tag().map_or_else(none, str::to_owned)),
        None => (none(), none()),
    }
}

fn digest(engine: &Engine, image: &ImageSummary) -> String {
    let found = engine.remote_digest(image).ok().flatten();
    found.map_or_else(|| NONE.to_owned(), |digest| digest.to_string())
}
