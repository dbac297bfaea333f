//! Layers: tar <-> directory, and the record that says a directory is complete.
//!
//! A layer is known by its chain id (OCI image spec, "Layer ChainID"), which names it together
//! with everything below it. A layer that came from outside keeps the blob it came in. One that
//! was built here keeps no tar: [`diff`] is deterministic, so the tar is made again from the
//! directory whenever somebody asks for it, and checked against the diff id.
//!
//! | | reads | writes |
//! |---|---|---|
//! | [`apply`] | a layer's tar, with whiteouts | a layer's directory, in the driver's format |
//! | [`diff`] | a layer's directory | a layer's tar |
//! | [`compare`] | two layers' tars | the first file that differs |
//! | [`pack`] | a whole tree | a tar of it |
//! | [`unpack`] | any tar | a directory tree (ADD) |

mod apply;
mod attributes;
mod compare;
mod compression;
mod diff;
mod entry;
mod place;
mod put;
mod record;
#[cfg(test)]
pub(crate) mod sample;
mod scribe;
mod tape;
mod unpack;
mod whiteout;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use wharf_model::Digest;
use wharf_model::storage::LayerFormat;

pub use apply::{Applied, ApplyError, apply};
pub(crate) use apply::{apply_known, each};
pub use compare::{Difference, DifferenceKind, compare};
pub(crate) use compression::decompress;
pub use compression::{Compression, holds_tar, is_archive};
pub use diff::{Added, DiffError, Diffed, Times, diff, pack};
pub use entry::TarError;
pub(crate) use entry::{Kind, normalised, shown};
pub use record::RecordLayerError;
pub(crate) use record::{chain, is_unsynced, unused};
pub(crate) use scribe::{Line, Scribe};
pub use unpack::unpack;

/// A complete layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The digest of its uncompressed tar.
    pub diff_id: Digest,
    /// Its name together with everything below.
    pub chain_id: Digest,
    /// The chain id of the layer below.
    pub parent: Option<Digest>,
    /// Bytes in its files.
    pub size: u64,
    /// Bytes of its uncompressed tar.
    pub tar_size: u64,
    /// The blob it came in, possibly compressed.
    pub blob: Option<Digest>,
    /// That blob's media type.
    pub media_type: Option<String>,
    /// The storage driver that keeps its directory.
    pub driver: String,
}

/// The name of a layer on top of `parent`.
pub fn chain_id(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        Some(parent) => Digest::of(format!("{parent} {diff_id}")),
        None => *diff_id,
    }
}

/// What an archive may hold at most. More is refused with what was exceeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Entries that the file system has inodes for.
    pub inodes: u64,
    /// Bytes of the uncompressed tar, and of each file.
    pub bytes: u64,
    /// Bytes that there is room for.
    pub room: u64,
    /// Directories within each other.
    pub depth: usize,
    /// Bytes of one name.
    pub name: usize,
    /// Bytes of a path.
    pub path: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            inodes: u64::MAX,
            bytes: 1 << 40,
            room: u64::MAX,
            depth: 1024,
            name: 255,
            path: 4095,
        }
    }
}

/// Nobody else should find a full disk because of an archive: so much of it is left at least, if
/// that is not more than a tenth of what is free.
const LEFT: u64 = 1 << 30;

impl Limits {
    /// The usual ones, and no more bytes and entries than the file system of `dir` has room for.
    ///
    /// # Errors
    /// When the kernel does not say how much that is.
    pub fn with_room(dir: BorrowedFd<'_>) -> io::Result<Self> {
        let disk = rustix::fs::fstatvfs(dir)?;
        let free = free_of(&disk);
        // Some file systems make inodes when they need them, and say that they have none.
        let inodes = if disk.f_files == 0 { u64::MAX } else { disk.f_favail };
        Ok(Self { inodes, room: free - LEFT.min(free / 10), ..Self::default() })
    }
}

fn free_of(disk: &rustix::fs::StatVfs) -> u64 {
    disk.f_bavail.saturating_mul(disk.f_frsize)
}

/// The disk that an archive is unpacked on. Others write to it meanwhile, such as whoever brings the archive,
/// so what there was room for at the beginning is not all that counts.
pub(crate) struct Disk<'a> {
    dir: BorrowedFd<'a>,
    /// Bytes that have to stay free.
    left: u64,
    /// When to look again, in bytes of the archive.
    next: u64,
}

impl<'a> Disk<'a> {
    /// Between two looks.
    const STEP: u64 = 1 << 20;

    pub(crate) fn of(dir: BorrowedFd<'a>) -> io::Result<Self> {
        let free = free_of(&rustix::fs::fstatvfs(dir)?);
        Ok(Self { dir, left: LEFT.min(free / 10), next: Self::STEP })
    }

    /// Whether it is full, for whoever unpacked so many bytes.
    fn is_full(&mut self, unpacked: u64) -> io::Result<bool> {
        if unpacked < self.next {
            return Ok(false);
        }
        self.next = unpacked + Self::STEP;
        Ok(free_of(&rustix::fs::fstatvfs(self.dir)?) < self.left)
    }
}

/// Why a [`LayerHome`] can not do what was asked.
pub type HomeError = Box<dyn std::error::Error + Send + Sync>;

/// Where layers are kept: the engine's storage driver, seen from the store.
///
/// `place`, then `keep` or `discard`, once for each layer.
pub trait LayerHome {
    /// The driver's name, for the layer's record.
    fn driver(&self) -> &str;

    /// How its directories hold deletions.
    fn format(&self) -> LayerFormat;

    /// A new directory on top of `parents` (chain ids, topmost first): empty for
    /// [`LayerFormat::Overlay`], a copy of the topmost parent for [`LayerFormat::Tree`].
    ///
    /// # Errors
    /// When it can not be made.
    fn place(&mut self, parents: &[Digest]) -> Result<OwnedFd, HomeError>;

    /// Moves the directory of the last `place` to where layer `chain_id` is looked for. What
    /// was there had no record and is removed.
    ///
    /// # Errors
    /// When it can not be moved.
    fn keep(&mut self, chain_id: &Digest) -> Result<(), HomeError>;

    /// Removes the directory of the last `place`.
    fn discard(&mut self);

    /// The directory of a kept layer, and for [`LayerFormat::Tree`] that of its parent.
    ///
    /// # Errors
    /// When it can not be opened.
    fn open(
        &mut self,
        chain_id: &Digest,
        parents: &[Digest],
    ) -> Result<(OwnedFd, Option<OwnedFd>), HomeError>;
}
