//! What steps leave in the cache: their layers by their keys, and for each line of a Dockerfile what its
//! last key was made of, so that it can be said what has changed.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use wharf_model::Digest;
use wharf_store::{CacheEntry, Layer};

use super::execute::Execution;
use super::key::Parts;
use super::plan::{Stage, Step};
use super::request::BuildError;
use super::share::{Found, LayerRecord};
use super::tree::{Chain, Work};

/// What a finished step leaves in the cache.
#[derive(Serialize, Deserialize)]
pub(super) struct CachedStep {
    /// It changed no files.
    pub(super) unchanged: bool,
    /// The layer that it led to, while that is not here: a cache from elsewhere knew it, and nobody
    /// wanted its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) elsewhere: Option<LayerRecord>,
}

impl<'a> Execution<'a, '_> {
    /// A line of a Dockerfile in a context directory: where the parts of its last key are kept.
    pub(super) fn place(&self, stage: &Stage, step: &Step) -> Digest {
        let place = format!("place\0{}\0{}\0{}", self.place.display(), stage.name, step.span.line);
        Digest::of(place)
    }

    pub(super) fn cached(&self, key: &Digest, base: &Chain) -> Result<Option<Chain>, BuildError> {
        match self.known_here(key, base)? {
            Some(chain) => Ok(Some(chain)),
            None => self.known_elsewhere(key, base),
        }
    }

    fn known_here(&self, key: &Digest, base: &Chain) -> Result<Option<Chain>, BuildError> {
        let Some(entry) = self.engine.store.cache().get(key)? else { return Ok(None) };
        let Ok(kept) = serde_json::from_slice::<CachedStep>(&entry.value) else { return Ok(None) };
        if kept.unchanged {
            return Ok(Some(base.clone()));
        }
        if let Some(heard) = &kept.elsewhere {
            let found = self.imported.heard(key, heard, base.top());
            return found.map(|layer| self.here_or_elsewhere(key, base, *layer)).transpose();
        }
        let layer = entry.chain_id.map(|chain_id| self.engine.store.layer(&chain_id)).transpose()?.flatten();
        let Some(layer) = layer else { return Ok(None) };
        Ok(base.ending_in(layer, |chain_id| self.engine.store.layer(chain_id))?)
    }

    /// The layer stays where it is until somebody wants it.
    fn known_elsewhere(&self, key: &Digest, base: &Chain) -> Result<Option<Chain>, BuildError> {
        match self.imported.find(key, base.top()) {
            None => Ok(None),
            Some(Found::Unchanged) => {
                self.engine.learn(key, None)?;
                Ok(Some(base.clone()))
            }
            Some(Found::Layer(layer)) => Ok(Some(self.here_or_elsewhere(key, base, *layer)?)),
        }
    }

    /// That the step leads to this layer is kept, so that the next build knows it without the cache.
    fn here_or_elsewhere(&self, key: &Digest, base: &Chain, layer: Layer) -> Result<Chain, BuildError> {
        let here = self.engine.store.layer(&layer.chain_id)?;
        match &here {
            Some(here) => self.engine.learn(key, Some(here.chain_id))?,
            None => self.engine.hear(key, &layer)?,
        }
        Ok(base.with(here.unwrap_or(layer)))
    }

    /// A tree to change on top of a chain.
    pub(super) fn work_on(&self, chain: &Chain) -> Result<Work<'a>, BuildError> {
        self.engine.bring(self.imported, chain)?;
        Work::on(self.engine, self.snapshots()?, chain)
    }

    /// The files of a chain.
    pub(super) fn open_chain(&self, chain: &Chain) -> Result<OwnedFd, BuildError> {
        self.engine.bring(self.imported, chain)?;
        self.engine.open_chain(&*self.snapshots()?, chain)
    }

    pub(super) fn remember(&self, place: &Digest, parts: &Parts) -> Result<(), BuildError> {
        let value = serde_json::to_vec(parts).map_err(|error| BuildError::Layer(error.into()))?;
        let held = self.engine.store.cache().get(place)?;
        if held.is_none_or(|entry| entry.value != value) {
            self.engine.store.cache().put(place, &CacheEntry { chain_id: None, value })?;
        }
        Ok(())
    }

    pub(super) fn ignores_cache(&self, stage: &Stage) -> bool {
        let means = |name: &String| name.is_empty() || name.eq_ignore_ascii_case(&stage.name);
        self.options.no_cache || self.options.no_cache_filter.iter().any(means)
    }

    pub(super) fn why_not(&self, stage: &Stage, place: &Digest, parts: &Parts) -> Result<String, BuildError> {
        if self.ignores_cache(stage) {
            let all = self.options.no_cache;
            return Ok(format!("not cached: {}", if all { "--no-cache" } else { "--no-cache-filter" }));
        }
        let held = self.engine.store.cache().get(place)?;
        let before = held.and_then(|entry| serde_json::from_slice::<Parts>(&entry.value).ok());
        Ok(match before.map(|before| parts.changed_since(&before)) {
            None => "not cached: built for the first time".to_owned(),
            Some(changed) if changed.is_empty() => "not cached: its layer was removed".to_owned(),
            Some(changed) => format!("not cached: changed: {}", changed.join(", ")),
        })
    }

    /// The result of a step.
    pub(super) fn keep(&self, key: &Digest, chain: &Chain, unchanged: bool) -> Result<(), BuildError> {
        let chain_id = chain.layers.last().map(|layer| layer.chain_id);
        self.engine.know(key, chain_id, &CachedStep { unchanged, elsewhere: None })
    }
}
