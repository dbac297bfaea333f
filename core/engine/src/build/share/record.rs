//! The list of records.

use serde::{Deserialize, Serialize};
use wharf_model::Digest;
use wharf_store::{Layer, RecordError};

use super::super::cached::CachedStep;
use super::super::execute::Finished;
use super::CacheMode;
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
pub(super) struct LayerRecord {
    pub(super) chain_id: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Digest>,
    pub(super) diff_id: Digest,
    /// What it is in, where layers are written too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blob: Option<Digest>,
}

impl LayerRecord {
    fn of(layer: &Layer) -> Self {
        Self { chain_id: layer.chain_id, parent: layer.parent, diff_id: layer.diff_id, blob: None }
    }
}

impl Engine {
    /// The records of a build.
    pub(super) fn records(&self, stage: &Finished, mode: CacheMode) -> Result<Records, RecordError> {
        let keys = if mode == CacheMode::Max { &stage.all_keys } else { &stage.keys };
        let mut records = Records::default();
        for key in keys {
            let Some(entry) = self.store.cache().get(key)? else { continue };
            let Ok(kept) = serde_json::from_slice::<CachedStep>(&entry.value) else { continue };
            let layer = entry.chain_id.map(|id| self.store.layer(&id)).transpose()?.flatten();
            let layer = layer.filter(|_| !kept.unchanged).as_ref().map(LayerRecord::of);
            let known = records.records.iter().any(|record| record.key == *key);
            if !known && (kept.unchanged || layer.is_some()) {
                records.records.push(Record { key: *key, unchanged: kept.unchanged, layer });
            }
        }
        Ok(records)
    }

    /// The records as a value of an image's config.
    pub(in crate::build) fn inline_records(
        &self,
        stage: &Finished,
    ) -> Result<serde_json::Value, RecordError> {
        Ok(serde_json::to_value(self.records(stage, CacheMode::Min)?).unwrap_or_default())
    }
}
