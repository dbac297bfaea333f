//! From a name to the manifest of one image: the tag's document, and the way through its indexes.

use std::collections::VecDeque;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use wharf_model::{Digest, Reference};

use super::document::{self, ACCEPTED, Descriptor, Document, LIMIT, Manifest, Wanted};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::payload::Payload;
use super::pull::Found;
use super::session::{Call, Session};

/// Indexes within each other.
const DEPTH: usize = 3;
const DIGEST_HEADER: &str = "docker-content-digest";

/// The manifest that a name stands for.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// Where it was found.
    pub(super) endpoint: Endpoint,
    /// Who would have been asked next: what the first does not give may come from them.
    pub(super) others: Vec<Endpoint>,
    /// What the name itself leads to: an index, or the manifest.
    pub(crate) digest: Digest,
    /// The manifest's own digest.
    pub(crate) manifest_digest: Digest,
    pub(crate) manifest: Manifest,
    /// The documents on the way, as they came: the last is the manifest.
    pub(crate) documents: Vec<Vec<u8>>,
}

impl Resolved {
    /// What a judge is told.
    pub(super) fn found(&self) -> Found {
        let layers = self.manifest.layers.iter().map(|layer| layer.digest).collect();
        Found { manifest: self.manifest_digest, layers }
    }

    /// Where its blobs are asked for, in order.
    pub(super) fn places(&self) -> Vec<Endpoint> {
        [&self.endpoint].into_iter().chain(&self.others).cloned().collect()
    }
}

impl Session {
    /// Asks mirrors, then the registry, for what a name stands for.
    pub(crate) async fn resolve(
        &self,
        name: &Reference,
        what: Wanted<'_>,
    ) -> Result<Resolved, RegistryError> {
        let mut sources = VecDeque::from(self.sources(name)?);
        let mut tried = Vec::new();
        while let Some(source) = sources.pop_front() {
            let host = source.host();
            match self.resolve_at(source, name, what).await {
                Ok(found) => return Ok(Resolved { others: sources.into(), ..found }),
                Err(error) if sources.is_empty() => return Err(error.after(tried)),
                // Whatever is wrong with a mirror, those after it may be well.
                Err(error) => tried.push((host, error)),
            }
        }
        Err(RegistryError::Missing { what: name.to_string(), said: "no server".to_owned() })
    }

    /// The document that a name itself leads to, and its type.
    pub(super) async fn first_document(&self, name: &Reference) -> Result<(Vec<u8>, String), RegistryError> {
        let what = format!("the manifest of {}", name.familiar());
        let mut tried = Vec::new();
        for endpoint in self.sources(name)? {
            let (tag, wanted) = tag_of(name);
            match self.document(&endpoint, &tag, wanted, &what).await {
                Ok((_, text, kind)) => return Ok((text, kind)),
                Err(error) => tried.push((endpoint.host(), error)),
            }
        }
        // The registry itself comes last.
        let last = tried.pop().map(|(_, error)| error);
        let nobody = || RegistryError::Missing { what, said: "no server".to_owned() };
        Err(last.unwrap_or_else(nobody).after(tried))
    }

    async fn resolve_at(
        &self,
        endpoint: Endpoint,
        name: &Reference,
        asked: Wanted<'_>,
    ) -> Result<Resolved, RegistryError> {
        let (tag, wanted) = tag_of(name);
        let what = format!("the manifest of {}", name.familiar());
        let (digest, text, kind) = self.document(&endpoint, &tag, wanted, &what).await?;
        let mut document = document::parse_as(asked, &what, &text, &kind)?;
        let (mut documents, mut last) = (vec![text], digest);
        for _ in 0..=DEPTH {
            let entries = match document {
                Document::Manifest(manifest) => {
                    let others = Vec::new();
                    let manifest_digest = last;
                    return Ok(Resolved {
                        endpoint,
                        others,
                        digest,
                        manifest_digest,
                        manifest: *manifest,
                        documents,
                    });
                }
                Document::Index(entries) => entries,
            };
            let chosen = asked.choose(&name.familiar(), &entries)?;
            let wanted = Some((chosen.digest, Some(chosen.size)));
            let tag = chosen.digest.to_string();
            let (found, text, kind) = self.document(&endpoint, &tag, wanted, &what).await?;
            let kind = if chosen.media_type.is_empty() { kind } else { chosen.media_type };
            document = document::parse_as(asked, &what, &text, &kind)?;
            documents.push(text);
            last = found;
        }
        Err(RegistryError::Damaged { what, reason: "indexes are nested too deep".to_owned() })
    }

    /// A document, verified as far as its digest and length are known; and its type.
    pub(super) async fn document(
        &self,
        endpoint: &Endpoint,
        tag: &str,
        wanted: Option<(Digest, Option<u64>)>,
        what: &str,
    ) -> Result<(Digest, Vec<u8>, String), RegistryError> {
        let call = Call {
            endpoint,
            method: Method::GET,
            url: endpoint.url(&format!("manifests/{tag}")),
            headers: accept(),
            body: Payload::None,
            scopes: &pull_scope(endpoint),
            what: what.to_owned(),
        };
        let (headers, text) = self.whole(&call, LIMIT).await?;
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (kind, said) = (header(CONTENT_TYPE.as_str()), header(DIGEST_HEADER));
        let found = Digest::of(&text);
        check(what, (found, text.len() as u64), wanted)?;
        if said.parse::<Digest>().is_ok_and(|said| said != found) {
            return Err(RegistryError::Misnamed { what: what.to_owned(), found, said });
        }
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        Ok((found, text, kind))
    }

    /// A small blob from the first of these places that has it, verified.
    pub(super) async fn small_blob_from(
        &self,
        places: &[Endpoint],
        descriptor: &Descriptor,
        what: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut found = Err(RegistryError::Missing { what: what.to_owned(), said: "no server".to_owned() });
        for place in places {
            found = self.small_blob(place, descriptor, what).await;
            if found.is_ok() {
                break;
            }
        }
        found
    }

    /// A small blob, verified.
    pub(crate) async fn small_blob(
        &self,
        endpoint: &Endpoint,
        descriptor: &Descriptor,
        what: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        if descriptor.size > LIMIT {
            return Err(RegistryError::TooLong { what: what.to_owned(), limit: LIMIT });
        }
        let call = Call {
            endpoint,
            method: Method::GET,
            url: endpoint.url(&format!("blobs/{}", descriptor.digest)),
            headers: HeaderMap::new(),
            body: Payload::None,
            scopes: &pull_scope(endpoint),
            what: what.to_owned(),
        };
        let (_, text) = self.whole(&call, LIMIT).await?;
        let wanted = Some((descriptor.digest, Some(descriptor.size)));
        check(what, (Digest::of(&text), text.len() as u64), wanted)?;
        Ok(text)
    }
}

/// What a document is asked for by, and the digest that it must have.
pub(super) fn tag_of(name: &Reference) -> (String, Option<(Digest, Option<u64>)>) {
    let wanted = name.digest().map(|digest| (digest, None));
    let tag = || name.tag().unwrap_or("latest").to_owned();
    (name.digest().map_or_else(tag, |digest| digest.to_string()), wanted)
}

/// What a token for reading must allow.
pub(super) fn pull_scope(endpoint: &Endpoint) -> [String; 1] {
    [format!("repository:{}:pull", endpoint.repository)]
}

fn accept() -> HeaderMap {
    let values = ACCEPTED.iter().map(|kind| (ACCEPT, HeaderValue::from_static(kind)));
    let mut headers = HeaderMap::new();
    for (name, value) in values {
        headers.append(name, value);
    }
    headers
}

fn check(
    what: &str,
    (found, found_size): (Digest, u64),
    wanted: Option<(Digest, Option<u64>)>,
) -> Result<(), RegistryError> {
    match wanted {
        Some((expected, size)) if found != expected || size.is_some_and(|size| size != found_size) => {
            Err(RegistryError::Mismatch {
                what: what.to_owned(),
                found,
                found_size,
                expected,
                expected_size: size.unwrap_or(found_size),
            })
        }
        _ => Ok(()),
    }
}
