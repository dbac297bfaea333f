//! Making directories with their missing parents.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Mode, Uid, chownat, fchmod, mkdirat};
use rustix::io::Errno;

use crate::build::owner::Ids;
use crate::build::resolve::open_dir;

use super::metadata::set_times;
use super::{CopyError, Target, split};

/// Makes directories and remembers which, to date them once their content is there.
#[derive(Debug)]
pub(super) struct Directories<'a> {
    target: &'a Target<'a>,
    owner: Option<Ids>,
    mode: u32,
    made: Vec<PathBuf>,
}

impl<'a> Directories<'a> {
    pub(super) fn new(target: &'a Target<'a>, owner: Option<Ids>) -> Self {
        Self { target, owner, mode: 0o755, made: Vec::new() }
    }

    pub(super) fn with_mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Opens the directory at a path without links, made with its parents if it is missing.
    pub(super) fn make(&mut self, path: &Path) -> Result<OwnedFd, CopyError> {
        match open_dir(self.target.root, path) {
            Ok(dir) => Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.make_new(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                Err(CopyError::NotADirectory(path.display().to_string()))
            }
            Err(error) => Err(CopyError::write(path, error)),
        }
    }

    fn make_new(&mut self, path: &Path) -> Result<OwnedFd, CopyError> {
        let (parent, name) = split(path);
        let parent = self.make(parent)?;
        let failed = |error: Errno| CopyError::write(path, error);
        match mkdirat(&parent, name, Mode::from(0o700)) {
            Err(Errno::EXIST) => return self.make(path),
            made => made.map_err(failed)?,
        }
        let owner = self.owner.unwrap_or_default();
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let dir = open_dir(parent.as_fd(), Path::new(name)).map_err(|error| CopyError::write(path, error))?;
        fchmod(&dir, Mode::from(self.mode)).map_err(failed)?;
        self.made.push(path.to_owned());
        Ok(dir)
    }

    /// Gives what was made its time.
    pub(super) fn finish(&self) -> Result<(), CopyError> {
        for path in self.made.iter().rev() {
            let failed = |error| CopyError::write(path, error);
            let dir = open_dir(self.target.root, path).map_err(failed)?;
            set_times(dir.as_fd(), self.target.epoch, 0).map_err(failed)?;
        }
        Ok(())
    }
}
