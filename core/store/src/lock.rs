//! Locks between processes: `flock(2)` on files in `locks/`.
//!
//! The kernel releases a lock when the last descriptor of its open file is closed, so one whose
//! owner was killed is free. Descriptors are close-on-exec: nothing that is started inherits
//! one. The files stay, because a lock on a removed file would lock nothing.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{RecordError, Store};

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct LockGuard {
    _file: File,
}

impl Store {
    /// Waits for the lock called `name`.
    ///
    /// # Errors
    /// When its file can not be made.
    pub fn lock(&self, name: &str, shared: bool) -> Result<LockGuard, RecordError> {
        let operation = if shared { FlockOperation::LockShared } else { FlockOperation::LockExclusive };
        let (path, file) = self.lock_file(name)?;
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(LockGuard { _file: file }),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(RecordError::File { path, source: errno.into() }),
            }
        }
    }

    /// Takes the lock called `name` unless somebody else has it.
    ///
    /// # Errors
    /// When its file can not be made.
    pub fn try_lock(&self, name: &str, shared: bool) -> Result<Option<LockGuard>, RecordError> {
        let operation = if shared {
            FlockOperation::NonBlockingLockShared
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        let (path, file) = self.lock_file(name)?;
        match flock(&file, operation) {
            Ok(()) => Ok(Some(LockGuard { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(RecordError::File { path, source: errno.into() }),
        }
    }

    /// Keeps [`Store::sweep`] away while blobs and layers are made that no record knows yet.
    ///
    /// # Errors
    /// When the lock's file can not be made.
    pub fn guard(&self) -> Result<LockGuard, RecordError> {
        self.lock("gc", true)
    }

    /// Names come from ids and from what people typed: a `/` must not leave the directory.
    fn lock_file(&self, name: &str) -> Result<(PathBuf, File), RecordError> {
        let path = self.root().join("locks").join(name.replace('/', "%"));
        let opened = File::options().create(true).append(true).mode(0o600).open(&path);
        match opened {
            Ok(file) => Ok((path, file)),
            Err(source) => Err(RecordError::File { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_when_its_guard_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = store.lock("a/../b", true).unwrap();
        assert!(store.try_lock("a/../b", false).unwrap().is_none());
        assert!(store.try_lock("a/../b", true).unwrap().is_some());
        drop(first);
        assert!(store.try_lock("a/../b", false).unwrap().is_some());
    }
}
