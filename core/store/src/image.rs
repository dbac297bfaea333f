//! Images: a config and the layers it lists. The digest of the config's bytes is the image's id.
//!
//! The bytes of a config that came from outside are kept as they were; one that was made here
//! is written in the model's order. The manifest lists each layer by the blob it came in, or,
//! for a layer that was built here, by the uncompressed tar that can be made again; one that came in an
//! archive is kept as it was.

use std::fs::File;
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use wharf_model::image::ImageConfig;
use wharf_model::{Digest, Reference};

use crate::db::{Durability, boot, digest, optional_digest};
use crate::layer::{self, Layer};
use crate::{BlobError, RecordError, Store};

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// Whether a media type is for the other kind of document than this one is: a manifest for an index, or an
/// index for a manifest. A type that says nothing says nothing wrong.
pub(crate) fn is_of_other_kind(media_type: &str, is_index: bool) -> bool {
    let index = media_type.contains("image.index.") || media_type.contains("manifest.list.");
    let manifest = media_type.contains("image.manifest.") || media_type.contains("distribution.manifest.v2");
    if is_index { manifest } else { index }
}

/// An image with everything that is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The digest of its config.
    pub id: Digest,
    /// Its config.
    pub config: ImageConfig,
    /// Its names, sorted.
    pub names: Vec<Reference>,
    /// When it came here, in seconds since 1970.
    pub added: i64,
    /// Bytes in the files of its layers.
    pub size: u64,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// The digest of its manifest.
    pub manifest: Digest,
}

/// What an image that came from outside came with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Origin<'a> {
    /// The index that its names lead to, whose other images keep them.
    pub(crate) via: Option<&'a Digest>,
    /// The manifest to keep; it lists the blobs that the layers have here. Otherwise one is made.
    pub(crate) manifest: Option<&'a [u8]>,
}

/// Why an image can not be committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A layer that its config lists is not here.
    #[error("layer {0} of the image is not in the store")]
    MissingLayer(Digest),
    /// Its config or manifest can not be written.
    #[error("cannot write the image's config and manifest")]
    Blob(#[from] BlobError),
    /// It can not be made to stay.
    #[error("cannot sync {}", .path.display())]
    Sync {
        /// Which file system.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Its config has no JSON.
    #[error("the image's config cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Store {
    /// Keeps an image whose layers are recorded, and gives it these names. When this returns,
    /// the image and its layers survive a power cut.
    ///
    /// # Errors
    /// When a layer is missing, or the disk refuses.
    pub fn commit(&self, config: &ImageConfig, names: &[Reference]) -> Result<Digest, CommitError> {
        self.commit_bytes(&serde_json::to_vec(config)?, config, names, Origin::default())
    }

    /// As [`Self::commit`], for a config whose bytes must stay as they are.
    pub(crate) fn commit_bytes(
        &self,
        bytes: &[u8],
        config: &ImageConfig,
        names: &[Reference],
        Origin { via, manifest }: Origin<'_>,
    ) -> Result<Digest, CommitError> {
        let _guard = self.guard()?;
        let layers = self.layers_of(config)?;
        let id = self.blobs().put(bytes)?;
        let manifest = match manifest {
            Some(text) => self.blobs().put(text)?,
            None => self.blobs().put(&self.manifest(id, bytes.len(), &layers)?)?,
        };
        let top = layers.last().map(|layer| layer.chain_id);
        let unsynced = self.is_unsynced(top.as_ref())?;
        if !unsynced && self.is_committed(&id, &manifest, names, via)? {
            return Ok(id);
        }
        if unsynced {
            self.sync()?;
        }
        let text = String::from_utf8_lossy(bytes);
        self.database.write(Durability::Synced, |change| {
            keep(change, &id, &manifest, &text, top.as_ref())?;
            for name in names {
                name_image(change, name, &id, via)?;
            }
            Ok(id)
        })
    }

    /// Building again what is there already must cost nothing.
    fn is_committed(
        &self,
        id: &Digest,
        manifest: &Digest,
        names: &[Reference],
        via: Option<&Digest>,
    ) -> Result<bool, RecordError> {
        let Some(image) = self.image(id)?.filter(|image| image.manifest == *manifest) else {
            return Ok(false);
        };
        for name in names {
            if !image.names.contains(name) || self.index_of(name)?.as_ref() != via {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_unsynced(&self, top: Option<&Digest>) -> Result<bool, RecordError> {
        self.database.read(|database| top.map_or(Ok(false), |top| layer::is_unsynced(database, top)))
    }

    fn layers_of(&self, config: &ImageConfig) -> Result<Vec<Layer>, CommitError> {
        let chain = config.chain_ids().into_iter().zip(&config.rootfs.diff_ids);
        chain.map(|(id, diff)| self.layer(&id)?.ok_or(CommitError::MissingLayer(*diff))).collect()
    }

    fn manifest(&self, config: Digest, size: usize, layers: &[Layer]) -> Result<Vec<u8>, CommitError> {
        let descriptor = |layer: &Layer| -> Result<serde_json::Value, CommitError> {
            let (digest, size) = match layer.blob {
                Some(blob) => (blob, self.blobs().size(&blob)?),
                None => (layer.diff_id, layer.tar_size),
            };
            let media_type = layer.media_type.as_deref().filter(|_| layer.blob.is_some());
            Ok(serde_json::json!({
                "mediaType": media_type.unwrap_or(LAYER_TYPE), "digest": digest, "size": size,
            }))
        };
        let layers: Vec<_> = layers.iter().map(descriptor).collect::<Result<_, _>>()?;
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": { "mediaType": CONFIG_TYPE, "digest": config, "size": size },
            "layers": layers,
        });
        Ok(serde_json::to_vec(&manifest)?)
    }

    fn sync(&self) -> Result<(), CommitError> {
        let failed = |source| CommitError::Sync { path: self.root().to_owned(), source };
        let root = File::open(self.root()).map_err(failed)?;
        rustix::fs::syncfs(&root).map_err(|errno| failed(errno.into()))
    }

    /// All images, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn images(&self) -> Result<Vec<Image>, RecordError> {
        self.database.read(|database| {
            let query = "SELECT id, manifest, config, top, added FROM images ORDER BY added DESC, id";
            let mut query = database.prepare(query)?;
            let rows = query.query_map([], raw)?;
            rows.map(|row| image(database, row?)).collect()
        })
    }

    /// The image of that id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn image(&self, id: &Digest) -> Result<Option<Image>, RecordError> {
        self.database.read(|database| find(database, id))
    }

    /// Forgets an image with its names. Returns those of its layers that nobody needs any more,
    /// topmost first. Its blobs go with the next sweep.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_image(&self, id: &Digest) -> Result<Vec<Layer>, RecordError> {
        self.database.write(Durability::Synced, |change| {
            let Some(image) = find(change, id)? else { return Ok(Vec::new()) };
            change.execute("DELETE FROM names WHERE image = ?", [id.to_string()])?;
            change.execute("DELETE FROM images WHERE id = ?", [id.to_string()])?;
            let mut unused = layer::unused(change)?;
            unused.retain(|layer| image.layers.iter().any(|own| own.chain_id == layer.chain_id));
            Ok(unused)
        })
    }
}

/// One image with its layers; an image that is there already gets the newer manifest.
fn keep(
    change: &Transaction<'_>,
    id: &Digest,
    manifest: &Digest,
    config: &str,
    top: Option<&Digest>,
) -> Result<(), RecordError> {
    for layer in top.map(|top| layer::chain(change, top)).transpose()?.unwrap_or_default() {
        let query = "UPDATE layers SET boot = NULL WHERE chain_id = ? AND boot = ?";
        change.prepare_cached(query)?.execute([layer.chain_id.to_string().as_str(), boot()])?;
    }
    let query = "INSERT INTO images VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT (id) DO UPDATE SET manifest = excluded.manifest";
    let added = jiff::Timestamp::now().as_second();
    let top = top.map(|top| top.to_string());
    change.execute(query, params![id.to_string(), manifest.to_string(), config, top, added])?;
    Ok(())
}

/// Gives `name` to an image. Others lose it, unless they are of the same index.
pub(crate) fn name_image(
    change: &Transaction<'_>,
    name: &Reference,
    id: &Digest,
    via: Option<&Digest>,
) -> Result<(), RecordError> {
    let (name, via) = (name.to_string(), via.map(Digest::to_string));
    // `IS NOT` is true of NULL and a text; two NULLs are two single images.
    let query = "DELETE FROM names WHERE reference = ?1 AND (via IS NOT ?2 OR ?2 IS NULL)";
    change.execute(query, params![name, via])?;
    change.execute("INSERT OR REPLACE INTO names VALUES (?, ?, ?)", params![name, id.to_string(), via])?;
    Ok(())
}

type Raw = (Digest, Digest, String, Option<Digest>, i64);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((digest(row, 0)?, digest(row, 1)?, row.get(2)?, optional_digest(row, 3)?, row.get(4)?))
}

/// The image of that id.
pub(crate) fn find(database: &Connection, id: &Digest) -> Result<Option<Image>, RecordError> {
    let query = "SELECT id, manifest, config, top, added FROM images WHERE id = ?";
    let found = database.prepare_cached(query)?.query_row([id.to_string()], raw).optional()?;
    found.map(|raw| image(database, raw)).transpose()
}

fn image(database: &Connection, (id, manifest, config, top, added): Raw) -> Result<Image, RecordError> {
    let damaged = |source: HomelessError| RecordError::Damaged { what: format!("image {id}"), source };
    let config = serde_json::from_str(&config).map_err(|error| damaged(error.into()))?;
    let layers = top.map(|top| layer::chain(database, &top)).transpose()?.unwrap_or_default();
    let size = layers.iter().map(|layer| layer.size).sum();
    let mut query =
        database.prepare_cached("SELECT reference FROM names WHERE image = ? ORDER BY reference")?;
    let rows = query.query_map([id.to_string()], |row| row.get::<_, String>(0))?;
    let names = rows.map(|row| row?.parse::<Reference>().map_err(|error| damaged(error.into())));
    let names = names.collect::<Result<_, _>>()?;
    Ok(Image { id, config, names, added, size, layers, manifest })
}

type HomelessError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::chain_id;
    use wharf_model::Platform;

    fn record(store: &Store, parent: Option<Digest>, content: &str) -> Digest {
        let diff_id = Digest::of(content);
        let chain_id = chain_id(parent.as_ref(), &diff_id);
        let layer = Layer {
            diff_id,
            chain_id,
            parent,
            size: 10,
            tar_size: 1024,
            blob: None,
            media_type: None,
            driver: "overlay".into(),
        };
        store.record_layer(&layer).unwrap();
        chain_id
    }

    fn config(contents: &[&str]) -> ImageConfig {
        let mut config = ImageConfig::empty(&Platform::host());
        config.rootfs.diff_ids = contents.iter().map(Digest::of).collect();
        config
    }

    #[test]
    fn an_image_needs_its_layers() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(matches!(store.commit(&config(&["a"]), &[]), Err(CommitError::MissingLayer(_))));
        assert!(store.images().unwrap().is_empty());
    }

    #[test]
    fn layers_go_with_the_last_image_that_needs_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let a = record(&store, None, "a");
        let b = record(&store, Some(a), "b");
        let c = record(&store, Some(a), "c");
        let name: Reference = "x".parse().unwrap();
        let first = store.commit(&config(&["a", "b"]), std::slice::from_ref(&name)).unwrap();
        let second = store.commit(&config(&["a", "c"]), &[]).unwrap();
        let image = store.image(&first).unwrap().unwrap();
        assert_eq!((image.size, image.layers.len(), image.names.as_slice()), (20, 2, [name].as_slice()));
        assert_eq!(image.layers[0].chain_id, a);
        assert!(store.blobs().contains(&image.manifest) && store.blobs().contains(&first));

        store.containers().insert("1", "n", "{}", true).unwrap().unwrap();
        store.containers().hold("1", &c).unwrap();
        let ids = |layers: Vec<Layer>| layers.iter().map(|layer| layer.chain_id).collect::<Vec<_>>();
        assert_eq!(ids(store.delete_image(&first).unwrap()), [b]);
        assert_eq!(ids(store.delete_image(&second).unwrap()), [], "a container needs them");
        store.containers().remove("1").unwrap();
        assert_eq!(ids(store.unused_layers().unwrap()).last(), Some(&a));
    }

    #[test]
    fn an_image_without_layers_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = store.commit(&config(&[]), &[]).unwrap();
        assert_eq!(store.images().unwrap()[0].id, id);
        assert_eq!(store.commit(&config(&[]), &[]).unwrap(), id);
        assert_eq!(store.images().unwrap().len(), 1);
    }

    #[test]
    fn a_committed_layer_outlives_the_boot() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let a = record(&store, None, "a");
        store.commit(&config(&["a"]), &[]).unwrap();
        record(&store, None, "a");
        let reboot = |change: &Transaction<'_>| -> Result<(), RecordError> {
            change.execute("UPDATE layers SET boot = 'another' WHERE boot IS NOT NULL", [])?;
            Ok(())
        };
        store.database.write(Durability::Synced, reboot).unwrap();
        assert!(store.layer(&a).unwrap().is_some());
    }
}
