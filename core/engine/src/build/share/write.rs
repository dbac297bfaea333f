//! A build's records and layers -> a directory.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use wharf_model::{Digest, Reference};
use wharf_store::archive::{INDEX_TYPE, SaveError, write_layer};
use wharf_store::registry::PushError;
use wharf_store::{Layer, RecordError, is_full};

use super::super::execute::Finished;
use super::super::progress::BuildEvent;
use super::super::request::{BuildError, BuildOptions};
use super::super::tree::Chain;
use super::imported::Imported;
use super::read::{causes, warn};
use super::record::{Records, wanted};
use super::{CacheMode, CacheTo};
use crate::full::NO_ROOM_THERE;
use crate::home::Home;
use crate::hook::HookError;
use crate::snapshot::SnapshotError;
use crate::{Engine, WholeFile};

/// The media type of the list of records.
pub(super) const CONFIG_TYPE: &str = "application/vnd.wharf.cache.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const TAR_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Why a cache can not be written.
#[derive(Debug, thiserror::Error)]
pub enum CacheWriteError {
    /// A file of it.
    #[error("cannot write the build cache to {}", .path.display())]
    File {
        /// Which, or its directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no room for it.
    #[error("no room is left for the build cache in {}", .to.display())]
    NoRoom {
        /// The directory.
        to: PathBuf,
        /// What could not be written.
        source: Box<Self>,
    },
    /// A layer can not be read.
    #[error("cannot write a layer of the build cache")]
    Layer(#[from] SaveError),
    /// The storage driver.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A hook refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The registry.
    #[error("cannot send the build cache to {name}")]
    Send {
        /// Host, path and tag.
        name: Box<Reference>,
        /// Why not.
        source: Box<PushError>,
    },
    /// There is more than a reader would take.
    #[error("the list of {steps} steps is too long for a build cache")]
    TooLong {
        /// How many.
        steps: usize,
    },
}

impl CacheWriteError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Send { source, .. } => source.next_step(),
            Self::Hook(error) => error.next_step(),
            Self::NoRoom { .. } => Some(NO_ROOM_THERE.to_owned()),
            _ => None,
        }
    }
}

impl Engine {
    /// Writes the caches that were asked for.
    pub(in crate::build) fn write_caches(
        &self,
        options: &BuildOptions,
        imported: &mut Imported,
        stage: &Finished,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<(), BuildError> {
        for cache in &options.cache_to {
            let (written, lenient) = match cache {
                CacheTo::Local { to, mode, lenient } => {
                    (self.write_cache(to, (imported, *mode), stage, report), *lenient)
                }
                CacheTo::Registry { to, mode, lenient } => {
                    (self.send_cache(to, (imported, *mode), stage, report), *lenient)
                }
                CacheTo::Inline => continue,
            };
            match written {
                Err(BuildError::Cache(error)) if lenient => warn(&causes(&error), report),
                written => written?,
            }
        }
        Ok(())
    }

    /// Sees to it that the layers are here. One that can not be had is left out, with a word about it.
    pub(super) fn bring_wanted(
        &self,
        imported: &mut Imported,
        layers: &mut Vec<Layer>,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<(), BuildError> {
        loop {
            match self.bring(imported, &Chain { layers: layers.clone() }) {
                Err(BuildError::CacheLost(lost)) => {
                    imported.strike(&lost, report);
                    layers.retain(|layer| !lost.layers.contains(&layer.chain_id));
                }
                brought => return brought,
            }
        }
    }

    /// The index comes last: until then a reader sees what was there before.
    fn write_cache(
        &self,
        to: &Path,
        (imported, mode): (&mut Imported, CacheMode),
        stage: &Finished,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<(), BuildError> {
        let mut records = self.records(imported, stage)?;
        let mut wanted = wanted(&records, stage, mode);
        self.bring_wanted(imported, &mut wanted, report)?;
        let written = self.write_layout(to, &mut records, &wanted);
        Ok(written.map_err(|error| match is_full(&error) {
            true => CacheWriteError::NoRoom { to: to.to_owned(), source: Box::new(error) },
            false => error,
        })?)
    }

    fn write_layout(
        &self,
        to: &Path,
        records: &mut Records,
        wanted: &[Layer],
    ) -> Result<(), CacheWriteError> {
        let layout = Layout::make(to)?;
        let layers = self.write_layers(&layout, records, wanted)?;
        let config = layout.put(&serde_json::to_vec(records).unwrap_or_default())?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": { "mediaType": CONFIG_TYPE, "digest": config.0, "size": config.1 },
            "layers": layers,
        });
        let manifest = layout.put(manifest.to_string().as_bytes())?;
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [{ "mediaType": MANIFEST_TYPE, "digest": manifest.0, "size": manifest.1 }],
        });
        layout.write(Path::new("oci-layout"), LAYOUT)?;
        layout.write(Path::new("index.json"), index.to_string().as_bytes())
    }

    fn write_layers(
        &self,
        layout: &Layout,
        records: &mut Records,
        wanted: &[Layer],
    ) -> Result<Vec<serde_json::Value>, CacheWriteError> {
        let mut layers = Vec::new();
        for layer in wanted {
            let Some(layer) = self.store.layer(&layer.chain_id)? else { continue };
            let (blob, size) = self.write_layer(layout, &layer)?;
            records.note(&layer.chain_id, blob);
            let media_type = layer.media_type.as_deref().unwrap_or(TAR_TYPE);
            layers.push(json!({ "mediaType": media_type, "digest": blob, "size": size }));
        }
        Ok(layers)
    }

    /// The blob that a layer came in, or its tar.
    fn write_layer(&self, layout: &Layout, layer: &Layer) -> Result<(Digest, u64), CacheWriteError> {
        let blob = layer.blob.unwrap_or(layer.diff_id);
        let size = match layer.blob {
            Some(blob) => self.store.blobs().size(&blob).map_err(SaveError::from)?,
            None => layer.tar_size,
        };
        let path = blob_path(&blob);
        if layout.holds(&path, size) {
            return Ok((blob, size));
        }
        let mut part = layout.part(&path)?;
        let snapshots = self.default_snapshots()?;
        write_layer(&self.store, layer, &mut Home::new(&snapshots), &mut part.file)?;
        layout.finish(part, &path)?;
        Ok((blob, size))
    }
}

/// Where a blob is.
pub(super) fn blob_path(digest: &Digest) -> PathBuf {
    format!("blobs/sha256/{}", digest.hex()).into()
}

/// The directory. Files appear in it when they are whole.
struct Layout {
    root: PathBuf,
}

impl Layout {
    fn make(root: &Path) -> Result<Self, CacheWriteError> {
        let blobs = root.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(|source| CacheWriteError::File { path: blobs, source })?;
        Ok(Self { root: root.to_owned() })
    }

    fn failed(&self, path: &Path) -> impl Fn(io::Error) -> CacheWriteError {
        let path = self.root.join(path);
        move |source| CacheWriteError::File { path: path.clone(), source }
    }

    fn holds(&self, path: &Path, size: u64) -> bool {
        fs::symlink_metadata(self.root.join(path)).is_ok_and(|file| file.is_file() && file.len() == size)
    }

    fn part(&self, path: &Path) -> Result<WholeFile, CacheWriteError> {
        let made = WholeFile::create(&self.root.join(path)).and_then(|part| {
            // Other people's builds read it, too.
            part.file.set_permissions(Permissions::from_mode(0o644))?;
            Ok(part)
        });
        made.map_err(self.failed(path))
    }

    fn finish(&self, part: WholeFile, path: &Path) -> Result<(), CacheWriteError> {
        part.appear_early().map_err(self.failed(path))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheWriteError> {
        let mut part = self.part(path)?;
        part.file.write_all(bytes).map_err(self.failed(path))?;
        self.finish(part, path)
    }

    fn put(&self, bytes: &[u8]) -> Result<(Digest, usize), CacheWriteError> {
        let digest = Digest::of(bytes);
        self.write(&blob_path(&digest), bytes)?;
        Ok((digest, bytes.len()))
    }
}
