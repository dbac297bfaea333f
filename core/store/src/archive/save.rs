//! Images -> one archive.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use serde_json::{Value, json};
use wharf_model::{Digest, Reference};

use super::{INDEX_TYPE, JSON_LIMIT, attested, blob_path, docker, oci};
use crate::image::MANIFEST_TYPE;
use crate::layer::{self, DiffError, HomeError, Layer, LayerHome, Line, Scribe, Times};
use crate::{BlobError, Image, RecordError, Store};

/// An image to save, and the names that it shall have in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The image.
    pub image: Digest,
    /// Its names.
    pub names: Vec<Reference>,
    /// The index that the names lead to, to be saved with its images that are here.
    pub index: Option<Digest>,
    /// Only these of its images; all of them when there are none.
    pub only: Vec<Digest>,
    /// What is said about it, in an archive of the second form.
    pub statement: Option<Statement>,
}

/// An in-toto statement about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What kind of thing it says.
    pub predicate_type: String,
    /// All of it, as JSON.
    pub text: Vec<u8>,
}

/// Who shall be able to read the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Docker, and whoever reads OCI layouts.
    Docker,
    /// The latter only.
    Oci,
}

/// Why images can not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// No such image.
    #[error("no such image: {0}")]
    Unknown(Digest),
    /// A blob can not be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The directory of a layer can not be opened.
    #[error("cannot open layer {layer}")]
    Home {
        /// Which.
        layer: Digest,
        /// Why not.
        source: HomeError,
    },
    /// The directory of a layer can not be read.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// The directory of a layer was changed.
    #[error("layer {expected} was changed on disk: it is {found} now")]
    Changed {
        /// Its diff id.
        expected: Digest,
        /// What it is now.
        found: Digest,
    },
    /// The archive can not be written.
    #[error("cannot write the archive")]
    Write(#[from] io::Error),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Writes images to one archive. The same images give the
/// same bytes.
///
/// # Errors
/// When an image is not whole any more, or `out` refuses.
pub fn save(
    store: &Store,
    what: &[Saved],
    home: &mut dyn LayerHome,
    form: Form,
    out: impl Write,
) -> Result<(), SaveError> {
    let _guard = store.guard()?;
    let mut archive = Archive { scribe: Scribe::new(out), written: HashSet::new(), store };
    let (mut manifests, mut listed) = (Vec::new(), Vec::new());
    for saved in what {
        let image = store.image(&saved.image)?.ok_or(SaveError::Unknown(saved.image))?;
        archive.image(&image, home)?;
        let said = saved.statement.as_ref().filter(|_| form == Form::Oci);
        let top = match (archive.index(&image, saved, home)?, said) {
            (Some(index), _) => index,
            (None, Some(statement)) => archive.attested(&image, statement)?,
            (None, None) => manifest_of(store, &image)?,
        };
        manifests.extend(index_entries(&top, &saved.names));
        listed.push(docker_entry(&image, &saved.names));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests });
    archive.file(b"index.json", index.to_string().as_bytes())?;
    if form == Form::Docker {
        let text = serde_json::to_string(&listed).map_err(io::Error::from)?;
        archive.file(b"manifest.json", text.as_bytes())?;
    }
    archive.file(b"oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    if let (Form::Docker, Some(text)) = (form, docker::repositories(&listed)) {
        archive.file(b"repositories", text.as_bytes())?;
    }
    archive.scribe.finish()?.flush()?;
    Ok(())
}

/// The descriptor of an image's manifest.
fn manifest_of(store: &Store, image: &Image) -> Result<Value, SaveError> {
    let text = store.blobs().read(&image.manifest, JSON_LIMIT)?;
    Ok(descriptor(&image.manifest, &text, MANIFEST_TYPE))
}

/// A document's, of the type that it says of itself.
fn descriptor(digest: &Digest, text: &[u8], usual: &str) -> Value {
    let said: Value = serde_json::from_slice(text).unwrap_or_default();
    let kind = said["mediaType"].as_str().unwrap_or(usual);
    json!({ "mediaType": kind, "digest": digest, "size": text.len() })
}

/// A descriptor once for each name.
fn index_entries(top: &Value, names: &[Reference]) -> Vec<Value> {
    let entry = |annotations: BTreeMap<&str, String>| {
        let mut entry = top.clone();
        if !annotations.is_empty() {
            entry["annotations"] = json!(annotations);
        }
        entry
    };
    if names.is_empty() {
        return vec![entry(BTreeMap::new())];
    }
    let named = names.iter().map(|name| {
        let tag = name.tag().map(|tag| ("org.opencontainers.image.ref.name", tag.to_owned()));
        entry([("io.containerd.image.name", name.to_string())].into_iter().chain(tag).collect())
    });
    named.collect()
}

fn docker_entry(image: &Image, names: &[Reference]) -> docker::Manifest {
    let path = |digest: &Digest| String::from_utf8_lossy(&blob_path(digest)).into_owned();
    let tagged = names.iter().filter(|name| name.tag().is_some());
    let tags: Vec<String> = tagged.map(Reference::familiar).collect();
    docker::Manifest {
        config: path(&image.id),
        repo_tags: (!tags.is_empty()).then_some(tags),
        layers: Some(image.layers.iter().map(|layer| path(&blob_of(layer))).collect()),
    }
}

/// The blob a layer came in, or that of its uncompressed tar.
fn blob_of(layer: &Layer) -> Digest {
    layer.blob.unwrap_or(layer.diff_id)
}

struct Archive<'a, W> {
    scribe: Scribe<W>,
    written: HashSet<Digest>,
    store: &'a Store,
}

impl<W: Write> Archive<'_, W> {
    fn image(&mut self, image: &Image, home: &mut dyn LayerHome) -> Result<(), SaveError> {
        let chain: Vec<Digest> = image.layers.iter().map(|layer| layer.chain_id).collect();
        for (height, layer) in image.layers.iter().enumerate() {
            if !self.written.insert(blob_of(layer)) {
                continue;
            }
            match layer.blob {
                Some(blob) => self.blob(&blob)?,
                None => {
                    let parents: Vec<Digest> = chain[..height].iter().rev().copied().collect();
                    self.layer(layer, &parents, home)?;
                }
            }
        }
        self.once(&image.id)?;
        self.once(&image.manifest)
    }

    /// The index that an image's names lead to, with all its images that are here as it lists them. `None` when
    /// there is none, or it does not lead to this image any more.
    fn index(
        &mut self,
        image: &Image,
        saved: &Saved,
        home: &mut dyn LayerHome,
    ) -> Result<Option<Value>, SaveError> {
        let (Some(index), Some(name)) = (saved.index, saved.names.first()) else { return Ok(None) };
        let Ok(text) = self.store.blobs().read(&index, JSON_LIMIT) else { return Ok(None) };
        let mut listed = Vec::new();
        let wanted = |variant: &Image| saved.only.is_empty() || saved.only.contains(&variant.id);
        for variant in self.store.variants(name)?.into_iter().filter(wanted) {
            let manifest = self.listed(&variant, &oci::entries(&text))?;
            listed.extend(manifest.map(|manifest| (variant, manifest)));
        }
        if !listed.iter().any(|(variant, _)| variant.id == image.id) {
            return Ok(None);
        }
        for (variant, manifest) in &listed {
            self.image(variant, home)?;
            self.once(manifest)?;
        }
        self.once(&index)?;
        Ok(Some(descriptor(&index, &text, INDEX_TYPE)))
    }

    /// Which of these manifests is the image's, with the blobs that its layers have here.
    fn listed(&self, image: &Image, entries: &[Digest]) -> Result<Option<Digest>, SaveError> {
        let remotes = self.store.remotes().of(&image.id)?;
        let own = remotes.iter().map(|remote| remote.manifest).chain([image.manifest]);
        let blobs: Vec<Digest> =
            [image.id].into_iter().chain(image.layers.iter().filter_map(|layer| layer.blob)).collect();
        let is_as_here = |digest: &Digest| {
            let text = self.store.blobs().read(digest, JSON_LIMIT);
            text.is_ok_and(|text| oci::parts(&text) == blobs)
        };
        Ok(own.into_iter().find(|digest| entries.contains(digest) && is_as_here(digest)))
    }

    fn once(&mut self, digest: &Digest) -> Result<(), SaveError> {
        if self.written.insert(*digest) { self.blob(digest) } else { Ok(()) }
    }

    /// An index of an image and of what is said about it; its descriptor.
    fn attested(&mut self, image: &Image, statement: &Statement) -> Result<Value, SaveError> {
        let about = manifest_of(self.store, image)?;
        let beside = attested::index(&about, &image.config.platform(), statement.clone());
        for blob in [&beside.layer, &beside.config, &beside.manifest, &beside.index] {
            let digest = Digest::of(blob);
            if self.written.insert(digest) {
                self.file(&blob_path(&digest), blob)?;
            }
        }
        Ok(beside.descriptor())
    }

    fn blob(&mut self, digest: &Digest) -> Result<(), SaveError> {
        let file = self.store.blobs().open(digest)?;
        let size = self.store.blobs().size(digest)?;
        self.scribe.line(&line(&blob_path(digest), size))?;
        copy(file, size, &mut Data(&mut self.scribe))?;
        Ok(self.scribe.pad()?)
    }

    /// Makes the tar of a layer again.
    fn layer(
        &mut self,
        layer: &Layer,
        parents: &[Digest],
        home: &mut dyn LayerHome,
    ) -> Result<(), SaveError> {
        self.scribe.line(&line(&blob_path(&layer.diff_id), layer.tar_size))?;
        remake(layer, parents, home, &mut Data(&mut self.scribe))?;
        Ok(self.scribe.pad()?)
    }

    fn file(&mut self, path: &[u8], bytes: &[u8]) -> io::Result<()> {
        self.scribe.line(&line(path, bytes.len() as u64))?;
        self.scribe.data(bytes)?;
        self.scribe.pad()
    }
}

/// Writes the blob that a layer came in, or its tar, made again.
///
/// # Errors
/// When the layer is not whole any more, or `out` refuses.
pub fn write_layer(
    store: &Store,
    layer: &Layer,
    home: &mut dyn LayerHome,
    out: &mut dyn Write,
) -> Result<(), SaveError> {
    if let Some(blob) = layer.blob {
        return Ok(copy(store.blobs().open(&blob)?, store.blobs().size(&blob)?, out)?);
    }
    let chain = store.database.read(|database| layer::chain(database, &layer.chain_id))?;
    let parents: Vec<Digest> = chain.iter().rev().skip(1).map(|below| below.chain_id).collect();
    remake(layer, &parents, home, out)
}

/// Makes the tar of a layer again.
fn remake(
    layer: &Layer,
    parents: &[Digest],
    home: &mut dyn LayerHome,
    out: &mut dyn Write,
) -> Result<(), SaveError> {
    let opened = home.open(&layer.chain_id, parents);
    let (dir, parent) = opened.map_err(|source| SaveError::Home { layer: layer.chain_id, source })?;
    let parent = parent.as_ref().map(AsFd::as_fd);
    let found = layer::diff(dir.as_fd(), parent, home.format(), &Times::KEEP, out)?;
    if (found.diff_id, found.tar_size) != (layer.diff_id, layer.tar_size) {
        return Err(SaveError::Changed { expected: layer.diff_id, found: found.diff_id });
    }
    Ok(())
}

fn copy(file: File, size: u64, out: &mut dyn Write) -> io::Result<()> {
    let copied = io::copy(&mut file.take(size), out)?;
    if copied == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn line(path: &[u8], size: u64) -> Line {
    Line { mode: 0o644, size, ..Line::deletion(path.to_vec()) }
}

/// The data of the archive's current entry.
struct Data<'a, W>(&'a mut Scribe<W>);

impl<W: Write> Write for Data<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.data(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
