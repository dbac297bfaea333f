//! `pull`: an image from a registry; and the images that other verbs need and that are not here.

use std::cell::OnceCell;
use std::sync::Arc;

use wharf_model::hook::ImageTransfer;
use wharf_model::{Digest, Platform, Reference, ReferenceError};
use wharf_plugin::with_signatures;
use wharf_store::registry::{self, Beside, Found, PullError, Pulled, Session, Watch};
use wharf_store::{Image, RecordError, ResolveError};

use super::signature::Signatures;
use crate::Engine;
use crate::event::Entry;
use crate::home::LateHome;
use crate::hook::{AskedTransfer, HookError};

pub use wharf_store::registry::{LayerStage, PullEvent};

/// When a registry is asked for an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// When it is not here.
    #[default]
    Missing,
    /// Always, whether it is here or not.
    Always,
    /// Never.
    Never,
}

impl PullPolicy {
    /// Whether a registry is asked, when this is what looking for the image here gives.
    fn wants(self, look: impl FnOnce() -> Result<Image, ResolveError>) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Missing => {
                matches!(look(), Err(ResolveError::Unknown { .. } | ResolveError::Platform { .. }))
            }
        }
    }
}

/// Hears how far an image is.
pub type PullListener<'l> = dyn FnMut(PullEvent<'_>) + 'l;

/// What docker says of an image for another machine that nobody asked for by its platform.
pub fn foreign(own: &Platform) -> String {
    format!(
        "The requested image's platform ({own}) does not match the detected host platform ({}) and no specific platform was requested",
        Platform::host()
    )
}

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullImageError {
    /// The name is not one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// The registry, what it gave, or the disk.
    #[error("cannot pull {name}")]
    Pull {
        /// Host, path, and tag or digest.
        name: Reference,
        /// Why not.
        source: PullError,
    },
    /// A hook refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Several ids begin so.
    #[error(transparent)]
    Image(ResolveError),
}

impl PullImageError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Pull { source, .. } => source.next_step(),
            Self::Hook(error) => error.next_step(),
            _ => None,
        }
    }
}

impl Engine {
    /// Brings an image from its registry and gives it its name.
    ///
    /// # Errors
    /// When the registry does not give it, a hook refuses it, or it can not be kept.
    pub fn pull(
        &self,
        name: &str,
        platform: Option<&Platform>,
        show: &mut PullListener<'_>,
    ) -> Result<Pulled, PullImageError> {
        self.pull_named(&name.parse()?, platform, show)
    }

    /// For which platforms a registry has an image; none when there is one image only.
    ///
    /// # Errors
    /// When the registry does not tell.
    pub fn remote_platforms(&self, name: &str) -> Result<Vec<Platform>, PullImageError> {
        let name: Reference = name.parse()?;
        registry::platforms(&self.session(), &name).map_err(|source| PullImageError::Pull { name, source })
    }

    /// The names of all images of a repository that its registry has.
    ///
    /// # Errors
    /// When the registry does not tell.
    pub fn remote_tags(&self, repository: &str) -> Result<Vec<Reference>, PullImageError> {
        let name: Reference = repository.parse()?;
        registry::tags(&self.session(), &name).map_err(|source| PullImageError::Pull { name, source })
    }

    /// Brings an image that is wanted for something else, if that is what `policy` says. A name that is
    /// no name of an image, such as an id, is left to whoever looks it up.
    ///
    /// # Errors
    /// As [`Engine::pull`].
    pub fn pull_for(
        &self,
        name: &str,
        platform: Option<&Platform>,
        policy: PullPolicy,
        show: &mut PullListener<'_>,
    ) -> Result<Option<Pulled>, PullImageError> {
        let wanted = policy.wants(|| self.store.resolve_for(name, platform)) && !self.is_id(name);
        match name.parse::<Reference>() {
            Ok(name) if wanted => self.pull_named(&name, platform, show).map(Some),
            _ => Ok(None),
        }
    }

    /// As [`Engine::pull_for`] what is known by its name alone, as a build's images are.
    pub(crate) fn pull_by_name(
        &self,
        name: &Reference,
        platform: Option<&Platform>,
        policy: PullPolicy,
        show: &mut PullListener<'_>,
    ) -> Result<Option<Pulled>, PullImageError> {
        let wanted = policy.wants(|| self.store.resolve_named(name, platform));
        if wanted { self.pull_named(name, platform, show).map(Some) } else { Ok(None) }
    }

    /// Whether an image is here that is called so by its id alone.
    fn is_id(&self, name: &str) -> bool {
        let Ok(reference) = name.parse::<Reference>() else { return true };
        let found = self.store.resolve(name);
        found.is_ok_and(|image| !image.names.contains(&reference) && image.id.hex().starts_with(name))
    }

    pub(crate) fn pull_named(
        &self,
        name: &Reference,
        platform: Option<&Platform>,
        show: &mut PullListener<'_>,
    ) -> Result<Pulled, PullImageError> {
        self.pull_through(self.session(), name, platform, show)
    }

    pub(crate) fn pull_through(
        &self,
        session: Arc<Session>,
        name: &Reference,
        platform: Option<&Platform>,
        show: &mut PullListener<'_>,
    ) -> Result<Pulled, PullImageError> {
        self.sweep_unfinished();
        let loaded = OnceCell::new();
        let mut denied = None;
        let mut judge =
            |found: &Found, beside: &Beside<'_>| self.ask_about_pull(name, found, beside, &mut denied);
        let mut watch = Watch { judge: &mut judge, show };
        let mut home = LateHome::new(self, &loaded);
        let pulled = registry::pull(&self.store, &session, name, platform, &mut home, &mut watch);
        // Whoever is at the other end of a line learns that it is over.
        drop((home, session));
        if let Some(denied) = denied {
            return Err(denied.into());
        }
        if let Err(error) = &pulled {
            self.give_up_parts(error);
        }
        let pulled = pulled.map_err(|source| PullImageError::Pull { name: name.clone(), source })?;
        self.note([Entry::transfer("pull", name)]);
        self.tell_about_pull(name, &pulled.digest);
        Ok(pulled)
    }

    /// With the caller's own logins.
    pub(crate) fn session(&self) -> Arc<Session> {
        self.session_with(Box::new(self.logins()))
    }

    pub(crate) fn ask_about_pull(
        &self,
        name: &Reference,
        found: &Found,
        beside: &Beside<'_>,
        denied: &mut Option<HookError>,
    ) -> Result<(), wharf_store::HomeError> {
        let transfer = ImageTransfer {
            reference: name.to_string(),
            digest: Some(found.manifest),
            layers: found.layers.clone(),
        };
        let mut signatures = Signatures { beside, directory: self.config().signatures.as_deref() };
        let asking = || self.ask_aloud(&mut AskedTransfer::Pull(transfer));
        with_signatures(&mut signatures, asking).map_err(|error| {
            let said = error.to_string();
            *denied = Some(error);
            said.into()
        })
    }

    pub(crate) fn tell_about_pull(&self, name: &Reference, digest: &Digest) {
        let transfer =
            ImageTransfer { reference: name.to_string(), digest: Some(*digest), layers: Vec::new() };
        self.tell_hooks(&AskedTransfer::Pull(transfer));
    }
}
