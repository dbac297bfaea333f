//! Signatures that a registry keeps beside an image.
//!
//! ```text
//! GET referrers/<digest>         an index of the manifests whose subject it is, page by page (OCI distribution 1.1)
//! tag sha256-<hex>               the same index, where the registry knows no referrers
//! tag sha256-<hex>.sig           cosign's own manifest, with one layer for each signature
//! ```
//!
//! What is kept there was sent by whoever may push: it is bounded, held against its digests, and not
//! believed. What is neither a sigstore bundle nor a payload of cosign's is passed over.

use std::collections::BTreeSet;

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use tokio::runtime::Runtime;
use wharf_model::{Digest, Reference};

use super::document::{self, Descriptor, Document, LIMIT};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::payload::Payload;
use super::resolve::{Resolved, pull_scope};
use super::session::{Call, Session, body, refusal};
use super::tags::next_page;
use crate::archive::INDEX_TYPE;

/// Things beside one image at most.
const MOST: usize = 64;
/// Pages of a list at most. What else is beside an image, such as lists of what is in it, may fill some.
const PAGES: usize = 20;
/// Bytes of one of them at most.
const LARGEST: u64 = 1 << 20;
/// How the types of what is read begin.
const READ: [&str; 2] =
    ["application/vnd.dev.sigstore.bundle", "application/vnd.dev.cosign.simplesigning.v1+json"];

/// Something beside an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// `referrer` or `tag`.
    pub origin: &'static str,
    /// What it is.
    pub media_type: String,
    /// What its descriptor says beside that.
    pub annotations: Vec<(String, String)>,
    /// All of it.
    pub content: Vec<u8>,
}

/// Where a pull found its image, to look for more.
pub struct Beside<'a> {
    pub(super) session: &'a Session,
    pub(super) runtime: &'a Runtime,
    pub(super) resolved: &'a Resolved,
    pub(super) name: &'a Reference,
}

/// A manifest, as far as it says whom it is about.
#[derive(Debug, Deserialize)]
struct About {
    subject: Option<Descriptor>,
}

impl Beside<'_> {
    /// From what the name leads to, through indexes, to the manifest; each document lists the next one.
    pub fn digests(&self) -> Vec<Digest> {
        self.resolved.documents.iter().map(Digest::of).collect()
    }

    /// The signatures beside a document, by its digest; where a mirror has none, those of the registry.
    ///
    /// # Errors
    /// When the registry does not tell, tells what is not so, or there is more than anybody needs.
    pub fn signatures(&self, subject: &Digest) -> Result<Vec<Kept>, RegistryError> {
        let endpoint = &self.resolved.endpoint;
        self.runtime.block_on(async {
            let mut found = match self.signatures_at(endpoint, subject).await {
                // Whatever is wrong with a mirror, the registry may be well.
                Err(_) if endpoint.is_mirror => Vec::new(),
                found => found?,
            };
            let own = self.session.sources(self.name)?.pop();
            if let Some(own) = own.filter(|own| found.is_empty() && own != endpoint) {
                found = self.signatures_at(&own, subject).await?;
            }
            Ok(found)
        })
    }

    async fn signatures_at(&self, endpoint: &Endpoint, subject: &Digest) -> Result<Vec<Kept>, RegistryError> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for referrer in self.referrers(endpoint, subject).await? {
            if seen.insert(referrer.digest.to_string()) {
                let wanted = Some((referrer.digest, Some(referrer.size)));
                let text = self.document(endpoint, &referrer.digest.to_string(), wanted).await?;
                let text = text.ok_or_else(|| missing(&referrer.digest))?;
                self.add(endpoint, "referrer", &text, Some(subject), &mut found).await?;
            }
        }
        if let Some(text) = self.document(endpoint, &format!("sha256-{}.sig", subject.hex()), None).await? {
            self.add(endpoint, "tag", &text, None, &mut found).await?;
        }
        Ok(found)
    }

    /// The manifests about a document that hold signatures, by what the registry says of them.
    async fn referrers(
        &self,
        endpoint: &Endpoint,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let scopes = pull_scope(endpoint);
        let mut call = call(endpoint, &format!("referrers/{subject}"), &scopes);
        call.headers.insert(ACCEPT, HeaderValue::from_static(INDEX_TYPE));
        let mut found = Vec::new();
        for page in 0..PAGES {
            let response = self.session.ask(&call).await?;
            let next = next_page(&call.url, &response);
            let text = match response.status() {
                status if status.is_success() => {
                    body(&call, response, LIMIT, self.session.patience.stall).await?
                }
                // A registry that knows no referrers does not know the path.
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST
                    if page == 0 =>
                {
                    let tag = format!("sha256-{}", subject.hex());
                    let Some(text) = self.document(endpoint, &tag, None).await? else { return Ok(found) };
                    listed(&call.what, &text, &mut found)?;
                    return Ok(found);
                }
                _ => return Err(refusal(&call, response).await),
            };
            listed(&call.what, &text, &mut found)?;
            match next {
                Some(next) => call.url = next,
                None => return Ok(found),
            }
        }
        Err(damaged(&call.what, "it has no end"))
    }

    /// A document by tag or digest; `None` when it is not there.
    async fn document(
        &self,
        endpoint: &Endpoint,
        tag: &str,
        wanted: Option<(Digest, Option<u64>)>,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let what = format!("the signature {tag}");
        match self.session.document(endpoint, tag, wanted, &what).await {
            Ok((_, text, _)) => Ok(Some(text)),
            Err(RegistryError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds what a manifest of signatures holds.
    async fn add(
        &self,
        endpoint: &Endpoint,
        origin: &'static str,
        text: &[u8],
        subject: Option<&Digest>,
        found: &mut Vec<Kept>,
    ) -> Result<(), RegistryError> {
        let what = format!("a signature of {}", self.name.familiar());
        let Document::Manifest(manifest) = document::parse_any(&what, text, "")? else {
            return Err(damaged(&what, "it is no manifest"));
        };
        let about: About =
            serde_json::from_slice(text).map_err(|error| damaged(&what, &error.to_string()))?;
        let about = about.subject.map(|subject| subject.digest);
        if subject.is_some_and(|subject| about.as_ref() != Some(subject)) {
            return Ok(());
        }
        for layer in manifest.layers {
            if !READ.iter().any(|kind| layer.media_type.starts_with(kind)) {
                continue;
            }
            if found.len() == MOST {
                return Err(damaged(&what, TOO_MANY));
            }
            if layer.size > LARGEST {
                return Err(RegistryError::TooLong { what, limit: LARGEST });
            }
            let content = self.session.small_blob(endpoint, &layer, &what).await?;
            let Descriptor { media_type, annotations, .. } = layer;
            let annotations = annotations.unwrap_or_default().into_iter().collect();
            found.push(Kept { origin, media_type, annotations, content });
        }
        Ok(())
    }
}

/// Adds the manifests of one page of a list that hold signatures.
fn listed(what: &str, text: &[u8], found: &mut Vec<Descriptor>) -> Result<(), RegistryError> {
    let Document::Index(entries) = document::parse_any(what, text, INDEX_TYPE)? else {
        return Err(damaged(what, "it is no index"));
    };
    let signs = |entry: &Descriptor| {
        let kind = entry.artifact_type.as_deref().unwrap_or_default();
        kind.contains("vnd.dev.sigstore.") || kind.contains("vnd.dev.cosign.")
    };
    found.extend(entries.into_iter().filter(signs));
    if found.len() > MOST { Err(damaged(what, TOO_MANY)) } else { Ok(()) }
}

const TOO_MANY: &str = "there are more signatures than anybody needs";

fn call<'e>(endpoint: &'e Endpoint, path: &str, scopes: &'e [String]) -> Call<'e> {
    Call {
        endpoint,
        method: Method::GET,
        url: endpoint.url(path),
        headers: HeaderMap::new(),
        body: Payload::None,
        scopes,
        what: "the list of signatures".to_owned(),
    }
}

fn damaged(what: &str, reason: &str) -> RegistryError {
    RegistryError::Damaged { what: what.to_owned(), reason: reason.to_owned() }
}

fn missing(digest: &Digest) -> RegistryError {
    RegistryError::Missing {
        what: format!("the signature {digest}"),
        said: "it is listed, but not there".into(),
    }
}
