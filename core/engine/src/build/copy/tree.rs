//! Copying the content of a directory.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, Stat, linkat, mkdirat, statat};
use rustix::io::Errno;

use crate::build::resolve::{Last, file_type, open_dir, resolve};
use crate::build::source::{Attributes, Entry, Kind, Origin, SourceError, Visitor};

use super::file;
use super::metadata::Metadata;
use super::single::remove_any;
use super::{CopyError, split};

/// Puts what a walk shows into a directory.
pub(super) struct Tree<'a> {
    root: BorrowedFd<'a>,
    metadata: &'a Metadata<'a>,
    /// What is walked, for messages.
    top: &'a Path,
    /// From the destination to the directory being filled; never empty.
    levels: Vec<Level>,
    /// Where the first name of a file with several went.
    links: HashMap<(u64, u64), PathBuf>,
    /// What is there gives way where it is something else.
    replaces: bool,
}

struct Level {
    dir: OwnedFd,
    /// Below the root, without links.
    path: PathBuf,
    /// What it gets when it is complete; nothing for a directory behind a link.
    pending: Option<(Stat, Attributes)>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        root: BorrowedFd<'a>,
        metadata: &'a Metadata<'a>,
        top: &'a Path,
        path: PathBuf,
        dir: OwnedFd,
    ) -> Self {
        let levels = vec![Level { dir, path, pending: None }];
        Self { root, metadata, top, levels, links: HashMap::new(), replaces: false }
    }

    /// For `--link`.
    pub(super) fn replacing(self) -> Self {
        Self { replaces: true, ..self }
    }

    /// Makes way for a directory (or for anything else), if that is how it is meant.
    fn make_way(&self, path: &Path, for_directory: bool) -> Result<(), CopyError> {
        let (dir, (_, name)) = (self.level().dir.as_fd(), split(path));
        let there = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let is_directory = there.map(|stat| file_type(&stat) == FileType::Directory);
        match is_directory {
            Some(is_directory) if self.replaces && is_directory != for_directory => {
                remove_any(dir, name).map_err(|error| CopyError::write(path, error))
            }
            _ => Ok(()),
        }
    }

    fn level(&self) -> &Level {
        &self.levels[self.levels.len() - 1]
    }

    /// Opens the directory that stands for `entry`: a new one, the one that is there, or the one
    /// that a link there leads to. Only the last does not get the source's metadata.
    fn directory(&self, path: &Path) -> Result<(OwnedFd, PathBuf, bool), CopyError> {
        let failed = |error: std::io::Error| CopyError::write(path, error);
        let (_, name) = split(path);
        self.make_way(path, true)?;
        let made = match mkdirat(&self.level().dir, name, Mode::from(0o700)) {
            Err(Errno::EXIST) => false,
            made => made.map(|()| true).map_err(|error| failed(error.into()))?,
        };
        if made {
            let dir = open_dir(self.level().dir.as_fd(), Path::new(name)).map_err(failed)?;
            return Ok((dir, path.to_owned(), true));
        }
        let resolved = resolve(self.root, path, Last::Follow).map_err(failed)?;
        if !resolved.is_dir() {
            return Err(CopyError::NotADirectory(path.display().to_string()));
        }
        let dir = open_dir(self.root, &resolved.path).map_err(failed)?;
        let is_itself = resolved.path == path;
        Ok((dir, resolved.path, is_itself))
    }

    /// Whether `entry` became one more name of a file copied before.
    fn linked(&mut self, entry: &Entry<'_>, path: &Path) -> Result<bool, CopyError> {
        if self.metadata.source.origin == Origin::Context || !file::has_links(entry) {
            return Ok(false);
        }
        let inode = (entry.stat.st_dev, entry.stat.st_ino);
        let Some(first) = self.links.get(&inode) else {
            self.links.insert(inode, path.to_owned());
            return Ok(false);
        };
        let from = open_dir(self.root, split(first).0).map_err(|error| CopyError::write(first, error))?;
        let dir = self.level().dir.as_fd();
        file::clear(dir, entry.name).map_err(|failure| failure.at(entry.path, path))?;
        linkat(&from, split(first).1, dir, entry.name, AtFlags::empty())
            .map_err(|error| CopyError::write(path, error))?;
        Ok(true)
    }
}

impl Visitor for Tree<'_> {
    type Failure = CopyError;

    fn enter(&mut self, entry: &Entry<'_>) -> Result<(), CopyError> {
        self.metadata.source.copied(entry.stat);
        let path = self.level().path.join(entry.name);
        let (dir, path, is_itself) = self.directory(&path)?;
        let attributes = match entry.own {
            Some(own) if is_itself => self
                .metadata
                .source
                .attributes(own)
                .map_err(|error| SourceError::read(&self.top.join(entry.path), error))?,
            _ => Attributes::new(),
        };
        let pending = is_itself.then_some((*entry.stat, attributes));
        self.levels.push(Level { dir, path, pending });
        Ok(())
    }

    fn leave(&mut self) -> Result<(), CopyError> {
        let Some(Level { dir, path, pending: Some((stat, attributes)) }) = self.levels.pop() else {
            return Ok(());
        };
        self.metadata
            .apply(dir.as_fd(), &stat, Kind::Directory, &attributes)
            .map_err(|error| CopyError::write(&path, error))
    }

    fn leaf(&mut self, entry: &Entry<'_>) -> Result<(), CopyError> {
        let path = self.level().path.join(entry.name);
        self.make_way(&path, false)?;
        if self.linked(entry, &path)? {
            return Ok(());
        }
        file::copy(entry, self.level().dir.as_fd(), entry.name, self.metadata)
            .map_err(|failure| failure.at(&self.top.join(entry.path), &path))
    }
}
