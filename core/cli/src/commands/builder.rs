use std::io::Write;

use wharf_engine::disk::{Cached, Scope, Trim};

use super::prune::{self, PruneArgs};
use crate::globals::Globals;
use crate::report::Report;
use crate::{output, render, units};

/// Work with builds
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Builder {
    Build(Box<super::build::Build>),
    /// List what the build cache keeps
    Du(Du),
    /// Empty the build cache
    Prune(PruneCache),
}

impl Builder {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        match self {
            Self::Build(verb) => verb.run(globals),
            Self::Du(verb) => verb.run(globals),
            Self::Prune(verb) => verb.run(globals),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct PruneCache {
    /// Also what images stand on, and cache mounts; the images stay
    #[arg(short, long)]
    all: bool,
    /// Stop when this much is left: 10gb
    #[arg(long, value_name = "BYTES", visible_alias = "max-used-space", value_parser = units::bytes)]
    keep_storage: Option<i64>,
    #[command(flatten)]
    common: PruneArgs,
}

impl PruneCache {
    fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let keep = self.common.keep()?;
        if !keep.labels.is_empty() || !keep.labelled.is_empty() {
            return Err(Report::message(1, "the build cache has no labels").hint("write --filter until=24h"));
        }
        let what = if self.all { "all" } else { "all dangling" };
        if !self.common.confirmed(&format!("This will remove {what} build cache. "))? {
            return Ok(0);
        }
        let scope = if self.all { Scope::Unused } else { Scope::Dangling };
        let keep_bytes = self.keep_storage.and_then(|bytes| u64::try_from(bytes).ok());
        let trim = Trim { scope, until: keep.until, keep: keep_bytes };
        let pruned = globals.engine()?.trim_build_cache(&trim).map_err(prune::failed)?;
        let section = prune::section("Deleted build cache objects", &pruned.removed);
        output::text(&(section + &prune::total(pruned.bytes)))?;
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Du {
    /// Do not shorten
    #[arg(long)]
    verbose: bool,
}

impl Du {
    fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let cached = globals.engine()?.build_cache().map_err(Report::failed)?;
        let rows: Vec<Vec<String>> = cached.iter().map(|cached| self.row(cached)).collect();
        let mut out = output::data();
        let head = ["ID", "RECLAIMABLE", "SIZE", "CREATED", "LAST ACCESSED", "DESCRIPTION"];
        render::table(&mut out, &head, &rows)?;
        let bytes = |reclaimable: bool| {
            let counted = cached.iter().filter(|cached| !reclaimable || !cached.in_use);
            render::size(counted.map(|cached| cached.size).sum())
        };
        writeln!(out, "Reclaimable:\t{}\nTotal:\t\t{}", bytes(true), bytes(false))?;
        out.flush()?;
        Ok(0)
    }

    fn row(&self, cached: &Cached) -> Vec<String> {
        let ago = |time: Option<jiff::Timestamp>| time.map_or_else(String::new, render::ago);
        let cut = |text: &str, length: usize| -> String {
            if self.verbose { text.to_owned() } else { text.chars().take(length).collect() }
        };
        vec![
            cut(&cached.place.name(), 12),
            (!cached.in_use).to_string(),
            render::size(cached.size),
            ago(cached.made),
            ago(cached.used),
            output::printable(&cut(cached.description.lines().next().unwrap_or_default(), 60)),
        ]
    }
}
