use std::io::Write;

use wharf_engine::Engine;
use wharf_engine::disk::Scope;
use wharf_engine::image::Attachment;
use wharf_model::Platform;

use super::inspect::Shown;
use super::prune::{self, PruneArgs};
use super::{build, each, history, images, import, load, pull, push, rmi, save, tag, untag};
use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;

/// Work with images
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Image {
    /// List what hooks keep beside an image, or print one of it
    Attachment {
        /// Name or id
        image: String,
        /// Print this one
        name: Option<String>,
    },
    Build(Box<build::Build>),
    History(history::History),
    Import(import::Import),
    /// Print everything about images
    Inspect {
        /// The image for this platform, where a name has several
        #[arg(long, value_name = "PLATFORM")]
        platform: Option<Platform>,
        #[command(flatten)]
        shown: Shown,
    },
    Load(load::Load),
    #[command(visible_alias = "list")]
    Ls(images::Images),
    /// Remove images that nobody uses
    Prune(PruneImages),
    Pull(pull::Pull),
    Push(push::Push),
    #[command(visible_alias = "remove")]
    Rm(rmi::Rmi),
    Save(save::Save),
    Tag(tag::Tag),
    Untag(untag::Untag),
}

impl Image {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        match self {
            Self::Attachment { image, name } => attachment(globals.engine()?, image, name.as_deref()),
            Self::Build(verb) => verb.run(globals),
            Self::History(verb) => verb.run(globals),
            Self::Import(verb) => verb.run(globals),
            Self::Inspect { platform, shown } => inspect(shown, platform.as_ref(), globals),
            Self::Load(verb) => verb.run(globals),
            Self::Ls(verb) => verb.run(globals),
            Self::Prune(verb) => verb.run(globals),
            Self::Pull(verb) => verb.run(globals),
            Self::Push(verb) => verb.run(globals),
            Self::Rm(verb) => verb.run(globals),
            Self::Save(verb) => verb.run(globals),
            Self::Tag(verb) => verb.run(globals),
            Self::Untag(verb) => verb.run(globals),
        }
    }
}

fn attachment(engine: &Engine, image: &str, name: Option<&str>) -> Result<u8, Report> {
    let mut out = output::data();
    match name {
        Some(name) => out.write_all(&engine.read_attachment(image, name).map_err(Report::failed)?)?,
        None => {
            let held = engine.attachments(image).map_err(Report::failed)?;
            let row = |it: &Attachment| {
                vec![it.name.clone(), it.media_type.clone(), render::size(it.size), it.owner.clone()]
            };
            let rows: Vec<Vec<String>> = held.iter().map(row).collect();
            render::table(&mut out, &["NAME", "MEDIA TYPE", "SIZE", "HOOK"], &rows)?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn inspect(shown: &Shown, platform: Option<&Platform>, globals: &Globals) -> Result<u8, Report> {
    let engine = globals.engine()?;
    let mut found = Vec::new();
    let code = each(&shown.names, |name| {
        found.push(engine.inspect_image(name, platform).map_err(Report::failed)?);
        Ok(())
    })?;
    shown.print(found)?;
    Ok(code)
}

#[derive(Debug, clap::Args)]
pub(crate) struct PruneImages {
    /// All that no container was made from, not only those without a name
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    common: PruneArgs,
}

impl PruneImages {
    fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let keep = self.common.keep()?;
        let (scope, what) = if self.all {
            (Scope::Unused, "all images without at least one container associated to them")
        } else {
            (Scope::Dangling, "all dangling images")
        };
        if !self.common.confirmed(&format!("This will remove {what}.\n"))? {
            return Ok(0);
        }
        let pruned = globals.engine()?.prune_images(scope, &keep).map_err(prune::failed)?;
        let lines: Vec<String> = pruned.removed.iter().map(prune::words).collect();
        output::text(&(prune::section("Deleted Images", &lines) + &prune::total(pruned.bytes)))?;
        Ok(0)
    }
}
