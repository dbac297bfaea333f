//! Caches of other machines, and whether a build can be done again.

use wharf_engine::build::share::{CacheFrom, CacheSyntaxError, CacheTo};

use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct Shared {
    /// Use what another build wrote: type=registry,ref=NAME, type=local,src=DIR, or an image with an
    /// inline cache, here or in a registry; whoever wrote it is trusted
    #[arg(long, value_name = "CACHE")]
    cache_from: Vec<String>,
    /// Write what steps led to: type=registry,ref=NAME or type=local,dest=DIR, both with mode=max for all
    /// stages and ignore-error=true for a warning, or type=inline for the image's config
    #[arg(long, value_name = "CACHE")]
    cache_to: Vec<String>,
    /// Build a second time without the cache, and fail with the first file that is not the same
    #[arg(long)]
    pub(super) verify: bool,
}

impl Shared {
    pub(super) fn from(&self) -> Result<Vec<CacheFrom>, Report> {
        let parsed = self.cache_from.iter().map(|text| CacheFrom::parse(text).map_err(refused));
        Ok(parsed.collect::<Result<Vec<_>, _>>()?.concat())
    }

    pub(super) fn to(&self) -> Result<Vec<CacheTo>, Report> {
        let parsed = self.cache_to.iter().map(|text| CacheTo::parse(text).map_err(refused));
        Ok(parsed.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

fn refused(error: CacheSyntaxError) -> Report {
    let is_remote = matches!(error, CacheSyntaxError::Remote(_));
    let report = Report::failed(error);
    if is_remote {
        report.hint("use type=registry, or type=local with a directory that you carry")
    } else {
        report
    }
}
