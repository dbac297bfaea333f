//! Names: reference -> image. What a person typed is looked for as a name first, then as an id.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use wharf_model::{Digest, Platform, Reference, ReferenceError};

use crate::db::{Durability, digest, optional_digest};
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
    /// It is here, but for other machines.
    #[error("image {name} is here for {there}, and not for {wanted}")]
    Platform {
        /// As typed.
        name: String,
        /// For what it should be.
        wanted: Platform,
        /// What it is for.
        there: String,
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
    /// id; in this order. Of a name's images for several platforms it is the one for this machine, or
    /// the one that came last.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn resolve(&self, name: &str) -> Result<Image, ResolveError> {
        self.resolve_for(name, None)
    }

    /// As [`Self::resolve`], for a platform.
    ///
    /// # Errors
    /// When there is none, or several, or none for the platform.
    pub fn resolve_for(&self, name: &str, platform: Option<&Platform>) -> Result<Image, ResolveError> {
        let reference = name.parse::<Reference>();
        let unknown = || ResolveError::Unknown { name: name.to_owned() };
        self.database.read(|database| {
            let mut ids = match &reference {
                Ok(reference) => by_name(database, reference)?,
                Err(_) => Vec::new(),
            };
            if ids.is_empty() {
                match (by_prefix(database, name)?, reference) {
                    (Some(id), _) => ids.push(id),
                    (None, Err(error)) if !looks_like_id(name) => return Err(error.into()),
                    (None, _) => return Err(unknown()),
                }
            }
            chosen(&images(database, &ids)?, name, platform)
        })
    }

    /// As [`Self::resolve_for`], by name alone: an id is no name, nor is its beginning.
    ///
    /// # Errors
    /// When there is none, or none for the platform.
    pub fn resolve_named(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Image, ResolveError> {
        let name = reference.familiar();
        self.database
            .read(|database| chosen(&images(database, &by_name(database, reference)?)?, &name, platform))
    }

    /// All images of a name: several when it leads to an index. The usual one comes first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn variants(&self, name: &Reference) -> Result<Vec<Image>, RecordError> {
        self.database.read(|database| Ok(usual_first(images(database, &holders(database, name)?)?)))
    }

    /// The names of one repository with their images, sorted; `repository` as [`crate::record::repository`] writes
    /// it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn named_in(&self, repository: &str) -> Result<Vec<(Reference, Image)>, RecordError> {
        self.database.read(|database| {
            // Each is the letter after the one that begins a tag or a digest.
            let query = "SELECT reference, image FROM names WHERE (reference >= ?1 || ':' AND reference < ?1 || ';') \
                         OR (reference >= ?1 || '@' AND reference < ?1 || 'A') ORDER BY reference, image";
            let mut query = database.prepare_cached(query)?;
            let rows = query.query_map([repository], |row| Ok((row.get::<_, String>(0)?, digest(row, 1)?)))?;
            let mut named = Vec::new();
            for row in rows {
                let (name, id) = row?;
                let name = parsed(&name)?;
                named.extend(find(database, &id)?.map(|image| (name, image)));
            }
            Ok(named)
        })
    }

    /// All names that images have, sorted.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) fn names(&self) -> Result<Vec<Reference>, RecordError> {
        self.database.read(|database| {
            let mut query = database.prepare("SELECT DISTINCT reference FROM names ORDER BY reference")?;
            let rows = query.query_map([], |row| row.get::<_, String>(0))?;
            rows.map(|row| parsed(&row?)).collect()
        })
    }

    /// The names that lead to an index, and to which.
    ///
    /// # Errors
    /// When the database fails.
    pub fn indexes(&self) -> Result<HashMap<Reference, Digest>, RecordError> {
        self.database.read(|database| {
            let query = "SELECT DISTINCT reference, via FROM names WHERE via IS NOT NULL";
            let mut query = database.prepare(query)?;
            let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, digest(row, 1)?)))?;
            rows.map(|row| row.map_err(RecordError::from).and_then(|(name, via)| Ok((parsed(&name)?, via))))
                .collect()
        })
    }

    /// The index that a name leads to, when it does not lead to a single image. Its bytes are a blob.
    ///
    /// # Errors
    /// When the database fails.
    pub fn index_of(&self, name: &Reference) -> Result<Option<Digest>, RecordError> {
        self.database.read(|database| {
            let mut query = database.prepare_cached("SELECT via FROM names WHERE reference = ?")?;
            let via = query.query_row([name.to_string()], |row| optional_digest(row, 0)).optional()?;
            Ok(via.flatten())
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
            let before = holders(change, name)?;
            name_image(change, name, id, None)?;
            Ok(before.into_iter().find(|before| before != id))
        })
    }

    /// Gives another name to all that a name leads to: an index with all its images that are here.
    ///
    /// # Errors
    /// When no image has the name.
    pub fn tag_alike(&self, from: &Reference, to: &Reference) -> Result<(), TagError> {
        self.database.write(Durability::Synced, |change| {
            if holders(change, from)?.is_empty() {
                return Err(TagError::NoName(from.clone()));
            }
            if from == to {
                return Ok(());
            }
            let (from, to) = (from.to_string(), to.to_string());
            let take = change.execute("DELETE FROM names WHERE reference = ?", [&to]);
            take.map_err(RecordError::from)?;
            let query = "INSERT INTO names SELECT ?2, image, via FROM names WHERE reference = ?1";
            change.execute(query, [from, to]).map_err(RecordError::from)?;
            Ok(())
        })
    }

    /// Takes a name away; returns the images that had it.
    ///
    /// # Errors
    /// When no image has it.
    pub fn untag(&self, name: &Reference) -> Result<Vec<Digest>, TagError> {
        self.database.write(Durability::Synced, |change| {
            let ids = holders(change, name)?;
            if ids.is_empty() {
                return Err(TagError::NoName(name.clone()));
            }
            let query = "DELETE FROM names WHERE reference = ?";
            change.execute(query, [name.to_string()]).map_err(RecordError::from)?;
            Ok(ids)
        })
    }

    /// Takes a name away from one of its images.
    ///
    /// # Errors
    /// When the image does not have it.
    pub fn untag_one(&self, name: &Reference, id: &Digest) -> Result<(), TagError> {
        self.database.write(Durability::Synced, |change| {
            let query = "DELETE FROM names WHERE reference = ? AND image = ?";
            let row = [name.to_string(), id.to_string()];
            match change.execute(query, row).map_err(RecordError::from)? {
                0 => Err(TagError::NoName(name.clone())),
                _ => Ok(()),
            }
        })
    }
}

fn digests(database: &Connection, query: &str, row: &[&str]) -> Result<Vec<Digest>, RecordError> {
    let mut query = database.prepare_cached(query)?;
    let rows = query.query_map(rusqlite::params_from_iter(row), |row| digest(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn holders(database: &Connection, name: &Reference) -> Result<Vec<Digest>, RecordError> {
    digests(database, "SELECT image FROM names WHERE reference = ?", &[&name.to_string()])
}

fn images(database: &Connection, ids: &[Digest]) -> Result<Vec<Image>, RecordError> {
    ids.iter().filter_map(|id| find(database, id).transpose()).collect()
}

/// Which of several images serves a platform best.
fn best<'i>(images: &'i [Image], wanted: &Platform) -> Option<&'i Image> {
    let ranked = images.iter().filter_map(|image| Some((image.config.platform().rank_for(wanted)?, image)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, image)| image)
}

/// The images of one name, the usual one first, the others by their platforms.
pub fn usual_first(mut all: Vec<Image>) -> Vec<Image> {
    let first = usual(&all).map(|image| image.id);
    all.sort_by_cached_key(|image| (Some(image.id) != first, image.config.platform().to_string()));
    all
}

fn parsed(name: &str) -> Result<Reference, RecordError> {
    name.parse().map_err(|error: ReferenceError| RecordError::Damaged {
        what: format!("the name `{name}`"),
        source: error.into(),
    })
}

/// The image for this machine, or the one that came last.
fn usual(images: &[Image]) -> Option<&Image> {
    let newest = || images.iter().max_by_key(|image| (image.added, image.id));
    best(images, &Platform::host()).or_else(newest)
}

/// `name@digest` also finds images that the registry calls so, or whose manifest has this digest.
fn by_name(database: &Connection, name: &Reference) -> Result<Vec<Digest>, RecordError> {
    let held = holders(database, name)?;
    let Some(wanted) = name.digest().filter(|_| held.is_empty()) else { return Ok(held) };
    let wanted = wanted.to_string();
    let query = "SELECT DISTINCT image FROM remotes WHERE repository = ?1 AND ?2 IN (digest, manifest)";
    let known = digests(database, query, &[&repository(name), &wanted])?;
    if !known.is_empty() {
        return Ok(known);
    }
    let query =
        "SELECT id FROM images JOIN names ON image = id WHERE manifest = ?1 AND reference GLOB ?2 LIMIT 1";
    digests(database, query, &[&wanted, &format!("{}/{}[:@]*", name.domain(), name.path())])
}

fn looks_like_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    !digits.is_empty() && digits.len() <= 64 && digits.bytes().all(hex)
}

/// `g` follows the last hex digit, so the ids that begin with the text lie between the two.
/// The one of a name's images that is for the platform, or the usual one.
fn chosen(images: &[Image], name: &str, platform: Option<&Platform>) -> Result<Image, ResolveError> {
    let unknown = || ResolveError::Unknown { name: name.to_owned() };
    let usual = usual(images).ok_or_else(unknown)?;
    let Some(wanted) = platform else { return Ok(usual.clone()) };
    best(images, wanted).cloned().ok_or_else(|| {
        let there: Vec<String> = images.iter().map(|image| image.config.platform().to_string()).collect();
        let (name, wanted) = (name.to_owned(), wanted.clone());
        ResolveError::Platform { name, wanted, there: there.join(", ") }
    })
}

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
    fn a_repository_has_its_own_names_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = format!("h:80/app@{}", Digest::of("x"));
        let all =
            ["h:80/app:1", "h:80/app:v2", &digest, "h:80/app/x:1", "h:80/app2:1", "h:80/ap:1", "h/app:1"];
        let id = commit(&store, "a", &all);
        let named = store.named_in("h:80/app").unwrap();
        assert!(named.iter().all(|(_, image)| image.id == id));
        let names: Vec<String> = named.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["h:80/app:1", "h:80/app:v2", &digest]);
        assert!(store.named_in("h:80/app:1").unwrap().is_empty());
        assert_eq!(store.names().unwrap().len(), all.len());
        assert!(store.indexes().unwrap().is_empty());
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
        assert_eq!(store.untag(&name).unwrap(), [second]);
        assert!(matches!(store.untag(&name), Err(TagError::NoName(_))));
        assert!(matches!(store.tag(&Digest::of("none"), &name), Err(TagError::NoImage(_))));
    }

    #[test]
    fn a_name_of_an_index_has_an_image_for_each_platform() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name: Reference = "x".parse().unwrap();
        let other: Platform = "linux/s390x".parse().unwrap();
        let via = store.blobs().put(b"an index").unwrap();
        let add = |platform: &Platform, via: Option<&Digest>| {
            let config = ImageConfig::empty(platform);
            let bytes = serde_json::to_vec(&config).unwrap();
            let origin = crate::image::Origin { via, manifest: None };
            store.commit_bytes(&bytes, &config, std::slice::from_ref(&name), origin).unwrap()
        };
        let (own, foreign) = (add(&Platform::host(), Some(&via)), add(&other, Some(&via)));
        assert_eq!(add(&other, Some(&via)), foreign);
        assert_eq!(store.index_of(&name).unwrap(), Some(via));
        let ids = |name: &Reference| -> Vec<Digest> {
            store.variants(name).unwrap().iter().map(|image| image.id).collect()
        };
        assert_eq!(ids(&name), [own, foreign]);
        assert_eq!(store.resolve("x").unwrap().id, own);
        assert_eq!(store.resolve_for("x", Some(&other)).unwrap().id, foreign);
        let error = store.resolve_for("x", Some(&"linux/ppc64le".parse().unwrap())).unwrap_err().to_string();
        assert!(error.contains("linux/s390x") && error.contains("not for linux/ppc64le"), "{error}");
        store.sweep().unwrap();
        assert!(store.blobs().contains(&via));

        let alike: Reference = "y".parse().unwrap();
        store.tag_alike(&name, &alike).unwrap();
        store.untag_one(&alike, &own).unwrap();
        assert_eq!(ids(&alike), [foreign]);
        assert_eq!(store.resolve("y").unwrap().id, foreign);
        assert!(matches!(store.untag_one(&alike, &own), Err(TagError::NoName(_))));
        let next = Digest::of("the next index");
        assert_eq!(add(&Platform::host(), Some(&next)), own);
        assert_eq!(ids(&name), [own], "images of the index before lose the name");
        assert_eq!(add(&other, None), foreign);
        assert_eq!((ids(&name), store.index_of(&name).unwrap()), (vec![foreign], None));
    }
}
