//! ADD from the web, and archives that ADD unpacks.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT};
use wharf_model::Digest;
use wharf_store::fetch;
use wharf_store::layer::{self, Limits};

use super::copy::Unpack;
use super::owner::Ids;
use super::provenance::Material;
use super::request::BuildError;
use crate::container::fresh_id;
use crate::unfinished::Unfinished;
use crate::{Engine, home};

/// One file from the web, alone in a directory.
pub(super) struct Fetched {
    digest: Digest,
    modified: Option<i64>,
    directory: Scratch,
}

/// A directory that goes away with its owner, however that one ends.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    claim: Option<Unfinished>,
}

impl Scratch {
    pub(super) fn make(engine: &Engine) -> Result<Self, BuildError> {
        let random = |source| BuildError::File { path: "/dev/urandom".into(), source };
        let id = format!("fetch-{}", &fresh_id().map_err(random)?[..16]);
        let claim = Unfinished::begin(&engine.store, &id)?;
        let path = engine.root().join("tmp").join(id);
        let made = fs::create_dir_all(&path);
        made.map_err(|source| BuildError::File { path: path.clone(), source })?;
        Ok(Self { path, claim: Some(claim) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let (Ok(()), Some(claim)) = (fs::remove_dir_all(&self.path), self.claim.take()) {
            claim.done();
        }
    }
}

impl Fetched {
    /// Its content, and the time the server says.
    pub(super) fn key(&self) -> String {
        format!("{} {:?}", self.digest, self.modified)
    }

    /// What an address gave.
    pub(super) fn material(&self, url: &str) -> Material {
        Material::download(url, &self.digest)
    }

    /// Its directory.
    pub(super) fn open(&self) -> Result<OwnedFd, BuildError> {
        let path = &self.directory.path;
        home::open(path).map_err(|error| BuildError::File { path: path.to_owned(), source: error.into() })
    }
}

impl Engine {
    pub(super) fn fetch(
        &self,
        url: &str,
        checksum: Option<&Digest>,
        filename: &str,
    ) -> Result<Fetched, BuildError> {
        let fetched = fetch::download(&self.store, url, checksum)?;
        let directory = Scratch::make(self)?;
        let failed = |source| BuildError::File { path: directory.path.clone(), source };
        let mut blob =
            self.store.blobs().open(&fetched.digest).map_err(|error| BuildError::Layer(error.into()))?;
        let path = directory.path.join(filename);
        place(&mut blob, &path, fetched.last_modified.unwrap_or(0)).map_err(failed)?;
        Ok(Fetched { digest: fetched.digest, modified: fetched.last_modified, directory })
    }
}

/// Mode 0600, as docker gives what comes from the web.
fn place(blob: &mut File, path: &Path, modified: i64) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    std::io::copy(blob, &mut file)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified, tv_nsec: 0 },
    };
    Ok(rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Unpacks what is an archive by its content.
pub(super) struct Unpacker;

impl Unpack for Unpacker {
    fn unpack(
        &mut self,
        archive: &mut File,
        root: BorrowedFd<'_>,
        dest: &Path,
        owner: Option<Ids>,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        if !layer::holds_tar(archive)? {
            return Ok(false);
        }
        archive.seek(SeekFrom::Start(0))?;
        let limits = Limits::with_room(root)?;
        layer::unpack(archive, root, dest, owner.map(|ids| (ids.uid, ids.gid)), &limits)?;
        Ok(true)
    }
}
