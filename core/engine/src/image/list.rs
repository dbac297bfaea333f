//! `images`, `tag`, and looking one image up.

use wharf_model::{Digest, Reference, ReferenceError};
use wharf_store::record::repository;
use wharf_store::{Image, RecordError, ResolveError, TagError};

use crate::Engine;
use crate::event::Entry;

/// One row of `images`: an image has as many as it has names, and one when it has none.
#[derive(Debug, Clone)]
pub struct ImageSummary {
    /// The name; `None` is `<none>`.
    pub name: Option<Reference>,
    /// Its id.
    pub id: Digest,
    /// When it came to be here: seconds since 1970.
    pub added: i64,
    /// Bytes of all its layers unpacked.
    pub size: u64,
}

/// Why an image got no further name.
#[derive(Debug, thiserror::Error)]
pub enum TagImageError {
    /// No such image.
    #[error(transparent)]
    Image(#[from] ResolveError),
    /// The new name is not one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// A digest is not a name to give.
    #[error("`{0}` holds a digest: a tag can not")]
    Digest(String),
    /// The name can not be kept.
    #[error(transparent)]
    Tag(#[from] TagError),
}

impl Engine {
    /// Names and images, newest first.
    ///
    /// # Errors
    /// When the records can not be read.
    pub fn images(&self) -> Result<Vec<ImageSummary>, RecordError> {
        let mut images = self.store.images()?;
        images.sort_by(|one, other| other.added.cmp(&one.added).then(one.id.cmp(&other.id)));
        Ok(images.iter().flat_map(rows).collect())
    }

    /// What a registry's tag of that name led to when the image was pulled or pushed.
    ///
    /// # Errors
    /// When the records can not be read.
    pub fn remote_digest(&self, image: &ImageSummary) -> Result<Option<Digest>, RecordError> {
        let Some(name) = &image.name else { return Ok(None) };
        let repository = repository(name);
        let remotes = self.store.remotes().of(&image.id)?;
        let own = remotes.into_iter().find(|remote| remote.repository == repository);
        Ok(name.digest().or(own.map(|remote| remote.digest)))
    }

    /// The image of that name, id or unambiguous beginning of an id.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn image(&self, name: &str) -> Result<Image, ResolveError> {
        self.store.resolve(name)
    }

    /// Gives an image a further name; an image that had it loses it.
    ///
    /// # Errors
    /// When there is no such image, or the name is not one.
    pub fn tag(&self, image: &str, name: &str) -> Result<(), TagImageError> {
        let image = self.store.resolve(image)?;
        let reference: Reference = name.parse()?;
        if reference.digest().is_some() {
            return Err(TagImageError::Digest(name.to_owned()));
        }
        self.store.tag(&image.id, &reference)?;
        self.note([Entry::image("tag", &image.id, Some(reference.familiar()))]);
        Ok(())
    }
}

fn rows(image: &Image) -> Vec<ImageSummary> {
    let row = |name| ImageSummary { name, id: image.id, added: image.added, size: image.size };
    if image.names.is_empty() {
        vec![row(None)]
    } else {
        image.names.iter().cloned().map(Some).map(row).collect()
    }
}
