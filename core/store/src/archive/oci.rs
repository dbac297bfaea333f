//! `index.json` of an OCI image layout.
//!
//! An index may list further indexes, for instance one image for several platforms; all of its images that are in
//! the archive are listed, and know which index their name leads to. Each document is looked at once, however often
//! and however deep it is listed, so an archive of a few kilobytes can not keep anybody busy.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use serde::Deserialize;
use wharf_model::{Digest, Platform, Reference};

use super::{Listed, LoadError, Named, Part, blob_path};
use crate::image::is_of_other_kind;
use crate::layer::shown;

/// Indexes within each other.
const DEPTH: usize = 4;
/// Names in all, each for each image that it leads to.
const NAMED: usize = 100_000;
/// Bytes of manifests and indexes that are kept in memory.
const HELD: usize = 64 << 20;
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
/// It says that a manifest is about another one.
const ABOUT: &str = "vnd.docker.reference.type";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: Option<u64>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    platform: Option<Platform>,
}

/// An index has `manifests`, a manifest has `config` and `layers`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

type ReadFile<'a> = dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, LoadError> + 'a;

/// What an `index.json` lists.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) images: Vec<Listed>,
    /// The texts of the indexes that names lead to.
    pub(super) indexes: Vec<Vec<u8>>,
}

/// Reads the index; `read` gives the other files of the archive.
pub(super) fn layout(text: &[u8], read: &ReadFile<'_>) -> Result<Layout, LoadError> {
    let document = parse("index.json", text)?;
    let (layout, seen, kept) = (Layout::default(), HashMap::new(), HashSet::new());
    let mut walk = Walk { read, layout, seen, kept, named: 0, held: 0 };
    for descriptor in document.manifests.unwrap_or_default() {
        walk.top(&descriptor)?;
    }
    Ok(walk.layout)
}

/// What an index lists; nothing when it is none.
pub(super) fn entries(text: &[u8]) -> Vec<Digest> {
    let manifests = serde_json::from_slice(text).ok().and_then(|document: Document| document.manifests);
    manifests.unwrap_or_default().iter().map(|entry| entry.digest).collect()
}

/// The config and the layers that a manifest lists; nothing when it is none.
pub(super) fn parts(text: &[u8]) -> Vec<Digest> {
    let Ok(document) = serde_json::from_slice::<Document>(text) else { return Vec::new() };
    let parts = document.config.into_iter().chain(document.layers.unwrap_or_default());
    parts.map(|part| part.digest).collect()
}

struct Walk<'a> {
    read: &'a ReadFile<'a>,
    layout: Layout,
    seen: HashMap<Digest, Found>,
    /// Whose texts are in the layout.
    kept: HashSet<Digest>,
    named: usize,
    held: usize,
}

/// Which images a document leads to.
#[derive(Debug, Clone)]
struct Found {
    is_index: bool,
    places: Rc<[usize]>,
}

/// What a descriptor leads to.
enum Led {
    To(Found),
    /// It is not in the archive.
    Nowhere,
}

impl Walk<'_> {
    fn top(&mut self, descriptor: &Descriptor) -> Result<(), LoadError> {
        let path = blob_path(&descriptor.digest);
        let Led::To(found) = self.visit(descriptor, DEPTH)? else {
            return Err(LoadError::Missing(shown(&path)));
        };
        let names = names(descriptor);
        self.named += names.len() * found.places.len();
        if self.named > NAMED {
            return Err(much(format!("it gives more than {NAMED} names")));
        }
        let via = found.is_index.then_some(descriptor.digest);
        if found.is_index
            && !names.is_empty()
            && !found.places.is_empty()
            && self.kept.insert(descriptor.digest)
            && let Some(text) = (self.read)(&path)?
        {
            self.hold(text.len())?;
            self.layout.indexes.push(text);
        }
        for place in found.places.iter() {
            let Some(image) = self.layout.images.get_mut(*place) else { continue };
            image.names.extend(names.iter().map(|name| Named { name: name.clone(), via }));
        }
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), LoadError> {
        self.held += bytes;
        if self.held > HELD {
            Err(much(format!("it lists more than {HELD} bytes of manifests")))
        } else {
            Ok(())
        }
    }

    fn visit(&mut self, descriptor: &Descriptor, depth: usize) -> Result<Led, LoadError> {
        if let Some(found) = self.seen.get(&descriptor.digest) {
            return Ok(Led::To(found.clone()));
        }
        let path = shown(&blob_path(&descriptor.digest));
        let Some(text) = (self.read)(path.as_bytes())? else { return Ok(Led::Nowhere) };
        let damaged = |reason: &str| LoadError::Damaged { path: path.clone(), reason: reason.into() };
        let is_size = descriptor.size.is_none_or(|size| size == text.len() as u64);
        if Digest::of(&text) != descriptor.digest || !is_size {
            return Err(damaged("it is another one than the index lists: its digest or its length is wrong"));
        }
        let document = parse(&path, &text)?;
        let is_index = document.manifests.is_some();
        let kinds = [Some(&descriptor.media_type), document.media_type.as_ref()];
        if let Some(kind) = kinds.into_iter().flatten().find(|kind| is_of_other_kind(kind, is_index)) {
            return Err(damaged(&format!("it is not of its type, {kind}")));
        }
        let places = match (document.manifests, document.config, document.layers) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                return Err(damaged("it is both an index and a manifest"));
            }
            (Some(_), ..) if depth == 0 => return Err(damaged("indexes are nested too deep")),
            (Some(manifests), None, None) => self.entries(&manifests, depth)?,
            (None, Some(config), Some(layers)) if is_config(&config) => {
                let (config, layers) = (part(&config), layers.iter().map(part).collect());
                self.hold(text.len())?;
                let manifest = Some(text);
                self.layout.images.push(Listed { config, layers, names: Vec::new(), manifest });
                vec![self.layout.images.len() - 1]
            }
            // An artifact, or nothing that is known.
            _ => Vec::new(),
        };
        let found = Found { is_index, places: places.into() };
        self.seen.insert(descriptor.digest, found.clone());
        Ok(Led::To(found))
    }

    /// An archive may hold some of an index's images only, and not none.
    fn entries(&mut self, entries: &[Descriptor], depth: usize) -> Result<Vec<usize>, LoadError> {
        let (mut places, mut missing, mut looked) = (Vec::new(), None, HashSet::new());
        for entry in entries.iter().filter(|entry| is_image(entry) && looked.insert(entry.digest)) {
            match self.visit(entry, depth - 1)? {
                Led::To(found) => places.extend(found.places.iter().copied()),
                Led::Nowhere => missing = missing.or(Some(entry.digest)),
            }
        }
        places.sort_unstable();
        places.dedup();
        match missing.filter(|_| places.is_empty()) {
            Some(digest) => Err(LoadError::Missing(shown(&blob_path(&digest)))),
            None => Ok(places),
        }
    }
}

fn much(reason: String) -> LoadError {
    LoadError::Damaged { path: "index.json".into(), reason }
}

/// Not what is said about one.
fn is_image(entry: &Descriptor) -> bool {
    let is_for_none = entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
    !is_for_none && !entry.annotations.contains_key(ABOUT)
}

fn is_config(config: &Descriptor) -> bool {
    let kind = config.media_type.as_str();
    kind.is_empty() || kind.contains("image.config.") || kind.contains("container.image.")
}

fn part(descriptor: &Descriptor) -> Part {
    Part { path: blob_path(&descriptor.digest), is: Some((descriptor.digest, descriptor.size)) }
}

fn parse(path: &str, text: &[u8]) -> Result<Document, LoadError> {
    let damaged =
        |error: serde_json::Error| LoadError::Damaged { path: path.into(), reason: error.to_string() };
    serde_json::from_slice(text).map_err(damaged)
}

/// Some writers put only the tag into the second annotation; that is no name.
fn names(descriptor: &Descriptor) -> Vec<Reference> {
    let texts = NAMES.iter().filter_map(|key| descriptor.annotations.get(*key));
    let full = texts.filter(|text| text.contains(['/', ':']));
    full.filter_map(|text| text.parse().ok()).take(1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    /// What is in the archive beside `index.json`.
    #[derive(Default)]
    struct Files {
        blobs: HashMap<Vec<u8>, Vec<u8>>,
        reads: Cell<usize>,
    }

    impl Files {
        /// Its descriptor.
        fn put(&mut self, kind: &str, text: impl Into<String>) -> String {
            let text = text.into();
            let digest = Digest::of(&text);
            let size = text.len();
            self.blobs.insert(blob_path(&digest), text.into_bytes());
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
        }

        fn image(&mut self, layer: &str) -> String {
            let part = |text: &str| format!(r#"{{"digest":"{}","size":{}}}"#, Digest::of(text), text.len());
            self.put(MANIFEST, format!(r#"{{"config":{},"layers":[{}]}}"#, part("config"), part(layer)))
        }

        fn layout(&self, entries: &str) -> Result<Layout, LoadError> {
            let read = |path: &[u8]| {
                self.reads.set(self.reads.get() + 1);
                Ok(self.blobs.get(path).cloned())
            };
            layout(format!(r#"{{"manifests":[{entries}]}}"#).as_bytes(), &read)
        }

        #[track_caller]
        fn refuses(&self, entries: &str, words: &str) {
            let error = self.layout(entries).unwrap_err().to_string();
            assert!(error.contains(words), "{error}\ndoes not say\n{words}");
        }
    }

    #[test]
    fn confused_documents_are_refused() {
        let mut files = Files::default();
        let image = files.image("layer");
        let both = files.put("", format!(r#"{{"manifests":[],"config":{image},"layers":[]}}"#));
        files.refuses(&both, "both an index and a manifest");
        files.refuses(&image.replace(MANIFEST, INDEX), "not of its type");
        let index = files.put(INDEX, format!(r#"{{"manifests":[{image}]}}"#));
        files.refuses(&index.replace(INDEX, MANIFEST), "not of its type");
        let liar = files.put("", format!(r#"{{"mediaType":"{MANIFEST}","manifests":[{image}]}}"#));
        files.refuses(&liar, "not of its type");
        files.refuses(&image.replace(r#""size":"#, r#""size":1"#), "its digest or its length");
        let nowhere = format!(r#"{{"digest":"{}","size":1}}"#, Digest::of("nowhere"));
        files.refuses(&nowhere, "is not in it");
        let empty = files.put(INDEX, format!(r#"{{"manifests":[{nowhere}]}}"#));
        files.refuses(&empty, "is not in it");
        files.refuses(r#"{"digest":"sha256:../../etc/passwd","size":1}"#, "damaged");
        files.refuses(&"[".repeat(100_000), "damaged");
    }

    #[test]
    fn every_image_of_an_index_that_is_there_is_listed_and_knows_its_index() {
        let mut files = Files::default();
        let (one, two) = (files.image("one"), files.image("two"));
        let nowhere = format!(r#"{{"digest":"{}","size":1}}"#, Digest::of("nowhere"));
        let about = r#","platform":{"os":"unknown","architecture":"unknown"}}"#;
        let about = format!("{}{about}", files.image("about").trim_end_matches('}'));
        let index = files.put(INDEX, format!(r#"{{"manifests":[{one},{nowhere},{about},{two}]}}"#));
        let name = r#","annotations":{"io.containerd.image.name":"localhost/app:1"}}"#;
        let named = |descriptor: &str| format!("{}{name}", descriptor.trim_end_matches('}'));
        let alone = named(&one).replace("app:1", "own:2");
        let found = files.layout(&format!("{},{alone},{one}", named(&index))).unwrap();
        assert_eq!((found.images.len(), found.indexes.len()), (2, 1));
        let via = Some(Digest::of(&found.indexes[0]));
        let name = |text: &str, via| Named { name: text.parse().unwrap(), via };
        assert_eq!(found.images[0].names, [name("localhost/app:1", via), name("localhost/own:2", None)]);
        assert_eq!(found.images[1].names, [name("localhost/app:1", via)]);
        assert_eq!(found.images[0].layers[0].is, Some((Digest::of("one"), Some(3))));
    }

    #[test]
    fn a_document_is_read_once_and_the_way_ends() {
        let mut files = Files::default();
        // Every level lists the one below five thousand times.
        let mut entry = files.image("layer");
        for _ in 0..4 {
            let entries = vec![entry.as_str(); 5000].join(",");
            entry = files.put(INDEX, format!(r#"{{"manifests":[{entries}]}}"#));
        }
        let all = vec![entry.as_str(); 5000].join(",");
        assert_eq!(files.layout(&all).unwrap().images.len(), 1);
        assert!(files.reads.get() < 10, "{}", files.reads.get());
        let deeper = files.put(INDEX, format!(r#"{{"manifests":[{entry}]}}"#));
        files.refuses(&deeper, "nested too deep");
    }

    #[test]
    fn names_are_not_multiplied_without_end() {
        let mut files = Files::default();
        let images: Vec<String> = (0..400).map(|number| files.image(&number.to_string())).collect();
        let index = files.put(INDEX, format!(r#"{{"manifests":[{}]}}"#, images.join(",")));
        let name =
            |number: usize| format!(r#","annotations":{{"io.containerd.image.name":"h.io/a:{number}"}}}}"#);
        let named = |count: usize| -> Vec<String> {
            (0..count).map(|number| format!("{}{}", index.trim_end_matches('}'), name(number))).collect()
        };
        let found = files.layout(&named(250).join(",")).unwrap();
        assert_eq!((found.images.len(), found.images[0].names.len(), found.indexes.len()), (400, 250, 1));
        files.refuses(&named(251).join(","), "more than 100000 names");
    }
}
