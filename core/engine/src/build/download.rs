//! What the ops of a step fetch: files from the web, and git repositories.
//!
//! What an address stands for is asked before the step's key is known, because it is part of the
//! key. A file's content is here by then; a repository is fetched only when the step is carried out.

use std::os::fd::OwnedFd;

use wharf_model::build::Action;

use super::fetch::Fetched;
use super::git::{Checkout, Pinned, Source};
use super::provenance::Material;
use super::request::BuildError;
use crate::Engine;

/// Something that is known well enough for a key.
pub(super) enum Download {
    File(Fetched),
    Repository(Box<Pinned>),
}

/// Something that is here.
pub(super) enum Downloaded {
    File(Fetched),
    Repository(Checkout),
}

impl Download {
    pub(super) fn key(&self) -> String {
        match self {
            Self::File(file) => file.key(),
            Self::Repository(pinned) => pinned.key().to_owned(),
        }
    }

    /// What came of the address that an op names.
    pub(super) fn material(&self, action: &Action) -> Option<Material> {
        match (self, action) {
            (Self::File(file), Action::Http { url, .. }) => Some(file.material(url)),
            (Self::Repository(pinned), _) => Some(pinned.material()),
            (Self::File(_), _) => None,
        }
    }

    pub(super) fn finish(self, engine: &Engine) -> Result<Downloaded, BuildError> {
        match self {
            Self::File(file) => Ok(Downloaded::File(file)),
            Self::Repository(pinned) => Ok(Downloaded::Repository(pinned.check_out(engine)?)),
        }
    }
}

impl Downloaded {
    /// The directory that it is in.
    pub(super) fn open(&self) -> Result<OwnedFd, BuildError> {
        match self {
            Self::File(file) => file.open(),
            Self::Repository(checkout) => checkout.open(),
        }
    }
}

impl Engine {
    /// `None` for an op that fetches nothing.
    pub(super) fn begin_download(&self, action: &Action) -> Result<Option<Download>, BuildError> {
        match action {
            Action::Http { url, checksum, filename } => {
                Ok(Some(Download::File(self.fetch(url, checksum.as_ref(), filename)?)))
            }
            Action::Git { url, reference, checksum, keep_git_dir } => {
                let source = Source {
                    url: url.clone(),
                    reference: reference.clone(),
                    checksum: checksum.clone(),
                    keep_git_dir: *keep_git_dir,
                };
                Ok(Some(Download::Repository(Box::new(source.pin()?))))
            }
            _ => Ok(None),
        }
    }
}
