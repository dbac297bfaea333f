//! A cache that was written elsewhere -> records and layers here.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::Deserialize;
use wharf_model::{Diagnostic, Digest, Severity};
use wharf_store::archive::{Arrival, LoadError, place_layer};
use wharf_store::layer::chain_id;
use wharf_store::{BlobError, CacheEntry, RecordError, ResolveError};

use super::super::cached::CachedStep;
use super::super::progress::BuildEvent;
use super::super::request::BuildOptions;
use super::CacheFrom;
use super::record::{INLINE, LayerRecord, Record, Records};
use super::write::{CONFIG_TYPE, blob_path};
use crate::Engine;
use crate::home::Home;
use crate::image::open_below;
use crate::snapshot::SnapshotError;

/// Lists are not longer.
const LONGEST: u64 = 64 << 20;

/// Why a cache can not be used.
#[derive(Debug, thiserror::Error)]
enum CacheReadError {
    #[error("cannot read {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is longer than {LONGEST} bytes", .0.display())]
    TooLong(PathBuf),
    #[error("{} is damaged", .path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("it is no build cache: its config is of type `{0}`")]
    Foreign(String),
    #[error("the content of {0} is something else")]
    Digest(Digest),
    #[error("layer {0} is not the one that its parts make")]
    Chain(Digest),
    #[error(transparent)]
    Image(#[from] ResolveError),
    #[error("image `{0}` was not built with an inline cache")]
    NoInline(String),
    #[error(transparent)]
    Layer(#[from] LoadError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

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

impl Engine {
    /// Takes what the caches hold. One that can not be used costs time and nothing else, so it is a
    /// warning.
    pub(in crate::build) fn read_caches(
        &self,
        options: &BuildOptions,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) {
        if options.no_cache {
            return;
        }
        for cache in &options.cache_from {
            let (read, shown) = match cache {
                CacheFrom::Local(from) => (self.read_local(from), from.display().to_string()),
                CacheFrom::Image(name) => (self.read_inline(name), name.clone()),
            };
            if let Err(error) = read {
                let text = format!("cannot use the cache `{shown}`: {}", causes(&error));
                let warning = &Diagnostic::new(Severity::Warning, "CacheNotUsed", text);
                report(BuildEvent::Warning { step: None, warning });
            }
        }
    }

    fn read_local(&self, from: &Path) -> Result<(), CacheReadError> {
        let directory = Directory::open(from)?;
        let records = directory.records()?;
        let snapshots = self.default_snapshots()?;
        let mut home = Home::new(&snapshots);
        for record in &records.records {
            self.take(record, |layer| self.place(layer, &directory, &mut home))?;
        }
        Ok(())
    }

    fn read_inline(&self, name: &str) -> Result<(), CacheReadError> {
        let image = self.store.resolve(name)?;
        let held = image.config.extra.get(INLINE);
        let held = held.ok_or_else(|| CacheReadError::NoInline(name.to_owned()))?;
        let damaged = |source| CacheReadError::Damaged { path: INLINE.into(), source };
        let records: Records = serde_json::from_value(held.clone()).map_err(damaged)?;
        for record in &records.records {
            self.take(record, |layer| Ok(image.layers.iter().any(|own| own.chain_id == layer.chain_id)))?;
        }
        Ok(())
    }

    /// What is known here already is not changed. `have` says whether the layer is here now.
    fn take(
        &self,
        record: &Record,
        have: impl FnOnce(&LayerRecord) -> Result<bool, CacheReadError>,
    ) -> Result<(), CacheReadError> {
        if self.store.cache().get(&record.key)?.is_some() {
            return Ok(());
        }
        let chain_id = match &record.layer {
            _ if record.unchanged => None,
            Some(layer) if have(layer)? => Some(layer.chain_id),
            _ => return Ok(()),
        };
        let value = serde_json::to_vec(&CachedStep { unchanged: record.unchanged }).unwrap_or_default();
        Ok(self.store.cache().put(&record.key, &CacheEntry { chain_id, value })?)
    }

    /// Unpacks a layer, verified; false when it is not in the cache, or has nothing to stand on.
    fn place(
        &self,
        layer: &LayerRecord,
        directory: &Directory,
        home: &mut Home<'_>,
    ) -> Result<bool, CacheReadError> {
        if chain_id(layer.parent.as_ref(), &layer.diff_id) != layer.chain_id {
            return Err(CacheReadError::Chain(layer.chain_id));
        }
        if self.store.layer(&layer.chain_id)?.is_some() {
            return Ok(true);
        }
        if let Some(parent) = &layer.parent
            && self.store.layer(parent)?.is_none()
        {
            return Ok(false);
        }
        let Some(blob) = layer.blob else { return Ok(false) };
        let Some((mut file, size)) = directory.blob(&blob)? else { return Ok(false) };
        let mut writer = self.store.blobs().writer()?;
        let copied = io::copy(&mut file, &mut writer);
        copied.map_err(|source| CacheReadError::File { path: blob_path(&blob), source })?;
        writer.finish(Some((blob, size)))?;
        let arrival = Arrival { parent: layer.parent, diff_id: Some(layer.diff_id), blob: Some(blob) };
        place_layer(&self.store, self.store.blobs().open(&blob)?, &arrival, home)?;
        Ok(true)
    }
}

fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The directory of a cache. Links in it lead nowhere.
struct Directory {
    root: OwnedFd,
}

impl Directory {
    fn open(path: &Path) -> Result<Self, CacheReadError> {
        let opened = File::open(path);
        let opened = opened.map_err(|source| CacheReadError::File { path: path.to_owned(), source });
        Ok(Self { root: opened?.into() })
    }

    fn records(&self) -> Result<Records, CacheReadError> {
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

    /// A blob and its size; `None` when it is not here.
    fn blob(&self, digest: &Digest) -> Result<Option<(File, u64)>, CacheReadError> {
        let path = blob_path(digest);
        let opened = open_below(&self.root, &path, OFlags::empty()).map(File::from);
        match opened.and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((size, file)) => Ok(Some((file, size))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CacheReadError::File { path, source }),
        }
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T, CacheReadError> {
    let damaged = |source| CacheReadError::Damaged { path: path.to_owned(), source };
    serde_json::from_slice(bytes).map_err(damaged)
}
