//! Locks between processes: `flock(2)` on files in `locks/`.
//!
//! The kernel releases a lock when the last descriptor of its open file is closed, so one whose
//! owner was killed is free. Descriptors are close-on-exec: nothing that is started inherits
//! one. A sweep removes files whose lock nobody has; whoever got the lock on a removed file
//! notices that the name leads elsewhere, and takes the lock on the new file.

use std::fs::{File, Metadata};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{RecordError, Store};

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct LockGuard {
    file: File,
}

/// Whoever gets this descriptor holds the lock as well.
impl AsFd for LockGuard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Store {
    /// Waits for the lock called `name`.
    ///
    /// # Errors
    /// When its file can not be made.
    pub fn lock(&self, name: &str, shared: bool) -> Result<LockGuard, RecordError> {
        let operation = if shared { FlockOperation::LockShared } else { FlockOperation::LockExclusive };
        loop {
            let (path, file) = self.lock_file(name)?;
            match flock(&file, operation) {
                Ok(()) if is_same(&path, &file) => return Ok(LockGuard { file }),
                Ok(()) | Err(Errno::INTR) => {}
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
        loop {
            let (path, file) = self.lock_file(name)?;
            match flock(&file, operation) {
                Ok(()) if is_same(&path, &file) => return Ok(Some(LockGuard { file })),
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(RecordError::File { path, source: errno.into() }),
            }
        }
    }

    /// Removes the files of locks that nobody has.
    pub(crate) fn remove_free_locks(&self) -> Result<(), RecordError> {
        let dir = self.root().join("locks");
        let failed = |source| RecordError::File { path: dir.clone(), source };
        for entry in std::fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Ok(file) = File::open(&path) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && is_same(&path, &file) {
                std::fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
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

/// Whether the name still leads to the file that is locked.
pub(crate) fn is_same(path: &Path, file: &File) -> bool {
    let key = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let own = file.metadata().ok().map(key);
    own.is_some() && own == std::fs::metadata(path).ok().map(key)
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

    #[test]
    fn locks_that_nobody_has_go_away_while_others_wait_for_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let count = std::sync::atomic::AtomicU32::new(0);
        drop(store.lock("container-1", false).unwrap());
        let held = store.lock("held", false).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _guard = store.lock("busy", false).unwrap();
                        assert_eq!(count.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        count.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
            for _ in 0..200 {
                store.remove_free_locks().unwrap();
            }
        });
        store.remove_free_locks().unwrap();
        let names: Vec<_> = std::fs::read_dir(dir.path().join("locks")).unwrap().collect();
        assert_eq!(names.len(), 1);
        drop(held);
    }
}
