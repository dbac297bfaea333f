//! Things that are being made and that no record knows yet.
//!
//! ```text
//! claims/<name>    `flock`ed by its maker; says what is to be taken away when that one dies
//! ```
//!
//! The file is there before the thing is, and goes after it was recorded or removed. The kernel
//! releases the lock with the last process that holds it, however it ends: a claim that nobody
//! holds is about something that nobody is going to finish.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::lock::is_same;
use crate::{RecordError, Store};

/// The right to make something, or to take away what its maker left. Dropped without
/// [`Claim::settle`] it stays for [`Store::claims`].
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    file: File,
}

/// A claim somebody may hold.
#[derive(Debug)]
pub struct Claimed {
    path: PathBuf,
    file: File,
}

impl Store {
    /// Claims `name`, which nobody has used before.
    ///
    /// # Errors
    /// When its file can not be made.
    pub fn claim(&self, name: &str) -> Result<Claim, RecordError> {
        let path = self.claims_dir().join(name);
        let failed = |source| RecordError::File { path: path.clone(), source };
        loop {
            let file = create(&path).map_err(failed)?;
            flock(&file, FlockOperation::LockExclusive).map_err(|errno| failed(errno.into()))?;
            // Empty and not locked yet it looked abandoned: somebody may have removed it.
            if is_same(&path, &file) {
                return Ok(Claim { path, file });
            }
        }
    }

    /// All claims, held or not.
    ///
    /// # Errors
    /// When the directory can not be read.
    pub fn claims(&self) -> Result<Vec<Claimed>, RecordError> {
        let dir = self.claims_dir();
        let failed = |source| RecordError::File { path: dir.clone(), source };
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut claims = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if let Ok(file) = OpenOptions::new().read(true).append(true).open(&path) {
                claims.push(Claimed { path, file });
            }
        }
        Ok(claims)
    }

    fn claims_dir(&self) -> PathBuf {
        self.root().join("claims")
    }
}

/// The directory is made with the first one.
fn create(path: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path);
    match (create(), path.parent()) {
        (Err(error), Some(dir)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(dir)?;
            create()
        }
        (created, _) => created,
    }
}

impl Claim {
    /// Adds a line to what the claim says. A line is there whole or does not count.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(&mut self, line: &str) -> Result<(), RecordError> {
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.map_err(|source| RecordError::File { path: self.path.clone(), source })
    }

    /// Nothing is left to be taken away.
    ///
    /// # Errors
    /// When the file can not be removed.
    pub fn settle(self) -> Result<(), RecordError> {
        fs::remove_file(&self.path).map_err(|source| RecordError::File { path: self.path.clone(), source })
    }
}

/// Whoever else holds this descriptor open holds the claim.
impl AsFd for Claim {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Claimed {
    /// What it is about.
    pub fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The whole lines that it says.
    pub fn lines(&self) -> Vec<String> {
        let mut text = String::new();
        // What can not be read says nothing, as after a power cut.
        let _ = (&self.file).take(1 << 20).read_to_string(&mut text);
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// Takes it over unless somebody holds it or has settled it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn take(self) -> Result<Result<Claim, Self>, RecordError> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_same(&self.path, &self.file) => Ok(Ok(Claim { path: self.path, file: self.file })),
            Ok(()) | Err(Errno::WOULDBLOCK) => Ok(Err(self)),
            Err(errno) => Err(RecordError::File { path: self.path, source: errno.into() }),
        }
    }

    /// Whether its file is still there.
    pub fn is_open(&self) -> bool {
        is_same(&self.path, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_taken_over_when_nobody_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.claims().unwrap().is_empty());
        let mut claim = store.claim("tree-1").unwrap();
        claim.note("first").unwrap();
        claim.file.write_all(b"half a li").unwrap();
        let held = claim.file.try_clone().unwrap();

        let seen = store.claims().unwrap().remove(0);
        assert_eq!((seen.name(), seen.lines()), ("tree-1", vec!["first".to_owned()]));
        drop(claim);
        let seen = seen.take().unwrap().unwrap_err();
        drop(held);
        seen.take().unwrap().unwrap().settle().unwrap();
        assert!(store.claims().unwrap().is_empty());
    }

    #[test]
    fn what_was_settled_meanwhile_can_not_be_taken() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let claim = store.claim("x").unwrap();
        let seen = store.claims().unwrap().remove(0);
        claim.settle().unwrap();
        assert!(!seen.take().unwrap().unwrap_err().is_open());
        store.claim("x").unwrap().settle().unwrap();
    }
}
