//! Carrying out what changes files: COPY and ADD, and writing, making and removing single files.
//!
//! Everything happens below two descriptors: a [`Source`] and a [`Target`]. No path is ever given
//! to the kernel that could lead outside, whatever links an image holds. As in BuildKit:
//!
//! * A directory's content is copied, not the directory. A destination that does not exist is made
//!   for it; existing directories below get the source's mode and owner.
//! * A file goes into a destination that is a directory or ends in `/`, and else becomes it.
//! * Links in the destination are followed; a link in the place of a file is replaced. With `--link`
//!   nothing of the destination counts: links, and whatever else is no directory, give way.
//! * Missing parents and a missing destination are made 0755 or with an octal `--chmod`, with the owner
//!   of `--chown`.
//! * From a context, files belong to 0:0 and have the build's epoch as their time. From a root
//!   file system they keep both, and their hard links.
//! * A wildcard that matches nothing copies nothing. Several files need a directory to go to.

mod directory;
mod file;
mod metadata;
mod mode;
mod single;
mod tree;

use std::error::Error;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, statat};
use wharf_model::build::Copy;

use super::owner::{Ids, OwnerError, resolve_owner};
use super::pattern::below_root;
use super::resolve::{Last, Resolved, file_type, open_dir, open_file, resolve};
use super::source::{Entry, Kind, Selected, Selection, Source, SourceError};

pub use mode::ModeError;
pub use single::{mkdir, remove, symlink, write};

use directory::Directories;
use metadata::Metadata;
use mode::Change;
use tree::Tree;

/// Where files go.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The root that is changed.
    pub root: BorrowedFd<'a>,
    /// The root whose `/etc/passwd` and `/etc/group` count.
    pub accounts: BorrowedFd<'a>,
    /// The stage's WORKDIR.
    pub working_dir: &'a str,
    /// The time of what has no time of its own, in seconds.
    pub epoch: i64,
}

/// Extracts an archive below a root, when ADD meets one.
pub trait Unpack {
    /// Extracts `archive` into the directory `dest` of `root`, or answers false when it is not an
    /// archive. `dest` may be missing; it has no links. All entries belong to `owner`, if given.
    ///
    /// # Errors
    /// When extracting fails.
    fn unpack(
        &mut self,
        archive: &mut File,
        root: BorrowedFd<'_>,
        dest: &Path,
        owner: Option<Ids>,
    ) -> Result<bool, Box<dyn Error + Send + Sync>>;
}

/// Takes nothing for an archive.
#[derive(Debug, Clone, Copy)]
pub struct NoUnpack;

impl Unpack for NoUnpack {
    fn unpack(
        &mut self,
        _: &mut File,
        _: BorrowedFd<'_>,
        _: &Path,
        _: Option<Ids>,
    ) -> Result<bool, Box<dyn Error + Send + Sync>> {
        Ok(false)
    }
}

/// Why files were not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// `--chown`.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// `--chmod`.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// Several files and one name for them.
    #[error("more than one file is copied to `{0}`, which is not a directory")]
    SeveralFiles(String),
    /// A directory is copied onto a file.
    #[error("cannot copy a directory onto `/{0}`, which is not a directory")]
    NotADirectory(String),
    /// A file is copied onto a directory.
    #[error("cannot replace the directory `/{0}` by a file")]
    IsDirectory(String),
    /// The kernel refused.
    #[error("cannot write `/{path}`")]
    Write {
        /// Below the root.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// An archive.
    #[error("cannot extract `/{path}`")]
    Unpack {
        /// Below the source's root.
        path: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl CopyError {
    fn write(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Write { path: path.display().to_string(), source: source.into() }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::SeveralFiles(_) => Some("end the destination with `/` to copy into a directory".to_owned()),
            Self::Source(error) => error.hint(),
            _ => None,
        }
    }
}

/// Carries out a COPY or ADD. The caller has resolved `copy.base` and `copy.source`. With `copy.link`
/// the result is as if the files had been copied onto nothing, and that laid over the target.
///
/// # Errors
/// When a source is missing, a destination cannot be what it must be, or the kernel refuses.
pub fn copy(
    copy: &Copy,
    source: &Source<'_>,
    target: &Target<'_>,
    unpack: &mut dyn Unpack,
) -> Result<(), CopyError> {
    let owner = copy.owner.as_ref().map(|owner| resolve_owner(target.accounts, owner)).transpose()?;
    let change = copy.mode.as_ref().map(Change::parse).transpose()?;
    let selection = Selection::of(source, &copy.paths, &copy.excludes, copy.parents)?;
    let mut copier = Copier {
        source,
        target,
        dest: Destination::of(&copy.dest, target.working_dir),
        metadata: Metadata { owner, change: change.as_ref(), source, epoch: target.epoch },
        directories: Directories::new(target, owner).with_mode(directory_mode(change.as_ref())),
        link: copy.link,
        unpack: copy.unpack.then_some(unpack),
    };
    copier.check_room(&selection)?;
    for selected in &selection.entries {
        copier.place(&selection, selected)?;
    }
    copier.directories.finish()
}

/// What directories that are missing above the copies get: as in BuildKit an octal `--chmod` counts for
/// them, too.
fn directory_mode(change: Option<&Change>) -> u32 {
    match change {
        Some(Change::Bits(bits)) => bits & 0o777,
        Some(Change::Steps(_)) | None => 0o755,
    }
}

/// Where a COPY goes to, by its text.
struct Destination {
    /// Below the root.
    path: PathBuf,
    /// As it was written.
    written: String,
    /// It ends in `/` or `/.`.
    says_directory: bool,
}

impl Destination {
    fn of(written: &str, working_dir: &str) -> Self {
        let says_directory = written.ends_with('/') || written.ends_with("/.") || written == ".";
        Self { path: absolute(written, working_dir), written: written.to_owned(), says_directory }
    }
}

/// `path` below the root, seen from the working directory. As everywhere in a Dockerfile, `..` is
/// taken by its text, before any link is looked at.
fn absolute(path: &str, working_dir: &str) -> PathBuf {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{working_dir}/{path}") };
    below_root(&whole).into()
}

struct Copier<'a> {
    source: &'a Source<'a>,
    target: &'a Target<'a>,
    dest: Destination,
    metadata: Metadata<'a>,
    directories: Directories<'a>,
    /// What is there is not looked at, and gives way where it is something else.
    link: bool,
    unpack: Option<&'a mut dyn Unpack>,
}

impl Copier<'_> {
    /// Several sources, a file among them, cannot all become one destination.
    fn check_room(&self, selection: &Selection) -> Result<(), CopyError> {
        let holds_file = selection.entries.iter().any(|selected| selected.kind != Kind::Directory);
        if selection.entries.len() < 2 || !holds_file || self.dest.says_directory || self.dest_is_dir()? {
            return Ok(());
        }
        Err(CopyError::SeveralFiles(self.dest.written.clone()))
    }

    fn dest_is_dir(&self) -> Result<bool, CopyError> {
        self.resolved_dest().map(|resolved| resolved.is_dir())
    }

    fn resolved_dest(&self) -> Result<Resolved, CopyError> {
        if self.link {
            return Ok(Resolved { path: self.dest.path.clone(), stat: None });
        }
        self.followed_dest()
    }

    fn followed_dest(&self) -> Result<Resolved, CopyError> {
        resolve(self.target.root, &self.dest.path, Last::Follow)
            .map_err(|error| CopyError::write(&self.dest.path, error))
    }

    fn place(&mut self, selection: &Selection, selected: &Selected) -> Result<(), CopyError> {
        match selected.kind {
            Kind::Directory => self.place_directory(selection, selected),
            _ if self.unpacked(selected)? => Ok(()),
            _ => self.place_file(selected),
        }
    }

    fn place_directory(&mut self, selection: &Selection, selected: &Selected) -> Result<(), CopyError> {
        let dest = self.resolved_dest()?;
        if dest.stat.is_some() && !dest.is_dir() {
            return Err(CopyError::NotADirectory(dest.path.display().to_string()));
        }
        if self.link {
            give_way(self.target.root, &dest.path)?;
        }
        let dir = self.directories.make(&dest.path)?;
        self.source.copied(&selected.stat);
        let mut tree = Tree::new(self.target.root, &self.metadata, &selected.path, dest.path, dir);
        if self.link {
            tree = tree.replacing();
        }
        selection.walk(self.source, selected).run(&mut tree)
    }

    fn place_file(&mut self, selected: &Selected) -> Result<(), CopyError> {
        let dest = self.resolved_dest()?;
        let path = if dest.is_dir() || self.dest.says_directory {
            dest.path.join(&selected.name)
        } else {
            dest.path
        };
        let (dir_path, name) = split(&path);
        if self.link {
            give_way(self.target.root, dir_path)?;
        }
        let dir = self.directories.make(dir_path)?;
        if self.link {
            single::remove_any(dir.as_fd(), name).map_err(|error| CopyError::write(&path, error))?;
        }
        let from = selected.path.parent().unwrap_or(Path::new(""));
        let from =
            open_dir(self.source.root, from).map_err(|error| SourceError::read(&selected.path, error))?;
        let entry = Entry {
            dir: from.as_fd(),
            own: None,
            name: selected.path.file_name().unwrap_or_default(),
            path: &selected.path,
            stat: &selected.stat,
            kind: selected.kind,
        };
        file::copy(&entry, dir.as_fd(), name, &self.metadata)
            .map_err(|failure| failure.at(&selected.path, &path))
    }

    /// Whether the file was an archive, whose content is there now.
    fn unpacked(&mut self, selected: &Selected) -> Result<bool, CopyError> {
        if selected.kind != Kind::File {
            return Ok(false);
        }
        let dest = self.followed_dest()?;
        let Some(unpack) = self.unpack.as_deref_mut() else { return Ok(false) };
        let archive = open_file(self.source.root, &selected.path)
            .map_err(|error| SourceError::read(&selected.path, error))?;
        let mut archive = File::from(archive);
        let unpacked = unpack
            .unpack(&mut archive, self.target.root, &dest.path, self.metadata.owner)
            .map_err(|source| CopyError::Unpack { path: selected.path.display().to_string(), source })?;
        let stat = rustix::fs::fstat(&archive);
        self.source.copied(&stat.map_err(|error| SourceError::read(&selected.path, error.into()))?);
        Ok(unpacked)
    }
}

/// Removes what is no directory from the way to `path`, links included.
fn give_way(root: BorrowedFd<'_>, path: &Path) -> Result<(), CopyError> {
    let failed = |error| CopyError::write(path, error);
    let mut dir = open_dir(root, Path::new("")).map_err(failed)?;
    for name in path {
        let Ok(stat) = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(()) };
        if file_type(&stat) != FileType::Directory {
            return single::remove_any(dir.as_fd(), name).map_err(failed);
        }
        dir = open_dir(dir.as_fd(), Path::new(name)).map_err(failed)?;
    }
    Ok(())
}

/// Directory and name of a path that is not the root.
fn split(path: &Path) -> (&Path, &OsStr) {
    (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default())
}

#[cfg(test)]
mod tests;
