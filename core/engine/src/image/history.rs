//! `history`: the steps of an image, newest first.

use wharf_model::Platform;
use wharf_store::{Image, ResolveError};

use crate::Engine;

/// One step of how an image came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image's id for the newest step, `None` for the others.
    pub id: Option<String>,
    /// RFC 3339.
    pub created: Option<String>,
    /// The instruction.
    pub created_by: String,
    /// Bytes of its layer.
    pub size: u64,
    /// Why.
    pub comment: String,
}

impl Engine {
    /// The steps of an image, newest first.
    ///
    /// # Errors
    /// When there is no such image, or none for the platform.
    pub fn history(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Vec<HistoryEntry>, ResolveError> {
        let image = self.store.resolve_for(name, platform)?;
        Ok(entries(&image))
    }
}

fn entries(image: &Image) -> Vec<HistoryEntry> {
    let mut layers = image.layers.iter();
    let mut list: Vec<HistoryEntry> = image
        .config
        .history
        .iter()
        .map(|step| HistoryEntry {
            id: None,
            created: step.created.clone(),
            created_by: step.created_by.clone().unwrap_or_default(),
            size: if step.empty_layer { 0 } else { layers.next().map_or(0, |layer| layer.size) },
            comment: step.comment.clone().unwrap_or_default(),
        })
        .collect();
    list.reverse();
    if let Some(newest) = list.first_mut() {
        newest.id = Some(image.id.to_string());
    }
    list
}
