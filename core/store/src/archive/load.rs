//! An archive of images -> images.
//!
//! The archive is read once, from front to back, so it may come from a pipe. What it lists is
//! often at its end: until then, small files are held in memory and large ones aside on disk.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use wharf_model::image::ImageConfig;
use wharf_model::{Digest, Reference};

use super::place::place_parked;
use super::{JSON_LIMIT, Listed, docker, oci};
use crate::blob::Parked;
use crate::layer::{ApplyError, HomeError, LayerHome, Limits, RecordLayerError, TarError};
use crate::layer::{Kind, each, normalised, shown};
use crate::{BlobError, CommitError, RecordError, Store};

const SMALL: u64 = 64 * 1024;

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
    Layer(#[from] RecordLayerError),
    /// An image can not be kept.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Takes all images from an archive, compressed or not.
///
/// # Errors
/// When the archive is damaged or the disk refuses. Images that were complete by then stay;
/// of the others, whole layers may stay until the next clean-up.
pub fn load(store: &Store, input: impl Read, home: &mut dyn LayerHome) -> Result<Vec<Loaded>, LoadError> {
    let _guard = store.guard()?;
    let files = Files::read(store, input)?;
    let listed = match files.json(b"manifest.json")? {
        Some(text) => docker::listed(&text)?,
        None => match files.json(b"index.json")? {
            Some(text) => oci::listed(&text, &|path: &[u8]| files.json(path))?,
            None => return Err(LoadError::NotImages),
        },
    };
    listed.iter().map(|image| load_image(store, &files, image, home)).collect()
}

fn load_image(
    store: &Store,
    files: &Files,
    image: &Listed,
    home: &mut dyn LayerHome,
) -> Result<Loaded, LoadError> {
    let bytes = files.json(&image.config)?.ok_or_else(|| LoadError::Missing(shown(&image.config)))?;
    let damaged = |reason: String| LoadError::Damaged { path: shown(&image.config), reason };
    let config: ImageConfig = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != image.layers.len() {
        let (listed, own) = (image.layers.len(), diff_ids.len());
        return Err(damaged(format!("it has {own} layers, but the archive lists {listed}")));
    }
    let mut parent = None;
    for ((path, diff_id), chain_id) in image.layers.iter().zip(diff_ids).zip(config.chain_ids()) {
        if store.layer(&chain_id)?.is_none() {
            files.with_blob(store, path, |parked| place_parked(store, parked, parent, *diff_id, home))?;
        }
        parent = Some(chain_id);
    }
    let id = store.commit_bytes(&bytes, &config, &image.names, None)?;
    Ok(Loaded { id, names: image.names.clone() })
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
        let limits = Limits { entries: 100_000, ..Limits::default() };
        let mut files = HashMap::new();
        // Nobody asks for the digest of the archive itself.
        let unneeded = Some(Digest::of(b""));
        each(input, &limits, unneeded, |entry, path, data| {
            let staged = match entry.kind {
                Kind::File if entry.size <= SMALL => small(path, data)?,
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
