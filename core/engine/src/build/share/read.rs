//! A cache that was written elsewhere -> its records, and where its layers are.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use wharf_model::image::ImageConfig;
use wharf_model::{Diagnostic, Digest, Platform, Reference, ReferenceError, Severity};
use wharf_store::registry::{Artifact, Beside, Found, PullError};
use wharf_store::{Image, ResolveError};

use super::super::progress::BuildEvent;
use super::super::request::BuildOptions;
use super::CacheFrom;
use super::directory::{Directory, parsed};
use super::imported::{Imported, Place, Remote, Source};
use super::record::{INLINE, Records};
use super::write::CONFIG_TYPE;
use crate::Engine;
use crate::hook::HookError;
use crate::image::PullPolicy;

/// Why a cache can not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheReadError {
    #[error("cannot read {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is too long", .0.display())]
    TooLong(PathBuf),
    #[error("{} is damaged", .path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("it is no build cache: its config is of type `{0}`")]
    Foreign(String),
    #[error("the content of {0} is something else")]
    Digest(Digest),
    #[error(transparent)]
    Image(#[from] ResolveError),
    #[error("image `{0}` was not built with an inline cache")]
    NoInline(String),
    #[error(transparent)]
    Name(#[from] ReferenceError),
    #[error(transparent)]
    Registry(#[from] PullError),
    #[error(transparent)]
    Hook(#[from] HookError),
}

impl Engine {
    /// Finds out what the caches hold. One that can not be used costs time and nothing else, so it is a
    /// warning.
    pub(in crate::build) fn read_caches(
        &self,
        options: &BuildOptions,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Imported {
        let mut imported = Imported::default();
        let wanted = options.cache_from.iter().filter(|_| !options.no_cache);
        for cache in wanted {
            let shown = shown(cache);
            if let CacheFrom::Registry(_) = cache {
                report(BuildEvent::Caching(&format!("importing cache manifest from {shown}")));
            }
            match self.read_cache(cache, options) {
                Ok((records, place)) => imported.add(Source::new(shown, records, place)),
                Err(error) => warn(&format!("cannot use the cache `{shown}`: {}", causes(&error)), report),
            }
        }
        imported
    }

    fn read_cache(
        &self,
        cache: &CacheFrom,
        options: &BuildOptions,
    ) -> Result<(Records, Place), CacheReadError> {
        let platform = options.platform.as_ref();
        match cache {
            CacheFrom::Local(from) => {
                let directory = Directory::open(from)?;
                Ok((directory.records()?, Place::Directory(directory)))
            }
            CacheFrom::Registry(name) => self.read_remote(name, platform),
            CacheFrom::Image(name) => match (self.read_here(name, platform), options.pull) {
                (Err(CacheReadError::Image(_) | CacheReadError::NoInline(_)), policy)
                    if policy != PullPolicy::Never =>
                {
                    self.read_remote(&name.parse()?, platform)
                }
                (read, _) => read,
            },
        }
    }

    fn read_here(&self, name: &str, platform: Option<&Platform>) -> Result<(Records, Place), CacheReadError> {
        let image: Image = self.store.resolve_for(name, platform)?;
        Ok((inline(name, &image.config)?, Place::Here))
    }

    fn read_remote(
        &self,
        name: &Reference,
        platform: Option<&Platform>,
    ) -> Result<(Records, Place), CacheReadError> {
        let session = self.session();
        let mut denied = None;
        let mut judge =
            |found: &Found, beside: &Beside<'_>| self.ask_about_pull(name, found, beside, &mut denied);
        let artifact = Artifact::find(&session, name, platform, &mut judge);
        if let Some(denied) = denied {
            return Err(denied.into());
        }
        let artifact = artifact?;
        let what = PathBuf::from(format!("the config of {}", name.familiar()));
        let records = if artifact.is_image() {
            let config: ImageConfig = parsed(&what, &artifact.config)?;
            let blobs: Vec<Digest> = artifact.layers().collect();
            let mut records = inline(&name.familiar(), &config)?;
            records.are_in(&config.chain_ids(), &blobs);
            records
        } else if artifact.config_type == CONFIG_TYPE {
            parsed(&what, &artifact.config)?
        } else {
            return Err(CacheReadError::Foreign(artifact.config_type));
        };
        Ok((records, Place::Registry(Box::new(Remote { name: name.clone(), session, artifact }))))
    }
}

fn inline(name: &str, config: &ImageConfig) -> Result<Records, CacheReadError> {
    let held = config.extra.get(INLINE).ok_or_else(|| CacheReadError::NoInline(name.to_owned()))?;
    let damaged = |source| CacheReadError::Damaged { path: Path::new(INLINE).to_owned(), source };
    serde_json::from_value(held.clone()).map_err(damaged)
}

fn shown(cache: &CacheFrom) -> String {
    match cache {
        CacheFrom::Local(from) => from.display().to_string(),
        CacheFrom::Registry(name) => name.familiar(),
        CacheFrom::Image(name) => name.clone(),
    }
}

pub(super) fn warn(text: &str, report: &mut (dyn FnMut(BuildEvent<'_>) + Send)) {
    let warning = &Diagnostic::new(Severity::Warning, "CacheNotUsed", text);
    report(BuildEvent::Warning { step: None, warning });
}

pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
