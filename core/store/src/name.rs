//! Names: reference -> image. What a person typed is looked for as a name first, then as an id.

use rusqlite::{Connection, OptionalExtension};
use wharf_model::{Digest, Reference, ReferenceError};

use crate::db::{Durability, digest};
use crate::image::{find, name_image};
use crate::record::repository;
use crate::{Image, RecordError, Store};

/// Why no image was found.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is none.
    #[error("no such image: {name}")]
    Unknown {
        /// As typed.
        name: String,
    },
    /// Several ids begin like that.
    #[error("`{prefix}` is the beginning of more than one image id")]
    Ambiguous {
        /// As typed.
        prefix: String,
    },
    /// It is neither a name nor an id.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Why a name can not be given or taken.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// No such image.
    #[error("no such image: {0}")]
    NoImage(Digest),
    /// No such name.
    #[error("no such image: {}", .0.familiar())]
    NoName(Reference),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Store {
    /// The image of that name, id (`sha256:` and 64 hex digits), or unambiguous beginning of an
    /// id; in this order.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn resolve(&self, name: &str) -> Result<Image, ResolveError> {
        let reference = name.parse::<Reference>();
        self.database.read(|database| {
            let named = match &reference {
                Ok(reference) => by_name(database, reference)?,
                Err(_) => None,
            };
            let id = match named {
                Some(id) => id,
                None => match (by_prefix(database, name)?, reference) {
                    (Some(id), _) => id,
                    (None, Err(error)) if !looks_like_id(name) => return Err(error.into()),
                    (None, _) => return Err(ResolveError::Unknown { name: name.to_owned() }),
                },
            };
            find(database, &id)?.ok_or_else(|| ResolveError::Unknown { name: name.to_owned() })
        })
    }

    /// Gives a name to an image; returns the image that had it before.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn tag(&self, id: &Digest, name: &Reference) -> Result<Option<Digest>, TagError> {
        self.database.write(Durability::Synced, |change| {
            if find(change, id)?.is_none() {
                return Err(TagError::NoImage(*id));
            }
            let before = holder(change, name)?;
            name_image(change, name, id)?;
            Ok(before.filter(|before| before != id))
        })
    }

    /// Takes a name away; returns the image that had it.
    ///
    /// # Errors
    /// When no image has it.
    pub fn untag(&self, name: &Reference) -> Result<Digest, TagError> {
        self.database.write(Durability::Synced, |change| {
            let id = holder(change, name)?.ok_or_else(|| TagError::NoName(name.clone()))?;
            let query = "DELETE FROM names WHERE reference = ?";
            change.execute(query, [name.to_string()]).map_err(RecordError::from)?;
            Ok(id)
        })
    }
}

fn holder(database: &Connection, name: &Reference) -> Result<Option<Digest>, RecordError> {
    let mut query = database.prepare_cached("SELECT image FROM names WHERE reference = ?")?;
    Ok(query.query_row([name.to_string()], |row| digest(row, 0)).optional()?)
}

/// `name@digest` also finds an image that the registry calls so, or whose manifest has this digest.
fn by_name(database: &Connection, name: &Reference) -> Result<Option<Digest>, RecordError> {
    if let Some(id) = holder(database, name)? {
        return Ok(Some(id));
    }
    let Some(wanted) = name.digest() else { return Ok(None) };
    let query = "SELECT image FROM remotes WHERE repository = ?1 AND ?2 IN (digest, manifest) LIMIT 1";
    let known = database.query_row(query, [repository(name), wanted.to_string()], |row| digest(row, 0));
    if let Some(id) = known.optional()? {
        return Ok(Some(id));
    }
    let query =
        "SELECT id FROM images JOIN names ON image = id WHERE manifest = ?1 AND reference GLOB ?2 LIMIT 1";
    let repository = format!("{}/{}[:@]*", name.domain(), name.path());
    let found = database.query_row(query, [wanted.to_string(), repository], |row| digest(row, 0));
    Ok(found.optional()?)
}

fn looks_like_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    !digits.is_empty() && digits.len() <= 64 && digits.bytes().all(hex)
}

/// `g` follows the last hex digit, so the ids that begin with the text lie between the two.
fn by_prefix(database: &Connection, text: &str) -> Result<Option<Digest>, ResolveError> {
    if !looks_like_id(text) {
        return Ok(None);
    }
    let prefix = format!("sha256:{}", text.strip_prefix("sha256:").unwrap_or(text));
    let query = "SELECT id FROM images WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2";
    let mut query = database.prepare_cached(query).map_err(RecordError::from)?;
    let rows = query.query_map([prefix], |row| digest(row, 0)).map_err(RecordError::from)?;
    let found: Vec<Digest> = rows.collect::<Result<_, _>>().map_err(RecordError::from)?;
    match found.as_slice() {
        [] => Ok(None),
        [id] => Ok(Some(*id)),
        _ => Err(ResolveError::Ambiguous { prefix: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_model::Platform;
    use wharf_model::image::ImageConfig;

    fn commit(store: &Store, author: &str, names: &[&str]) -> Digest {
        let mut config = ImageConfig::empty(&Platform::host());
        config.author = Some(author.to_owned());
        let names: Vec<Reference> = names.iter().map(|name| name.parse().unwrap()).collect();
        store.commit(&config, &names).unwrap()
    }

    #[test]
    fn a_name_wins_over_an_id() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = commit(&store, "a", &["one", "localhost:5000/one:2"]);
        let prefix = &first.hex()[..6];
        for asked in [
            "one",
            "docker.io/library/one:latest",
            "localhost:5000/one:2",
            &first.to_string(),
            &first.hex(),
            prefix,
        ] {
            assert_eq!(store.resolve(asked).unwrap().id, first, "for {asked}");
        }
        let second = commit(&store, "b", &[prefix]);
        assert_eq!(store.resolve(prefix).unwrap().id, second);
        let manifest = store.image(&first).unwrap().unwrap().manifest;
        assert_eq!(store.resolve(&format!("one@{manifest}")).unwrap().id, first);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for asked in ["none", "abc", "sha256:abc", &"f".repeat(64)] {
            let error = store.resolve(asked).unwrap_err();
            assert!(matches!(&error, ResolveError::Unknown { .. }), "for {asked}: {error}");
        }
        assert!(matches!(store.resolve("UPPER"), Err(ResolveError::Name(_))));
        for number in 0..40 {
            commit(&store, &number.to_string(), &[]);
        }
        let first = store.images().unwrap()[0].id.hex();
        let twins = store.images().unwrap().iter().filter(|image| image.id.hex()[..1] == first[..1]).count();
        let found = store.resolve(&first[..1]);
        assert_eq!(matches!(found, Err(ResolveError::Ambiguous { .. })), twins > 1);
    }

    #[test]
    fn a_moved_name_leaves_the_old_image() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = commit(&store, "a", &["x"]);
        let second = commit(&store, "b", &[]);
        let name: Reference = "x".parse().unwrap();
        assert_eq!(store.tag(&second, &name).unwrap(), Some(first));
        assert_eq!(store.tag(&second, &name).unwrap(), None);
        assert!(store.image(&first).unwrap().unwrap().names.is_empty());
        assert_eq!(store.untag(&name).unwrap(), second);
        assert!(matches!(store.untag(&name), Err(TagError::NoName(_))));
        assert!(matches!(store.tag(&Digest::of("none"), &name), Err(TagError::NoImage(_))));
    }
}
