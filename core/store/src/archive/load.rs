//! An archive of images -> images.
//!
//! The archive is read once, from front to back, so it may come from a pipe. What it lists is
//! often at its end: until then, small files are held in memory and large ones aside on disk.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read, Write};

use wharf_model::image::ImageConfig;
use wharf_model::{Digest, Platform, Reference};

use super::oci::Layout;
use super::place::place_parked;
use super::{JSON_LIMIT, Listed, Named, Part, docker, oci};
use crate::blob::Parked;
use crate::image::Origin;
use crate::layer::{ApplyError, HomeError, LayerHome, Limits, RecordLayerError, TarError};
use crate::layer::{Kind, each, normalised, shown};
use crate::{BlobError, CommitError, RecordError, Store};

const SMALL: u64 = 64 * 1024;
/// All small files together: further ones go aside as well.
const HELD: u64 = 64 << 20;
/// Files of an archive.
const ENTRIES: u64 = 100_000;

/// An image that came from an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The image.
    pub id: Digest,
    /// The names it got.
    pub names: Vec<Reference>,
}

/// Why images can not be taken from an archive.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive or a layer in it can not be unpacked.
    #[error(transparent)]
    Unpack(#[from] ApplyError),
    /// There are no images in it.
    #[error("the archive holds neither a `manifest.json` nor an `index.json`: it is not an image archive")]
    NotImages,
    /// It is older than lists of images.
    #[error(
        "the archive holds `repositories` and no `manifest.json`: docker wrote such archives before 1.10, and they hold no digests to verify"
    )]
    Old,
    /// None of what it lists is an image.
    #[error("the archive lists no image")]
    Empty,
    /// Its images are for other machines.
    #[error("{what} has nothing for {wanted}, only {there}")]
    Platform {
        /// A name, or the archive.
        what: String,
        /// For what it should be.
        wanted: Box<Platform>,
        /// What is there.
        there: String,
    },
    /// A layer in it can not be kept.
    #[error("cannot unpack layer `{path}` of the archive")]
    Layer {
        /// Its path in the archive.
        path: String,
        /// Why not.
        source: Box<Self>,
    },
    /// A file that it lists is not in it.
    #[error("the archive lists `{0}`, which is not in it")]
    Missing(String),
    /// A list or a config in it is wrong.
    #[error("`{path}` in the archive is damaged: {reason}")]
    Damaged {
        /// Which file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A layer is not the one that the config lists.
    #[error("a layer has diff id {found}, expected {expected}")]
    DiffId {
        /// As listed.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
    /// The storage driver can not keep a layer.
    #[error("cannot keep a layer")]
    Home(#[source] HomeError),
    /// A blob can not be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A layer can not be recorded.
    #[error(transparent)]
    RecordLayer(#[from] RecordLayerError),
    /// An image can not be kept.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl LoadError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Old => Some("docker 20.10 still reads it: load it there, and save it again".to_owned()),
            Self::NotImages => {
                Some("a root file system in a tar becomes an image with `wharf import`".to_owned())
            }
            Self::Platform { .. } => Some("choose what is there with `--platform`".to_owned()),
            _ => None,
        }
    }
}

/// Takes the images from an archive, compressed or not: all of them, or those for these platforms.
///
/// # Errors
/// When the archive is damaged, has nothing for one of the platforms, or the disk refuses. Images that were complete by
/// then stay; of the others, whole layers may stay until the next clean-up.
pub fn load(
    store: &Store,
    input: impl Read,
    platforms: &[Platform],
    home: &mut dyn LayerHome,
) -> Result<Vec<Loaded>, LoadError> {
    let _guard = store.guard()?;
    let files = Files::read(store, input)?;
    let layout = listed(&files)?;
    let images = layout.images.into_iter().map(|image| Coming::read(&files, image));
    let mut images: Vec<Coming> = images.collect::<Result<_, _>>()?;
    if !platforms.is_empty() {
        images = choose(images, platforms)?;
    }
    for index in &layout.indexes {
        store.blobs().put(index)?;
    }
    images.iter().map(|image| image.load(store, &files, home)).collect()
}

/// What the index lists, and what docker's list says beyond that.
fn listed(files: &Files) -> Result<Layout, LoadError> {
    let index = files.json(b"index.json")?;
    let list = files.json(b"manifest.json")?;
    if index.is_none() && list.is_none() {
        return Err(if files.find(b"repositories").is_some() {
            LoadError::Old
        } else {
            LoadError::NotImages
        });
    }
    let layout = index.map(|text| oci::layout(&text, &|path: &[u8]| files.json(path))).transpose()?;
    let mut layout = layout.unwrap_or_default();
    for image in list.map(|text| docker::listed(&text)).transpose()?.unwrap_or_default() {
        match layout.images.iter_mut().find(|known| known.config.path == image.config.path) {
            Some(known) => {
                let said = |name: &Named| known.names.iter().any(|other| other.name == name.name);
                let fresh: Vec<Named> = image.names.into_iter().filter(|name| !said(name)).collect();
                known.names.extend(fresh);
            }
            None => layout.images.push(image),
        }
    }
    if layout.images.is_empty() { Err(LoadError::Empty) } else { Ok(layout) }
}

/// An image whose config was read.
struct Coming {
    listed: Listed,
    bytes: Vec<u8>,
    config: ImageConfig,
}

/// Those for these platforms.
fn choose(images: Vec<Coming>, wanted: &[Platform]) -> Result<Vec<Coming>, LoadError> {
    let mut chosen = BTreeSet::new();
    for platform in wanted {
        chosen.extend(best(&images, platform)?);
    }
    Ok(images.into_iter().enumerate().filter(|(place, _)| chosen.contains(place)).map(|(_, it)| it).collect())
}

/// The places of those for a platform; of a name's variants the one that serves it best. Nobody is told later that
/// a name was left out, so each has to have one.
fn best(images: &[Coming], wanted: &Platform) -> Result<Vec<usize>, LoadError> {
    let rank = |image: &Coming| image.config.platform().rank_for(wanted);
    let platforms = |of: &dyn Fn(&Coming) -> bool| -> String {
        let there = images.iter().filter(|image| of(image)).map(|image| image.config.platform().to_string());
        there.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
    };
    let none = |what: String, there: String| {
        Err(LoadError::Platform { what, wanted: Box::new(wanted.clone()), there })
    };
    let ranks: Vec<_> = images.iter().map(|image| (rank(image), image.listed.names.clone())).collect();
    let is_best = |image: &Coming| {
        let Some(own) = rank(image) else { return false };
        let shares = |names: &[Named]| names.iter().any(|name| image.listed.names.contains(name));
        !ranks.iter().any(|(other, names)| other.is_some_and(|other| other < own) && shares(names))
    };
    let all: BTreeSet<String> = images.iter().flat_map(Coming::names).collect();
    let served: BTreeSet<String> =
        images.iter().filter(|image| is_best(image)).flat_map(Coming::names).collect();
    if let Some(name) = all.difference(&served).next() {
        return none(name.clone(), platforms(&|image| image.names().any(|own| own == *name)));
    }
    if !images.iter().any(is_best) {
        return none("the archive".to_owned(), platforms(&|_| true));
    }
    Ok((0..images.len()).filter(|place| is_best(&images[*place])).collect())
}

impl Coming {
    fn read(files: &Files, listed: Listed) -> Result<Self, LoadError> {
        let path = &listed.config.path;
        let bytes = files.json(path)?.ok_or_else(|| LoadError::Missing(shown(path)))?;
        check(&listed.config, Digest::of(&bytes), bytes.len() as u64)?;
        let damaged = |reason: String| LoadError::Damaged { path: shown(path), reason };
        let config: ImageConfig =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let (own, listing) = (config.rootfs.diff_ids.len(), listed.layers.len());
        if own != listing {
            return Err(damaged(format!("it has {own} layers, but the archive lists {listing}")));
        }
        Ok(Self { listed, bytes, config })
    }

    fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.listed.names.iter().map(|named| named.name.familiar())
    }

    fn load(&self, store: &Store, files: &Files, home: &mut dyn LayerHome) -> Result<Loaded, LoadError> {
        let mut parent = None;
        let (mut as_listed, layers) = (true, self.listed.layers.iter().zip(&self.config.rootfs.diff_ids));
        for ((part, diff_id), chain_id) in layers.zip(self.config.chain_ids()) {
            let layer = match store.layer(&chain_id)? {
                Some(layer) => {
                    as_listed &= files.holds(part)?;
                    layer
                }
                None => files.with_blob(store, &part.path, |parked| {
                    check(part, parked.digest, parked.size)?;
                    let placed = place_parked(store, parked, parent, *diff_id, home);
                    placed
                        .map_err(|source| LoadError::Layer { path: shown(&part.path), source: source.into() })
                })?,
            };
            // A manifest is handed on as it is, and whoever gets it compares lengths as well.
            as_listed &= match (layer.blob, part.is) {
                (Some(blob), Some((digest, Some(_)))) => blob == digest,
                _ => false,
            };
            parent = Some(chain_id);
        }
        let manifest = self.listed.manifest.as_deref().filter(|_| as_listed);
        let id = self.commit(store, manifest)?;
        let names = self.listed.names.iter().map(|named| named.name.clone()).collect();
        Ok(Loaded { id, names })
    }

    /// Once for each index that leads to it.
    fn commit(&self, store: &Store, manifest: Option<&[u8]>) -> Result<Digest, LoadError> {
        let mut indexes: Vec<Option<Digest>> = self.listed.names.iter().map(|named| named.via).collect();
        indexes.dedup();
        let mut id = Digest::of(&self.bytes);
        for via in if indexes.is_empty() { vec![None] } else { indexes } {
            let names = self.listed.names.iter().filter(|named| named.via == via);
            let names: Vec<Reference> = names.map(|named| named.name.clone()).collect();
            let origin = Origin { via: via.as_ref(), manifest };
            id = store.commit_bytes(&self.bytes, &self.config, &names, origin)?;
        }
        Ok(id)
    }
}

/// Whether a file of the archive is the one that was listed.
fn check(part: &Part, found: Digest, found_size: u64) -> Result<(), LoadError> {
    let Some((digest, size)) = part.is else { return Ok(()) };
    let reason = if digest != found {
        format!("its digest is {found}, but {digest} is listed")
    } else if let Some(size) = size.filter(|size| *size != found_size) {
        format!("it has {found_size} bytes, but {size} are listed")
    } else {
        return Ok(());
    };
    Err(LoadError::Damaged { path: shown(&part.path), reason })
}

enum Staged {
    Small(Vec<u8>),
    Large(Parked),
    /// Another path of the archive.
    Link(Vec<u8>),
}

/// The files of an archive.
struct Files(HashMap<Vec<u8>, Staged>);

impl Files {
    fn read(store: &Store, input: impl Read) -> Result<Self, LoadError> {
        let limits = store.blobs().room()?;
        let limits = Limits { entries: limits.entries.min(ENTRIES), ..limits };
        let (mut files, mut held) = (HashMap::new(), 0);
        // Nobody asks for the digest of the archive itself.
        let unneeded = Some(Digest::of(b""));
        each(input, (&limits, None), unneeded, |entry, path, data| {
            let staged = match entry.kind {
                Kind::File if entry.size <= SMALL && held < HELD => {
                    held += entry.size;
                    small(path, data)?
                }
                Kind::File => large(store, path, data)?,
                Kind::Symlink => Staged::Link(beside(path, &entry.target)),
                Kind::HardLink => Staged::Link(entry.target.clone()),
                _ => return Ok(()),
            };
            files.insert(path.to_vec(), staged);
            Ok(())
        })?;
        Ok(Self(files))
    }

    /// The file at `path`, through links.
    fn find(&self, path: &[u8]) -> Option<&Staged> {
        let mut path = normalised(path, &Limits::default()).ok()?;
        for _ in 0..8 {
            match self.0.get(&path)? {
                Staged::Link(target) => path = normalised(target, &Limits::default()).ok()?,
                found => return Some(found),
            }
        }
        None
    }

    /// The content of a small file; `None` when there is none.
    fn json(&self, path: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
        match self.find(path) {
            None | Some(Staged::Link(_)) => Ok(None),
            Some(Staged::Small(bytes)) => Ok(Some(bytes.clone())),
            Some(Staged::Large(parked)) if parked.size > JSON_LIMIT => {
                let reason = format!("it is longer than {JSON_LIMIT} bytes");
                Err(LoadError::Damaged { path: shown(path), reason })
            }
            Some(Staged::Large(parked)) => {
                let mut bytes = Vec::new();
                let read = parked.open()?.take(JSON_LIMIT).read_to_end(&mut bytes);
                read.map_err(|source| unreadable(path, source))?;
                Ok(Some(bytes))
            }
        }
    }

    /// Whether it is in the archive.
    ///
    /// # Errors
    /// When it is another one than is listed.
    fn holds(&self, part: &Part) -> Result<bool, LoadError> {
        match self.find(&part.path) {
            None | Some(Staged::Link(_)) => return Ok(false),
            Some(Staged::Large(parked)) => check(part, parked.digest, parked.size)?,
            Some(Staged::Small(bytes)) => check(part, Digest::of(bytes), bytes.len() as u64)?,
        }
        Ok(true)
    }

    /// Gives `act` the file at `path` as one that can become a blob.
    fn with_blob<T>(
        &self,
        store: &Store,
        path: &[u8],
        act: impl FnOnce(&Parked) -> Result<T, LoadError>,
    ) -> Result<T, LoadError> {
        match self.find(path) {
            None | Some(Staged::Link(_)) => Err(LoadError::Missing(shown(path))),
            Some(Staged::Large(parked)) => act(parked),
            Some(Staged::Small(bytes)) => {
                let mut writer = store.blobs().writer()?;
                writer.write_all(bytes).map_err(|source| unreadable(path, source))?;
                act(&writer.park())
            }
        }
    }
}

fn unreadable(path: &[u8], source: io::Error) -> LoadError {
    LoadError::Unpack(ApplyError::Entry { path: shown(path), source })
}

fn small(path: &[u8], data: &mut dyn Read) -> Result<Staged, ApplyError> {
    let mut bytes = Vec::new();
    let failed = |source| ApplyError::Entry { path: shown(path), source };
    data.read_to_end(&mut bytes).map_err(failed)?;
    Ok(Staged::Small(bytes))
}

fn large(store: &Store, path: &[u8], data: &mut dyn Read) -> Result<Staged, ApplyError> {
    let failed = |source| ApplyError::Entry { path: shown(path), source };
    let mut writer = store.blobs().writer().map_err(|error| failed(io::Error::other(error)))?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match data.read(&mut buffer) {
            Ok(0) => return Ok(Staged::Large(writer.park())),
            Ok(count) => writer.write_all(&buffer[..count]).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(TarError::Read(error).into()),
        }
    }
}

/// The target of a symbolic link, as a path of the archive.
fn beside(path: &[u8], target: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    parts.pop();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::sample::Tar;

    #[test]
    fn small_files_are_not_all_held_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let piece = vec![0; SMALL as usize];
        let many = HELD / SMALL + 5;
        let tar = (0..many).fold(Tar::default(), |tar, number| tar.file(&format!("f{number}"), &piece)).end();
        let files = Files::read(&store, tar.as_slice()).unwrap();
        let small = |staged: &&Staged| matches!(staged, Staged::Small(_));
        let held = files.0.values().filter(small).count() as u64;
        assert_eq!((held, files.0.len() as u64), (HELD / SMALL, many));
    }
}
