//! What registries call images, and where they hold blobs.

use rusqlite::{OptionalExtension, params};
use wharf_model::{Digest, Reference};

use crate::db::{Durability, digest};
use crate::{RecordError, Store};

/// Layers that came with a pull that was broken off are kept so long, in seconds.
pub(crate) const PATIENCE: i64 = 24 * 60 * 60;

/// Records of images in registries.
#[derive(Debug, Clone, Copy)]
pub struct Remotes<'a> {
    pub(super) store: &'a Store,
}

/// An image as one registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Host and path, as [`repository`] writes them.
    pub repository: String,
    /// What a tag of it leads to: an index, or the manifest itself.
    pub digest: Digest,
    /// The image's own manifest there; its bytes are a blob here.
    pub manifest: Digest,
}

/// The host and the path of a reference.
pub fn repository(name: &Reference) -> String {
    format!("{}/{}", name.domain(), name.path())
}

impl Remotes<'_> {
    /// Notes how a registry has an image, and that it holds these blobs.
    ///
    /// # Errors
    /// When there is no such image, or the database fails.
    pub fn remember(&self, image: &Digest, remote: &Remote, blobs: &[Digest]) -> Result<(), RecordError> {
        self.store.database.write(Durability::Synced, |change| {
            let Remote { repository, digest, manifest } = remote;
            let row = params![repository, digest.to_string(), manifest.to_string(), image.to_string()];
            change.execute("INSERT OR REPLACE INTO remotes VALUES (?, ?, ?, ?)", row)?;
            for blob in blobs {
                let row = params![blob.to_string(), repository];
                change.execute("INSERT OR IGNORE INTO held VALUES (?, ?)", row)?;
            }
            Ok(())
        })
    }

    /// How registries have an image, sorted by repository.
    ///
    /// # Errors
    /// When the database fails.
    pub fn of(&self, image: &Digest) -> Result<Vec<Remote>, RecordError> {
        self.store.database.read(|database| {
            let query = "SELECT repository, digest, manifest FROM remotes WHERE image = ? ORDER BY repository, digest";
            let mut query = database.prepare_cached(query)?;
            let rows = query.query_map([image.to_string()], |row| {
                Ok(Remote { repository: row.get(0)?, digest: digest(row, 1)?, manifest: digest(row, 2)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Repositories that hold a blob, as far as is known.
    ///
    /// # Errors
    /// When the database fails.
    pub fn holders(&self, blob: &Digest) -> Result<Vec<String>, RecordError> {
        self.store.database.read(|database| {
            let mut query =
                database.prepare_cached("SELECT repository FROM held WHERE blob = ? ORDER BY repository")?;
            let rows = query.query_map([blob.to_string()], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// What the tar of a layer becomes when it is compressed: digest and length.
    ///
    /// # Errors
    /// When the database fails.
    pub fn packed(&self, diff_id: &Digest) -> Result<Option<(Digest, u64)>, RecordError> {
        self.store.database.read(|database| {
            let query = "SELECT digest, size FROM packed WHERE diff_id = ?";
            let found = database.query_row(query, [diff_id.to_string()], |row| {
                Ok((digest(row, 0)?, row.get::<_, i64>(1)?.unsigned_abs()))
            });
            Ok(found.optional()?)
        })
    }

    /// Notes what a layer's tar became.
    ///
    /// # Errors
    /// When the database fails.
    pub fn note_packed(&self, diff_id: &Digest, packed: &Digest, size: u64) -> Result<(), RecordError> {
        self.store.database.write(Durability::Relaxed, |change| {
            let row = params![diff_id.to_string(), packed.to_string(), size.cast_signed()];
            change.execute("INSERT OR REPLACE INTO packed VALUES (?, ?, ?)", row)?;
            Ok(())
        })
    }

    /// A layer came, and its image is not whole yet: a pull that is broken off finds it again.
    ///
    /// # Errors
    /// When the database fails.
    pub fn note_arrived(&self, layer: &Digest) -> Result<(), RecordError> {
        self.store.database.write(Durability::Relaxed, |change| {
            let now = jiff::Timestamp::now().as_second();
            let query = "INSERT OR REPLACE INTO arrived VALUES (?, ?)";
            change.execute(query, params![layer.to_string(), now])?;
            Ok(())
        })
    }

    /// These layers are part of an image now; `None` gives up all that wait for the rest of one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_arrived(&self, layers: Option<&[Digest]>) -> Result<(), RecordError> {
        self.store.database.write(Durability::Relaxed, |change| {
            let Some(layers) = layers else {
                change.execute("DELETE FROM arrived", [])?;
                return Ok(());
            };
            for layer in layers {
                change.execute("DELETE FROM arrived WHERE layer = ?", [layer.to_string()])?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_model::Platform;
    use wharf_model::image::ImageConfig;

    #[test]
    fn what_a_registry_calls_an_image_goes_with_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = store.commit(&ImageConfig::empty(&Platform::host()), &[]).unwrap();
        let manifest = store.blobs().put(b"{}").unwrap();
        let remote = Remote { repository: "h.io/a".into(), digest: manifest, manifest };
        let blob = Digest::of("blob");
        store.remotes().remember(&id, &remote, &[blob]).unwrap();
        store.remotes().remember(&id, &remote, &[blob]).unwrap();
        assert_eq!(store.remotes().of(&id).unwrap(), std::slice::from_ref(&remote));
        assert_eq!(store.remotes().holders(&blob).unwrap(), ["h.io/a"]);
        store.sweep().unwrap();
        assert!(store.blobs().contains(&manifest));
        assert!(store.remotes().holders(&blob).unwrap().is_empty(), "no layer here has that blob");
        assert_eq!(store.resolve(&format!("h.io/a@{manifest}")).unwrap().id, id);
        assert!(store.resolve(&format!("h.io/b@{manifest}")).is_err());
        store.delete_image(&id).unwrap();
        store.sweep().unwrap();
        assert!(!store.blobs().contains(&manifest));
        assert!(store.remotes().of(&id).unwrap().is_empty());
        assert!(store.remotes().remember(&id, &remote, &[]).is_err());
    }
}
