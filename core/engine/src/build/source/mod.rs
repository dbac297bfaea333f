//! Where COPY takes files from: a root, seen through an ignore file.
//!
//! What is ignored does not exist here, with one exception: an ignored directory exists when
//! something below it was taken in again. Paths are text from a Dockerfile; they are cleaned and
//! kept below the root, and links in them are followed inside it. Links found while walking a
//! directory are entries of their own.

mod ahead;
mod attribute;
mod digest;
mod find;
mod kept;
mod known;
mod select;
mod walk;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{FileType, Stat};

use super::ignore::Ignore;
use super::pattern::PatternError;
use super::resolve::file_type;

pub(in crate::build) use attribute::{Attributes, set as set_attributes};
pub(crate) use find::find_below;
pub use known::Digests;
pub(in crate::build) use select::{Selected, Selection};
pub(in crate::build) use walk::{Entry, Visitor, Walk};

/// What kind of tree a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A directory of the user's: owners, times and extended attributes mean nothing, and hard links are
    /// parted.
    Context,
    /// The root file system of a stage or an image: owners, times and hard links are kept.
    Rootfs,
}

/// A tree to copy from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its top.
    pub root: BorrowedFd<'a>,
    /// What is left out.
    pub ignore: Option<&'a Ignore>,
    /// What kind of tree it is.
    pub origin: Origin,
    /// What is known about the contents of its files.
    pub digests: Option<&'a Digests>,
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing is there, or it is ignored.
    #[error("\"/{path}\": not found{}", ignored_note(*.ignored))]
    NotFound {
        /// Below the root.
        path: String,
        /// It is there, but ignored.
        ignored: bool,
        /// What is there and is called nearly that.
        meant: Option<String>,
    },
    /// A wildcard or an exclude.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The kernel refused.
    #[error("cannot read `/{path}`")]
    Read {
        /// Below the root.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// More than was asked for.
    #[error("`/{path}` is longer than {limit} bytes")]
    TooLong {
        /// Below the root.
        path: String,
        /// The bound.
        limit: u64,
    },
    /// More entries than were asked for.
    #[error("more than {0} entries match")]
    TooMany(u32),
}

fn ignored_note(ignored: bool) -> &'static str {
    if ignored { " (an ignore file leaves it out)" } else { "" }
}

impl SourceError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { meant: Some(meant), .. } => Some(format!("did you mean /{meant}?")),
            Self::NotFound { ignored: true, .. } => {
                let help = "look for the pattern in .dockerignore (or .containerignore), or add a `!` line for the file";
                Some(help.to_owned())
            }
            Self::NotFound { .. } => {
                Some("sources are looked up below the build context or the root of the stage".to_owned())
            }
            _ => None,
        }
    }

    pub(in crate::build) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.display().to_string(), source }
    }
}

/// What an entry is, as far as copying goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::build) enum Kind {
    File,
    Directory,
    Symlink,
    /// A pipe or a device.
    Special,
}

/// What an entry is; `None` for a socket, which nobody copies.
pub(in crate::build) fn kind_of(stat: &Stat) -> Option<Kind> {
    match file_type(stat) {
        FileType::RegularFile => Some(Kind::File),
        FileType::Directory => Some(Kind::Directory),
        FileType::Symlink => Some(Kind::Symlink),
        FileType::Socket => None,
        _ => Some(Kind::Special),
    }
}

impl Source<'_> {
    /// The attributes that a copy of an open file or directory has. As in BuildKit those of a context, which
    /// no repository keeps, are none of them.
    pub(in crate::build) fn attributes(&self, file: BorrowedFd<'_>) -> io::Result<Attributes> {
        match self.origin {
            Origin::Context => Ok(Attributes::new()),
            Origin::Rootfs => attribute::copyable(file),
        }
    }

    /// Tells whoever keeps the result of a copy when it took something else than its cache key was
    /// made of. `stat` is of after the reading.
    pub(in crate::build) fn copied(&self, stat: &Stat) {
        if let Some(digests) = self.digests {
            digests.check(self.root, stat);
        }
    }
}

#[cfg(test)]
mod tests;
