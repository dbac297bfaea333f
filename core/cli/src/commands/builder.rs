use wharf_engine::disk::Scope;

use super::prune::{self, PruneArgs};
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Work with builds
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Builder {
    Build(Box<super::build::Build>),
    /// Empty the build cache
    Prune(PruneCache),
}

impl Builder {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        match self {
            Self::Build(verb) => verb.run(globals),
            Self::Prune(verb) => verb.run(globals),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct PruneCache {
    /// Also what images stand on; the images stay
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    common: PruneArgs,
}

impl PruneCache {
    fn run(&self, globals: &Globals) -> Result<u8, Report> {
        self.common.unfiltered()?;
        let what = if self.all { "all" } else { "all dangling" };
        if !self.common.confirmed(&format!("This will remove {what} build cache. "))? {
            return Ok(0);
        }
        let scope = if self.all { Scope::Unused } else { Scope::Dangling };
        let pruned = globals.engine()?.prune_build_cache(scope).map_err(prune::failed)?;
        let ids: Vec<String> = pruned.removed.iter().map(|layer| layer.hex()).collect();
        output::text(&(prune::section("Deleted build cache objects", &ids) + &prune::total(pruned.bytes)))?;
        Ok(0)
    }
}
