//! What hooks keep beside an image.

use wharf_store::{Attachment, BlobError, RecordError, ResolveError};

use crate::Engine;

/// Bytes of one that is read.
const LONGEST: u64 = 256 << 20;

/// Why an attachment can not be had.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentError {
    /// No such image.
    #[error(transparent)]
    Image(#[from] ResolveError),
    /// No such attachment.
    #[error("image {image} has no attachment `{name}`{}", there_are(.known))]
    Unknown {
        /// As typed.
        image: String,
        /// As typed.
        name: String,
        /// What it has.
        known: Vec<String>,
    },
    /// What it holds can not be read.
    #[error("cannot read the attachment")]
    Blob(#[from] BlobError),
    /// The records.
    #[error(transparent)]
    Record(#[from] RecordError),
}

fn there_are(known: &[String]) -> String {
    if known.is_empty() { ": it has none".to_owned() } else { format!(", only {}", known.join(", ")) }
}

impl Engine {
    /// What an image has, sorted by name.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn attachments(&self, image: &str) -> Result<Vec<Attachment>, AttachmentError> {
        let image = self.store.resolve(image)?;
        Ok(self.store.attachments().of(&image.id)?)
    }

    /// What one of them holds.
    ///
    /// # Errors
    /// When there is no such image or attachment.
    pub fn read_attachment(&self, image: &str, name: &str) -> Result<Vec<u8>, AttachmentError> {
        let held = self.attachments(image)?;
        let Some(found) = held.iter().find(|attachment| attachment.name == name) else {
            let known = held.into_iter().map(|attachment| attachment.name).collect();
            return Err(AttachmentError::Unknown { image: image.to_owned(), name: name.to_owned(), known });
        };
        Ok(self.store.blobs().read(&found.digest, LONGEST)?)
    }
}
