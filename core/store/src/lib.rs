//! Bytes at rest: what wharf knows when no process of it runs.
//!
//! ```text
//! wharf.db                   SQLite (WAL), 0600: the only index
//! oci-layout                 marks `blobs` as an OCI image layout
//! blobs/sha256/<hex>         complete and verified; never changed afterwards
//! blobs/incoming/<random>    being written; garbage when nobody holds the `gc` lock
//! blobs/partial/<hex>        part of a blob from a registry; garbage after a day
//! storage/<driver>/...       layers as directories, kept by the engine through its drivers
//! containers/<id>/           kept by the engine
//! events/                    the journal
//! tmp/                       scratch, on the same file system as `storage`
//! locks/<name>               `flock`ed; removed by a sweep when nobody has it
//! claims/<name>              what is being made, `flock`ed by its maker
//! spare                      room that is held back for removing things
//! ```
//!
//! **What is true.** A blob appears under its digest by `rename(2)` after it was synced, so a
//! reader sees all of it or nothing. A layer's directory counts only when a record says so; a
//! record made since the last [`Store::commit`] counts only until the next boot, because its
//! files may not have reached the disk. `commit` syncs the file system and then the record, so
//! an image that was reported is there after a power cut, with its layers.
//!
//! **Locks.** `gc` is held shared by whoever makes blobs or layers that no record knows yet
//! ([`Store::guard`]), and exclusively by [`Store::sweep`]. Other names belong to their users.
//! A lock dies with its process and is never inherited.
//!
//! **Garbage.** A layer is needed by an image, a container or a build-cache entry, or by a
//! needed layer on top of it. [`Store::delete_image`] and [`record::Cache::clear`] say which
//! ones nobody needs any more; the engine forgets the record first and removes the directory
//! afterwards. Blobs are removed by `sweep` alone.

pub mod archive;
mod blob;
mod claim;
mod db;
pub mod fetch;
mod full;
mod gc;
mod image;
pub mod journal;
pub mod layer;
mod lock;
mod name;
pub mod record;
pub mod registry;
mod spare;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use blob::{BlobError, BlobWriter, Blobs};
pub use claim::{Claim, Claimed};
pub use db::RecordError;
pub use full::is_full;
pub use gc::Swept;
pub use image::{CommitError, Image};
pub use journal::Journal;
pub use layer::{HomeError, Layer, LayerHome};
pub use lock::LockGuard;
pub use name::{ResolveError, TagError, usual_first};
pub use record::{
    AttachError, Attachment, CacheEntry, CacheItem, LeaseError, Lookup, NameTaken, Record, Remote,
    VolumeRecord,
};
pub use spare::Spare;

use db::Database;

/// Everything below one root directory.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    database: Database,
    blobs: Blobs,
}

/// Why a store can not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory or file can not be made.
    #[error("cannot make {}", .path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database can not be opened.
    #[error("cannot open the database {}", .path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: RecordError,
    },
}

/// The index's file.
const DATABASE: &str = "wharf.db";

impl Store {
    /// Whether there is a store in this directory.
    pub fn is_at(root: &Path) -> bool {
        root.join(DATABASE).exists()
    }

    /// Opens the store below `root`, making what is missing.
    ///
    /// # Errors
    /// When something can not be made, or the database is damaged or of a newer wharf.
    pub fn open(root: &Path) -> Result<Self, OpenError> {
        if !root.join("oci-layout").exists() {
            make(root)?;
            spare::hold(root);
        }
        let path = root.join(DATABASE);
        let database = Database::open(&path).map_err(|source| OpenError::Database { path, source })?;
        Ok(Self { root: root.to_owned(), database, blobs: Blobs::at(root.join("blobs")) })
    }

    /// The directory all of it is in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The content-addressed files.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }
}

/// `oci-layout` is written last: with it, everything else is there.
fn make(root: &Path) -> Result<(), OpenError> {
    for name in ["", "blobs/sha256", "blobs/incoming", "storage", "containers", "tmp", "locks"] {
        let path = root.join(name);
        let mode = if name == "storage" || name.is_empty() { 0o711 } else { 0o700 };
        let made = DirBuilder::new().recursive(true).mode(mode).create(&path);
        made.map_err(|source| OpenError::Make { path, source })?;
    }
    let path = root.join("oci-layout");
    let draft = root.join(format!("tmp/oci-layout.{}", std::process::id()));
    fs::write(&draft, "{\"imageLayoutVersion\":\"1.0.0\"}\n")
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|source| OpenError::Make { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_again_keeps_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Store::open(dir.path()).unwrap().blobs().put(b"hello").unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.blobs().contains(&digest));
    }

    #[test]
    fn a_root_that_can_not_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let error = Store::open(&dir.path().join("file/store")).unwrap_err();
        assert!(error.to_string().contains("file/store"), "{error}");
    }
}
