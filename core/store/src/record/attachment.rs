//! What is kept beside an image, such as a list of what is in it. It goes with the image, and is no
//! part of it: the image's id does not change.

use rusqlite::{Connection, Row, params};
use wharf_model::Digest;

use crate::db::{Durability, digest};
use crate::{BlobError, RecordError, Store};

/// Records of attachments; what they hold are blobs.
#[derive(Debug, Clone, Copy)]
pub struct Attachments<'a> {
    pub(super) store: &'a Store,
}

/// Something that is kept beside an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// A plain file name, unique beside its image.
    pub name: String,
    /// `application/spdx+json`, ...
    pub media_type: String,
    /// Of what it holds.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// The hook that attached it.
    pub owner: String,
}

/// Why something can not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// What it holds can not be written or read.
    #[error("cannot keep the attachment")]
    Blob(#[from] BlobError),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Attachments<'_> {
    /// Writes what an attachment holds; it stays when [`Self::replace`] is told of it under the same
    /// [`Store::guard`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(
        &self,
        name: &str,
        media_type: &str,
        owner: &str,
        content: &[u8],
    ) -> Result<Attachment, BlobError> {
        Ok(Attachment {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            digest: self.store.blobs().put(content)?,
            size: content.len() as u64,
            owner: owner.to_owned(),
        })
    }

    /// From now on an image has these, which have different names, and no others.
    ///
    /// # Errors
    /// When there is no such image, or the database fails.
    pub fn replace(&self, image: &Digest, attachments: &[Attachment]) -> Result<(), RecordError> {
        let mut wanted = attachments.to_vec();
        wanted.sort_by(|one, other| one.name.cmp(&other.name));
        if self.of(image)? == wanted {
            return Ok(());
        }
        self.store.database.write(Durability::Synced, |change| {
            change.execute("DELETE FROM attachments WHERE image = ?", [image.to_string()])?;
            for Attachment { name, media_type, digest, size, owner } in &wanted {
                let row =
                    params![image.to_string(), name, media_type, digest.to_string(), *size as i64, owner];
                change.execute("INSERT INTO attachments VALUES (?, ?, ?, ?, ?, ?)", row)?;
            }
            Ok(())
        })
    }

    /// What an image has, sorted by name.
    ///
    /// # Errors
    /// When the database fails.
    pub fn of(&self, image: &Digest) -> Result<Vec<Attachment>, RecordError> {
        self.store.database.read(|database: &Connection| {
            let query =
                "SELECT name, media_type, digest, size, owner FROM attachments WHERE image = ? ORDER BY name";
            let mut query = database.prepare(query)?;
            let rows = query.query_map([image.to_string()], attachment)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn attachment(row: &Row<'_>) -> rusqlite::Result<Attachment> {
    Ok(Attachment {
        name: row.get(0)?,
        media_type: row.get(1)?,
        digest: digest(row, 2)?,
        size: u64::try_from(row.get::<_, i64>(3)?).unwrap_or_default(),
        owner: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_model::Platform;
    use wharf_model::image::ImageConfig;

    #[test]
    fn attachments_go_with_their_image() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = store.commit(&ImageConfig::empty(&Platform::host()), &[]).unwrap();
        let write = |name: &str, content: &[u8]| {
            store.attachments().write(name, "text/plain", "sbom", content).unwrap()
        };
        let (a, b) = (write("a", b"1"), write("b", b"2"));
        store.attachments().replace(&id, &[b.clone(), a.clone()]).unwrap();
        assert_eq!(store.attachments().of(&id).unwrap(), [a.clone(), b.clone()]);
        store.attachments().replace(&id, std::slice::from_ref(&b)).unwrap();
        assert_eq!(store.sweep().unwrap().blobs, 1, "what is no longer attached goes");
        assert!(store.blobs().contains(&b.digest) && !store.blobs().contains(&a.digest));

        assert!(store.attachments().replace(&Digest::of("none"), std::slice::from_ref(&b)).is_err());
        store.delete_image(&id).unwrap();
        assert!(store.attachments().of(&id).unwrap().is_empty());
        store.sweep().unwrap();
        assert!(!store.blobs().contains(&b.digest));
    }
}
