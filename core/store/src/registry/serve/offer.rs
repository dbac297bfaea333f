//! What is here, as a registry would have it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;

use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use wharf_model::{Digest, Reference};

use super::content::{Content, JSON};
use super::route::{Asked, Page, Refused, Span};
use crate::archive::{INDEX_TYPE, SaveError};
use crate::image::MANIFEST_TYPE;
use crate::record::repository;
use crate::registry::document::{self, Document, LIMIT};
use crate::registry::payload::Part;
use crate::{Image, Layer, RecordError, Store};

/// Writes layers that are directories.
pub trait Layers: Send + Sync {
    /// Writes a layer's uncompressed tar.
    ///
    /// # Errors
    /// When the layer is not whole any more, or `out` refuses.
    fn write(&self, layer: &Layer, out: &mut dyn Write) -> Result<(), SaveError>;
}

/// The images that are offered.
pub struct Offer {
    store: &'static Store,
    layers: Arc<dyn Layers>,
    only: Vec<Reference>,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Offer").field("only", &self.only).finish_non_exhaustive()
    }
}

/// A blob of an image.
enum Blob {
    /// In the store.
    Kept(Digest),
    /// A layer that is made from its directory.
    Made(Layer),
}

impl Offer {
    /// Offers the images of these names, or all that have a name when there are none.
    pub fn new(store: &'static Store, layers: Arc<dyn Layers>, only: Vec<Reference>) -> Self {
        Self { store, layers, only }
    }

    /// For HEAD, no layer is made.
    pub(super) fn answer(&self, asked: &Asked, is_head: bool) -> Result<Response<Content>, Refused> {
        match asked {
            Asked::Base => Ok(document_of(json!({}).to_string(), JSON)),
            Asked::Catalog(page) => self.catalog(page),
            Asked::Tags(name, page) => self.tags(name, page),
            Asked::Manifest(name, tag) => self.manifest(name, tag),
            Asked::Blob(name, digest, span) => self.blob(name, digest, *span, is_head),
        }
    }

    fn catalog(&self, page: &Page) -> Result<Response<Content>, Refused> {
        let names = self.store.names().map_err(|error: RecordError| Refused::failed(&error))?;
        let offered = names.iter().filter(|name| self.is_offered(name)).map(Reference::familiar_name);
        Ok(list(json!({}), "repositories", "/v2/_catalog", offered.collect(), page))
    }

    fn tags(&self, path: &str, page: &Page) -> Result<Response<Content>, Refused> {
        let images = self.images(path)?;
        let tags = images.iter().filter_map(|(name, _)| name.tag().map(str::to_owned));
        Ok(list(json!({ "name": path }), "tags", &format!("/v2/{path}/tags/list"), tags.collect(), page))
    }

    fn manifest(&self, path: &str, tag: &str) -> Result<Response<Content>, Refused> {
        let digest = tag.parse::<Digest>().ok();
        for (name, image) in self.images(path)? {
            if digest.is_none() && name.tag() != Some(tag) {
                continue;
            }
            for (own, text, kind) in self.documents(&name, &image)? {
                if digest.is_none_or(|digest| digest == own) {
                    return Ok(manifest_answer(&own, text, &kind));
                }
            }
        }
        Err(Refused::unknown("MANIFEST_UNKNOWN", format!("{path} has no {tag} here")))
    }

    fn blob(
        &self,
        path: &str,
        digest: &Digest,
        span: Span,
        is_head: bool,
    ) -> Result<Response<Content>, Refused> {
        let images = self.images(path)?;
        let found = images.iter().find_map(|(_, image)| blob_of(image, digest));
        let found = found
            .ok_or_else(|| Refused::unknown("BLOB_UNKNOWN", format!("no image of {path} here has it")))?;
        let size = match &found {
            Blob::Kept(digest) => self.store.blobs().size(digest).map_err(|error| Refused::failed(&error))?,
            Blob::Made(layer) => layer.tar_size,
        };
        let (first, length) = bounds(span, size).ok_or_else(|| Refused {
            status: StatusCode::RANGE_NOT_SATISFIABLE,
            code: "BLOB_UPLOAD_INVALID",
            message: format!("it is {size} bytes long"),
        })?;
        let content = match found {
            Blob::Kept(digest) => {
                let file = self.store.blobs().open(&digest).map_err(|error| Refused::failed(&error))?;
                Content::Part(part(file, first, length).map_err(|error| Refused::failed(&error))?)
            }
            Blob::Made(_) if is_head => Content::Nothing,
            Blob::Made(layer) => self.made(layer, first, length),
        };
        let mut answer = Response::new(content);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert("accept-ranges", HeaderValue::from_static("bytes"));
        insert(headers, "docker-content-digest", &digest.to_string());
        if span != Span::All {
            let last = (first + length).saturating_sub(1);
            insert(headers, "content-range", &format!("bytes {first}-{last}/{size}"));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(answer)
    }

    fn made(&self, layer: Layer, first: u64, length: u64) -> Content {
        let (store, layers) = (self.store, Arc::clone(&self.layers));
        Content::made(first, length, move |out| {
            // The layer is not removed while it is read.
            let _guard = store.guard().map_err(io::Error::other)?;
            layers.write(&layer, out).map_err(io::Error::other)
        })
    }

    fn is_offered(&self, name: &Reference) -> bool {
        self.only.is_empty() || self.only.contains(name)
    }

    /// The names of one repository that are offered, with their images; never none.
    fn images(&self, path: &str) -> Result<Vec<(Reference, Image)>, Refused> {
        let unknown = || Refused::unknown("NAME_UNKNOWN", format!("there is no {path} here"));
        let wanted = repository(&path.parse::<Reference>().map_err(|_| unknown())?);
        let named = self.store.named_in(&wanted);
        let mut named = named.map_err(|error: RecordError| Refused::failed(&error))?;
        named.retain(|(name, _)| self.is_offered(name));
        if named.is_empty() { Err(unknown()) } else { Ok(named) }
    }

    /// What a name leads to, the first that can be given: its index, when the image is one of those that
    /// this lists; the manifests that registries have of the image, so that it keeps its digest; our own.
    /// Of the other images that an index lists, some may be missing.
    fn documents(&self, name: &Reference, image: &Image) -> Result<Vec<Written>, Refused> {
        let failed = |error: RecordError| Refused::failed(&error);
        let index = self.store.index_of(name).map_err(failed)?;
        let index = index.and_then(|digest| self.index(digest));
        let entries = index.as_ref().map(|(_, entries)| entries.as_slice()).unwrap_or_default();
        let listed: Vec<Written> = entries.iter().filter_map(|entry| self.whole(image, entry)).collect();
        let remotes = self.store.remotes().of(&image.id).map_err(failed)?;
        let others = remotes.iter().map(|remote| remote.manifest).chain([image.manifest]);
        let others: Vec<Written> = others.filter_map(|digest| self.whole(image, &digest)).collect();
        let index = index.filter(|_| !listed.is_empty()).map(|(index, _)| index);
        Ok(index.into_iter().chain(listed).chain(others).collect())
    }

    /// An index that is here, and what it lists.
    fn index(&self, digest: Digest) -> Option<(Written, Vec<Digest>)> {
        let text = self.store.blobs().read(&digest, LIMIT).ok()?;
        let Ok(Document::Index(entries)) = document::parse("an index", &text, INDEX_TYPE) else {
            return None;
        };
        let said: Value = serde_json::from_slice(&text).ok()?;
        let kind = said["mediaType"].as_str().unwrap_or(INDEX_TYPE).to_owned();
        Some(((digest, text, kind), entries.into_iter().map(|entry| entry.digest).collect()))
    }

    /// A manifest of the image whose blobs can all be given.
    fn whole(&self, image: &Image, digest: &Digest) -> Option<Written> {
        let text = self.store.blobs().read(digest, LIMIT).ok()?;
        let Ok(Document::Manifest(manifest)) = document::parse("a manifest", &text, MANIFEST_TYPE) else {
            return None;
        };
        let mut parts = manifest.layers.iter().chain([&manifest.config]);
        let is_whole = parts.all(|part| blob_of(image, &part.digest).is_some());
        is_whole.then_some((*digest, text, manifest.media_type))
    }
}

/// A document's digest, its bytes and its type.
type Written = (Digest, Vec<u8>, String);

/// A blob as it is part of an image; nothing else is given.
fn blob_of(image: &Image, digest: &Digest) -> Option<Blob> {
    if image.id == *digest {
        return Some(Blob::Kept(*digest));
    }
    image.layers.iter().find_map(|layer| match layer.blob {
        Some(blob) => (blob == *digest).then_some(Blob::Kept(blob)),
        None => (layer.diff_id == *digest).then(|| Blob::Made(layer.clone())),
    })
}

/// Where a span begins and how long it is; `None` when there is no such byte.
fn bounds(span: Span, size: u64) -> Option<(u64, u64)> {
    match span {
        Span::All => Some((0, size)),
        Span::From(first, last) => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            (first < size).then(|| (first, end - first))
        }
    }
}

fn part(mut file: File, first: u64, length: u64) -> io::Result<Part> {
    file.seek(SeekFrom::Start(first))?;
    Ok(Part::new(file, length, Arc::default()))
}

fn manifest_answer(digest: &Digest, text: Vec<u8>, kind: &str) -> Response<Content> {
    let kind = HeaderValue::from_str(kind).unwrap_or(HeaderValue::from_static(MANIFEST_TYPE));
    let mut answer = document_of(text, kind);
    insert(answer.headers_mut(), "docker-content-digest", &digest.to_string());
    answer
}

fn document_of(text: impl Into<bytes::Bytes>, kind: HeaderValue) -> Response<Content> {
    let text = text.into();
    let length = text.len() as u64;
    let mut answer = Response::new(Content::text(text));
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    answer
}

fn insert(headers: &mut hyper::HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A page of a list, and where the next one is ("Listing Tags" of the distribution specification).
fn list(mut document: Value, key: &str, url: &str, all: BTreeSet<String>, page: &Page) -> Response<Content> {
    let mut rest = all.into_iter().filter(|item| *item > page.after);
    let items: Vec<String> = rest.by_ref().take(page.most).collect();
    let last = items.last().filter(|_| rest.next().is_some()).map(|last| {
        let last: String = url::form_urlencoded::byte_serialize(last.as_bytes()).collect();
        format!("<{url}?n={}&last={last}>; rel=\"next\"", page.most)
    });
    document[key] = items.into();
    let mut answer = document_of(document.to_string(), JSON);
    if let Some(link) = last {
        insert(answer.headers_mut(), "link", &link);
    }
    answer
}
