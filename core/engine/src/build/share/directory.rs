//! A cache in a directory that is read. Links in it lead nowhere.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::OFlags;
use serde::Deserialize;
use wharf_model::Digest;

use super::read::CacheReadError;
use super::record::Records;
use super::write::{CONFIG_TYPE, blob_path};
use crate::image::open_below;

/// Lists are not longer.
const LONGEST: u64 = 64 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
}

/// The directory.
pub(super) struct Directory {
    root: OwnedFd,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self, CacheReadError> {
        let opened = File::open(path);
        let opened = opened.map_err(|source| CacheReadError::File { path: path.to_owned(), source });
        Ok(Self { root: opened?.into() })
    }

    pub(super) fn records(&self) -> Result<Records, CacheReadError> {
        let index: Index = parsed(Path::new("index.json"), &self.whole(Path::new("index.json"))?)?;
        let Some(first) = index.manifests.first() else { return Ok(Records::default()) };
        let manifest: Manifest = self.json(&first.digest)?;
        if manifest.config.media_type != CONFIG_TYPE {
            return Err(CacheReadError::Foreign(manifest.config.media_type));
        }
        self.json(&manifest.config.digest)
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, digest: &Digest) -> Result<T, CacheReadError> {
        let path = blob_path(digest);
        let bytes = self.whole(&path)?;
        if Digest::of(&bytes) != *digest {
            return Err(CacheReadError::Digest(*digest));
        }
        parsed(&path, &bytes)
    }

    fn whole(&self, path: &Path) -> Result<Vec<u8>, CacheReadError> {
        let failed = |source| CacheReadError::File { path: path.to_owned(), source };
        let file = File::from(open_below(&self.root, path, OFlags::empty()).map_err(failed)?);
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LONGEST { Err(CacheReadError::TooLong(path.to_owned())) } else { Ok(bytes) }
    }

    /// A blob and its size.
    pub(super) fn blob(&self, digest: &Digest) -> io::Result<(File, u64)> {
        let file = File::from(open_below(&self.root, &blob_path(digest), OFlags::empty())?);
        let size = file.metadata()?.len();
        Ok((file, size))
    }
}

pub(super) fn parsed<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T, CacheReadError> {
    let damaged = |source| CacheReadError::Damaged { path: path.to_owned(), source };
    serde_json::from_slice(bytes).map_err(damaged)
}
