//! `push`: an image to the registry that its name says.

use wharf_model::hook::ImageTransfer;
use wharf_model::{Digest, Platform, Reference, ReferenceError};
use wharf_store::registry::{self, PushError, Pushed, Say};
use wharf_store::{Image, ResolveError};

use super::AttachmentError;
use crate::Engine;
use crate::build::provenance;
use crate::event::Entry;
use crate::home::Home;
use crate::hook::{AskedTransfer, HookError};
use crate::snapshot::SnapshotError;

pub use wharf_store::registry::{Arrived, PushEvent, PushStage};

/// Hears how far an image is.
pub type PushListener<'l> = dyn FnMut(PushEvent<'_>) + 'l;

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushImageError {
    /// The name is not one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// No image is called so.
    #[error("An image does not exist locally with the tag: {0}")]
    Unknown(String),
    /// A digest can not be given, only found.
    #[error("cannot push {0}: a digest is not a name to give")]
    Digest(String),
    /// The records.
    #[error(transparent)]
    Resolve(ResolveError),
    /// A hook refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The layers.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What is said about it.
    #[error(transparent)]
    Attachment(#[from] AttachmentError),
    /// The registry, or a layer.
    #[error("cannot push {name}")]
    Push {
        /// Host, path and tag.
        name: Reference,
        /// Why not.
        source: PushError,
    },
}

impl PushImageError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Push { source, .. } => source.next_step(),
            Self::Unknown(name) => Some(format!("give an image that name with `wharf tag IMAGE {name}`")),
            Self::Digest(_) => Some("push it by a tag".to_owned()),
            Self::Hook(error) => error.next_step(),
            _ => None,
        }
    }
}

impl Engine {
    /// Sends the image of that name to where the name says, with the provenance that is beside it. An
    /// index whose images are all here goes as an index, unless one platform is asked for.
    ///
    /// # Errors
    /// When there is none, a hook refuses, or the registry does not take it.
    pub fn push(
        &self,
        name: &str,
        platform: Option<&Platform>,
        show: &mut PushListener<'_>,
    ) -> Result<Pushed, PushImageError> {
        let reference: Reference = name.parse()?;
        if reference.digest().is_some() {
            return Err(PushImageError::Digest(name.to_owned()));
        }
        let image = self.store.resolve_for(name, platform).map_err(|error| match error {
            ResolveError::Unknown { .. } => PushImageError::Unknown(reference.familiar()),
            other => PushImageError::Resolve(other),
        })?;
        if !image.names.contains(&reference) {
            return Err(PushImageError::Unknown(reference.familiar()));
        }
        let mut asked = AskedTransfer::Push(transfer(&image, &reference));
        self.ask_aloud(&mut asked)?;
        let snapshots = self.default_snapshots()?;
        let mut home = Home::new(&snapshots);
        if platform.is_none()
            && let Some(pushed) = self.push_index(&reference, &mut home, show)?
        {
            self.note([Entry::transfer("push", &reference)]);
            self.tell_hooks(&asked);
            return Ok(pushed);
        }
        let predicate = self.kept_predicate(&image.id)?;
        let say = predicate.map(|predicate| {
            let (name, platform) = (reference.clone(), image.config.platform());
            move |manifest: &Digest| provenance::about(&name, &platform, manifest, &predicate)
        });
        let say = say.as_ref().map(|say| say as &Say<'_>);
        let pushed = registry::push(&self.store, &self.session(), &image, &reference, &mut home, say, show);
        let pushed = pushed.map_err(|source| PushImageError::Push { name: reference.clone(), source })?;
        self.note([Entry::transfer("push", &reference)]);
        self.tell_hooks(&asked);
        Ok(pushed)
    }

    fn push_index(
        &self,
        name: &Reference,
        home: &mut Home<'_>,
        show: &mut PushListener<'_>,
    ) -> Result<Option<Pushed>, PushImageError> {
        let record = |error| PushImageError::Resolve(ResolveError::Record(error));
        let Some(index) = self.store.index_of(name).map_err(record)? else { return Ok(None) };
        let images = self.store.variants(name).map_err(record)?;
        let pushed = registry::push_index(&self.store, &self.session(), (&index, &images), name, home, show);
        pushed.map_err(|source| PushImageError::Push { name: name.clone(), source })
    }
}

fn transfer(image: &Image, name: &Reference) -> ImageTransfer {
    let layers = image.layers.iter().map(|layer| layer.blob.unwrap_or(layer.diff_id)).collect();
    ImageTransfer { reference: name.to_string(), digest: None, layers }
}
