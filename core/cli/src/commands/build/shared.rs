//! Caches of other machines, and whether a build can be done again.

use wharf_engine::build::share::{CacheFrom, CacheSyntaxError, CacheTo};

use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct Shared {
    /// Use what another build wrote: type=local,src=DIR, or an image with an inline cache; whoever
    /// wrote it is trusted
    #[arg(long, value_name = "CACHE")]
    cache_from: Vec<String>,
    /// Write what steps led to: type=local,dest=DIR[,mode=max], or type=inline for the image's config
    #[arg(long, value_name = "CACHE")]
    cache_to: Vec<String>,
    /// Build a second time without the cache, and fail with the first file that is not the same
    #[arg(long)]
    pub(super) verify: bool,
}

impl Shared {
    pub(super) fn from(&self) -> Result<Vec<CacheFrom>, Report> {
        self.cache_from.iter().map(|text| CacheFrom::parse(text).map_err(|error| refused(&error))).collect()
    }

    pub(super) fn to(&self) -> Result<Vec<CacheTo>, Report> {
        self.cache_to.iter().map(|text| CacheTo::parse(text).map_err(|error| refused(&error))).collect()
    }
}

fn refused(error: &CacheSyntaxError) -> Report {
    let report = Report::message(1, error.to_string());
    match error {
        CacheSyntaxError::Remote(_) => report.hint("use type=local with a directory, and carry that"),
        _ => report,
    }
}
