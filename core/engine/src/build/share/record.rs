//! The list of records.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wharf_model::Digest;
use wharf_store::{Layer, RecordError};

use super::super::cached::CachedStep;
use super::super::execute::Finished;
use super::CacheMode;
use super::imported::Imported;
use crate::Engine;

/// Where it is in an image's config.
pub(in crate::build) const INLINE: &str = "wharf.cache.v1";

/// What steps lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Records {
    pub(super) records: Vec<Record>,
}

/// What one step leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Of the step.
    pub(super) key: Digest,
    /// It changed nothing: the result is what it stood on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unchanged: bool,
    /// Its topmost layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layer: Option<LayerRecord>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::build) struct LayerRecord {
    pub(super) chain_id: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Digest>,
    pub(super) diff_id: Digest,
    /// What it is in, where the layer is in the cache too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blob: Option<Digest>,
}

impl LayerRecord {
    pub(super) fn of(layer: &Layer) -> Self {
        Self { chain_id: layer.chain_id, parent: layer.parent, diff_id: layer.diff_id, blob: None }
    }

    /// The layer, of which nothing else is known.
    pub(super) fn elsewhere(&self) -> Layer {
        Layer {
            diff_id: self.diff_id,
            chain_id: self.chain_id,
            parent: self.parent,
            size: 0,
            tar_size: 0,
            blob: None,
            media_type: None,
            driver: String::new(),
        }
    }
}

impl Records {
    /// A layer is in this blob.
    pub(super) fn note(&mut self, chain_id: &Digest, blob: Digest) {
        let layers = self.records.iter_mut().filter_map(|record| record.layer.as_mut());
        layers.filter(|layer| layer.chain_id == *chain_id).for_each(|layer| layer.blob = Some(blob));
    }

    /// The layers of an image are in these blobs.
    pub(super) fn are_in(&mut self, chain_ids: &[Digest], blobs: &[Digest]) {
        let places: BTreeMap<&Digest, &Digest> = chain_ids.iter().zip(blobs).collect();
        for layer in self.records.iter_mut().filter_map(|record| record.layer.as_mut()) {
            layer.blob = places.get(&layer.chain_id).map(|blob| **blob);
        }
    }
}

impl Engine {
    /// The records of a build, without blobs.
    pub(super) fn records(&self, imported: &Imported, stage: &Finished) -> Result<Records, RecordError> {
        let mut records = Records::default();
        let mut known = BTreeSet::new();
        for key in stage.all_keys.iter().filter(|key| known.insert(**key)) {
            let own = self.own_record(key)?;
            records.records.extend(own.or_else(|| imported.record(key)));
        }
        for layer in records.records.iter_mut().filter_map(|record| record.layer.as_mut()) {
            layer.blob = None;
        }
        Ok(records)
    }

    fn own_record(&self, key: &Digest) -> Result<Option<Record>, RecordError> {
        let Some(entry) = self.store.cache().get(key)? else { return Ok(None) };
        let Ok(kept) = serde_json::from_slice::<CachedStep>(&entry.value) else { return Ok(None) };
        let layer = entry.chain_id.map(|id| self.store.layer(&id)).transpose()?.flatten();
        let layer = layer.filter(|_| !kept.unchanged).as_ref().map(LayerRecord::of).or(kept.elsewhere);
        let is_known = kept.unchanged || layer.is_some();
        Ok(is_known.then_some(Record { key: *key, unchanged: kept.unchanged, layer }))
    }

    /// The records as a value of an image's config.
    pub(in crate::build) fn inline_records(
        &self,
        imported: &Imported,
        stage: &Finished,
    ) -> Result<serde_json::Value, RecordError> {
        Ok(serde_json::to_value(self.records(imported, stage)?).unwrap_or_default())
    }
}

/// The layers that a cache of this mode holds, each once, each after the one that it stands on.
pub(super) fn wanted(records: &Records, stage: &Finished, mode: CacheMode) -> Vec<Layer> {
    let own: BTreeSet<&Digest> = stage.keys.iter().collect();
    let kept = records.records.iter().filter(|record| mode == CacheMode::Max || own.contains(&record.key));
    let mut seen = BTreeSet::new();
    let layers = kept.filter_map(|record| record.layer.as_ref());
    layers.filter(|layer| seen.insert(layer.chain_id)).map(LayerRecord::elsewhere).collect()
}
