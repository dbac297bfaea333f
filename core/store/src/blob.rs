//! Content-addressed files.
//!
//! ```text
//! blobs/sha256/<hex>       complete and verified; never changed afterwards
//! blobs/incoming/<random>  being written; removed when its writer is dropped
//! blobs/partial/<hex>      part of a blob from a registry, `flock`ed by whoever goes on with it
//! ```
//!
//! A blob appears under its digest by `rename(2)` after its bytes are on the disk, and the
//! directory is synced before the writer's `finish` returns. Only [`crate::Store::sweep`]
//! removes blobs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wharf_model::{Digest, Hasher};

use crate::layer::Limits;

/// Why a blob can not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is not here.
    #[error("blob {0} is not in the store")]
    Missing(Digest),
    /// The file can not be read.
    #[error("cannot read blob {digest}")]
    Read {
        /// Which.
        digest: Digest,
        /// Why not.
        source: io::Error,
    },
    /// It can not be written.
    #[error("cannot write a blob to {}", .path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is longer than what its reader can take.
    #[error("blob {digest} has {size} bytes, more than the {limit} that are allowed here")]
    TooLong {
        /// Which.
        digest: Digest,
        /// Its length.
        size: u64,
        /// The longest allowed.
        limit: u64,
    },
    /// The content is not what was promised.
    #[error("content has digest {found} ({found_size} bytes), expected {expected} ({expected_size} bytes)")]
    Mismatch {
        /// What it is.
        found: Digest,
        /// How long it is.
        found_size: u64,
        /// What it should be.
        expected: Digest,
        /// How long it should be.
        expected_size: u64,
    },
}

/// The directory of blobs.
#[derive(Debug, Clone)]
pub struct Blobs {
    dir: PathBuf,
}

impl Blobs {
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where a blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("sha256").join(digest.hex())
    }

    pub(crate) fn complete(&self) -> PathBuf {
        self.dir.join("sha256")
    }

    pub(crate) fn incoming(&self) -> PathBuf {
        self.dir.join("incoming")
    }

    pub(crate) fn partial(&self) -> PathBuf {
        self.dir.join("partial")
    }

    /// Makes a file that was verified visible under its digest, on the disk.
    pub(crate) fn adopt(&self, path: &Path, digest: &Digest) -> Result<(), BlobError> {
        publish(path, &self.complete(), digest)
            .map_err(|source| BlobError::Write { path: path.to_owned(), source })
    }

    /// What may be written before the disk is full.
    pub(crate) fn room(&self) -> Result<Limits, BlobError> {
        let path = self.incoming();
        let room = File::open(&path).and_then(|dir| Limits::with_room(dir.as_fd()));
        room.map_err(|source| BlobError::Write { path, source })
    }

    /// Whether the blob is here.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// When it is not here or can not be opened.
    pub fn open(&self, digest: &Digest) -> Result<File, BlobError> {
        File::open(self.path(digest)).map_err(|source| read_error(digest, source))
    }

    /// The length of a blob.
    ///
    /// # Errors
    /// When it is not here.
    pub fn size(&self, digest: &Digest) -> Result<u64, BlobError> {
        let metadata = fs::metadata(self.path(digest));
        metadata.map(|metadata| metadata.len()).map_err(|source| read_error(digest, source))
    }

    /// The content of a small blob, verified.
    ///
    /// # Errors
    /// When it is not here, longer than `limit`, or damaged.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, BlobError> {
        let file = self.open(digest)?;
        let size = self.size(digest)?;
        if size > limit {
            return Err(BlobError::TooLong { digest: *digest, size, limit });
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(|source| read_error(digest, source))?;
        verified(Digest::of(&bytes), bytes.len() as u64, Some((*digest, size)))?;
        Ok(bytes)
    }

    /// Reads a blob whole to see whether it still is what its name says.
    ///
    /// # Errors
    /// When it is not here or damaged.
    pub fn verify(&self, digest: &Digest) -> Result<u64, BlobError> {
        let mut hasher = Hasher::new();
        let size = io::copy(&mut self.open(digest)?, &mut hasher);
        let size = size.map_err(|source| read_error(digest, source))?;
        verified(hasher.finish(), size, Some((*digest, size)))?;
        Ok(size)
    }

    /// Begins a new blob.
    ///
    /// # Errors
    /// When its file can not be made.
    pub fn writer(&self) -> Result<BlobWriter, BlobError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = self.incoming().join(name);
        // A file of that name can only be left over from a process that is gone.
        let _ = fs::remove_file(&path);
        let made = File::options().create_new(true).read(true).write(true).mode(0o600).open(&path);
        match made {
            Ok(file) => {
                let parked = Parked { path, dir: self.complete(), digest: Digest::of(b""), size: 0 };
                Ok(BlobWriter { file, hasher: Hasher::new(), parked })
            }
            Err(source) => Err(BlobError::Write { path, source }),
        }
    }

    /// Keeps a few bytes as a blob.
    ///
    /// # Errors
    /// When they can not be written.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, BlobError> {
        let digest = Digest::of(bytes);
        if self.size(&digest).is_ok_and(|size| size == bytes.len() as u64) {
            return Ok(digest);
        }
        let mut writer = self.writer()?;
        let path = writer.parked.path.clone();
        writer.write_all(bytes).map_err(|source| BlobError::Write { path, source })?;
        writer.finish(None).map(|(digest, _)| digest)
    }
}

fn read_error(digest: &Digest, source: io::Error) -> BlobError {
    match source.kind() {
        io::ErrorKind::NotFound => BlobError::Missing(*digest),
        _ => BlobError::Read { digest: *digest, source },
    }
}

fn verified(found: Digest, found_size: u64, expected: Option<(Digest, u64)>) -> Result<(), BlobError> {
    match expected {
        Some((expected, expected_size)) if (found, found_size) != (expected, expected_size) => {
            Err(BlobError::Mismatch { found, found_size, expected, expected_size })
        }
        _ => Ok(()),
    }
}

/// A blob that is being written. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    file: File,
    hasher: Hasher,
    parked: Parked,
}

/// A blob that is written but not visible yet. Dropped, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Parked {
    path: PathBuf,
    dir: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl BlobWriter {
    /// Closes the file and keeps it aside.
    pub(crate) fn park(self) -> Parked {
        let Self { hasher, mut parked, .. } = self;
        parked.digest = hasher.finish();
        parked
    }

    /// Verifies what was written and makes it visible under its digest, on the disk.
    ///
    /// # Errors
    /// When it is not what was expected, or the disk refuses; then nothing is left.
    pub fn finish(self, expected: Option<(Digest, u64)>) -> Result<(Digest, u64), BlobError> {
        let parked = self.park();
        verified(parked.digest, parked.size, expected)?;
        parked.finish()?;
        Ok((parked.digest, parked.size))
    }
}

impl Parked {
    /// Where it is as long as it is not visible.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it to read what was written.
    pub(crate) fn open(&self) -> Result<File, BlobError> {
        File::open(&self.path).map_err(|source| self.failed(source))
    }

    /// Makes it visible under its digest, on the disk.
    pub(crate) fn finish(&self) -> Result<(), BlobError> {
        publish(&self.path, &self.dir, &self.digest).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> BlobError {
        BlobError::Write { path: self.path.clone(), source }
    }
}

fn publish(path: &Path, dir: &Path, digest: &Digest) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    fs::rename(path, dir.join(digest.hex()))?;
    File::open(dir)?.sync_all()
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.parked.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        // After `finish` the name is gone already.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs(dir: &tempfile::TempDir) -> Blobs {
        fs::create_dir_all(dir.path().join("sha256")).unwrap();
        fs::create_dir_all(dir.path().join("incoming")).unwrap();
        Blobs::at(dir.path().to_owned())
    }

    fn files(path: PathBuf) -> usize {
        fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn what_is_not_as_expected_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = blobs(&dir);
        for expected in [(Digest::of("other"), 5), (Digest::of("hello"), 4)] {
            let mut writer = blobs.writer().unwrap();
            writer.write_all(b"hello").unwrap();
            assert!(matches!(writer.finish(Some(expected)), Err(BlobError::Mismatch { .. })));
        }
        assert_eq!((files(blobs.complete()), files(blobs.incoming())), (0, 0));
    }

    #[test]
    fn an_unfinished_blob_is_invisible_and_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = blobs(&dir);
        let mut writer = blobs.writer().unwrap();
        writer.write_all(b"hello").unwrap();
        assert!(!blobs.contains(&Digest::of("hello")));
        drop(writer);
        assert_eq!(files(blobs.incoming()), 0);
    }

    #[test]
    fn damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = blobs(&dir);
        let digest = blobs.put(b"hello").unwrap();
        assert_eq!(blobs.read(&digest, 5).unwrap(), b"hello");
        assert!(matches!(blobs.read(&digest, 4), Err(BlobError::TooLong { .. })));
        fs::write(blobs.path(&digest), b"hallo").unwrap();
        assert!(matches!(blobs.read(&digest, 5), Err(BlobError::Mismatch { .. })));
        assert!(blobs.verify(&digest).is_err());
        assert!(matches!(blobs.open(&Digest::of("x")), Err(BlobError::Missing(_))));
    }
}
