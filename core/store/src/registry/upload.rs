//! Blobs to a registry: asked for first, mounted from another repository where one is known, sent otherwise.
//!
//! A blob is sent in one piece. When the line is cut, the registry says how much it has, and the rest
//! follows. A registry that lost all of it begins anew; one that has got everything in the meantime is
//! noticed, because every try begins with the question whether the blob is there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use wharf_model::Digest;

use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::payload::Payload;
use super::session::{Call, Session, redirected, refusal};

/// As many other repositories are tried.
const MOUNTS: usize = 3;

/// A blob that a registry is to have.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Its bytes, when they are here.
    pub(super) path: Option<PathBuf>,
    /// Repositories of the same registry that have it.
    pub(super) holders: Vec<String>,
    /// Bytes that were sent.
    pub(super) sent: Arc<AtomicU64>,
}

/// How a blob got there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// It was there.
    Here,
    /// From this repository of the same registry.
    Mounted(String),
    /// By us.
    Sent,
    /// It is not there, and its bytes are not here.
    Nowhere,
}

/// A repository that is pushed to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) session: Arc<Session>,
    pub(super) endpoint: Endpoint,
    pub(super) scopes: Arc<Vec<String>>,
}

impl Target {
    fn call(&self, method: Method, url: Url, what: String) -> Call<'_> {
        Call {
            endpoint: &self.endpoint,
            method,
            url,
            headers: HeaderMap::new(),
            body: Payload::None,
            scopes: &self.scopes,
            what,
        }
    }

    /// Whether a blob is there.
    pub(super) async fn has(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let url = self.endpoint.url(&format!("blobs/{digest}"));
        let call = self.call(Method::HEAD, url, what(digest));
        let response = self.session.ask(&call).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            _ => Err(refusal(&call, response).await),
        }
    }

    /// Sees to it that a blob is there; `missing` says that it was just found not to be.
    pub(super) async fn deliver(&self, blob: &Outgoing, missing: bool) -> Result<Arrived, RegistryError> {
        if !missing && self.has(&blob.digest).await? {
            return Ok(Arrived::Here);
        }
        let mut begun = None;
        for from in blob.holders.iter().take(MOUNTS) {
            match self.begin(blob, Some(from)).await? {
                Begun::Mounted => return Ok(Arrived::Mounted(from.clone())),
                Begun::At(location) => begun = Some(location),
            }
            if begun.is_some() && blob.path.is_some() {
                break;
            }
        }
        if blob.path.is_none() {
            return Ok(Arrived::Nowhere);
        }
        self.send_patiently(blob, begun).await
    }

    /// Tries again while that may help.
    async fn send_patiently(
        &self,
        blob: &Outgoing,
        mut begun: Option<Url>,
    ) -> Result<Arrived, RegistryError> {
        let mut pauses = self.session.patience.pauses.iter();
        loop {
            let error = match self.send(blob, &mut begun).await {
                Ok(()) => return Ok(Arrived::Sent),
                Err(error) => error,
            };
            match pauses.next() {
                Some(pause) if may_get_well(&error) => tokio::time::sleep(*pause).await,
                _ => return Err(error),
            }
            if self.has(&blob.digest).await? {
                return Ok(Arrived::Sent);
            }
        }
    }

    /// Sends what is missing of it, at `begun` or somewhere new.
    async fn send(&self, blob: &Outgoing, begun: &mut Option<Url>) -> Result<(), RegistryError> {
        let (mut location, mut from) = match begun.take() {
            Some(location) => match self.progress(blob, &location).await? {
                Some((location, from)) => (location, from),
                None => (self.begin_new(blob).await?, 0),
            },
            None => (self.begin_new(blob).await?, 0),
        };
        *begun = Some(location.clone());
        if from < blob.size {
            location = self.append(blob, location, from).await?;
            *begun = Some(location.clone());
            from = blob.size;
        }
        debug_assert_eq!(from, blob.size);
        location.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let mut call = self.call(Method::PUT, location, what(&blob.digest));
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        call.body = Payload::Bytes(bytes::Bytes::new());
        let response = self.session.once(&call).await?;
        if response.status().is_success() { Ok(()) } else { Err(refusal(&call, response).await) }
    }

    async fn begin_new(&self, blob: &Outgoing) -> Result<Url, RegistryError> {
        match self.begin(blob, None).await? {
            Begun::At(location) => Ok(location),
            Begun::Mounted => Err(RegistryError::Damaged {
                what: what(&blob.digest),
                reason: "the registry says that it was mounted, which nobody asked for".to_owned(),
            }),
        }
    }

    /// Asks for a place to send a blob to, or for a mount.
    async fn begin(&self, blob: &Outgoing, from: Option<&str>) -> Result<Begun, RegistryError> {
        let mut url = self.endpoint.url("blobs/uploads/");
        if let Some(from) = from {
            let mut query = url.query_pairs_mut();
            query.append_pair("mount", &blob.digest.to_string()).append_pair("from", from);
        }
        let mut call = self.call(Method::POST, url, what(&blob.digest));
        call.body = Payload::Bytes(bytes::Bytes::new());
        let response = self.session.send(&call).await?;
        if from.is_some() && response.status() == StatusCode::CREATED {
            return Ok(Begun::Mounted);
        }
        redirected(&call.url, &response).map(Begun::At)
    }

    /// How much the registry has, and where the rest goes; `None` when it knows nothing of it.
    async fn progress(&self, blob: &Outgoing, location: &Url) -> Result<Option<(Url, u64)>, RegistryError> {
        let call = self.call(Method::GET, location.clone(), what(&blob.digest));
        let response = self.session.ask(&call).await?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let have = received(&response).filter(|have| *have <= blob.size);
        let next = redirected(&call.url, &response).unwrap_or_else(|_| location.clone());
        Ok(have.map(|have| (next, have)))
    }

    /// Sends the bytes from `from` on.
    async fn append(&self, blob: &Outgoing, location: Url, from: u64) -> Result<Url, RegistryError> {
        let mut call = self.call(Method::PATCH, location.clone(), what(&blob.digest));
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if from > 0
            && let Ok(range) = HeaderValue::from_str(&format!("{from}-{}", blob.size - 1))
        {
            call.headers.insert(CONTENT_RANGE, range);
        }
        let path = blob.path.clone().unwrap_or_default();
        let sent = Arc::clone(&blob.sent);
        call.body = Payload::File { path, from, length: blob.size - from, sent };
        let response = self.session.once(&call).await?;
        if !response.status().is_success() {
            return Err(refusal(&call, response).await);
        }
        redirected(&call.url, &response)
    }

    /// Gives the repository a manifest, by tag or digest.
    pub(super) async fn put_manifest(
        &self,
        tag: &str,
        kind: &str,
        text: &[u8],
        what: &str,
    ) -> Result<(), RegistryError> {
        let mut call =
            self.call(Method::PUT, self.endpoint.url(&format!("manifests/{tag}")), what.to_owned());
        let kind = HeaderValue::from_str(kind).map_err(|_| RegistryError::Damaged {
            what: what.to_owned(),
            reason: "its type can not be sent".to_owned(),
        })?;
        call.headers.insert(CONTENT_TYPE, kind);
        call.body = Payload::Bytes(bytes::Bytes::copy_from_slice(text));
        let response = self.session.send(&call).await?;
        let said = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        let said = said.and_then(|said| said.parse::<Digest>().ok());
        let found = Digest::of(text);
        match said {
            Some(said) if said != found => {
                Err(RegistryError::Misnamed { what: what.to_owned(), found, said: said.to_string() })
            }
            _ => Ok(()),
        }
    }
}

enum Begun {
    Mounted,
    At(Url),
}

fn what(digest: &Digest) -> String {
    format!("blob {digest}")
}

/// A line that was cut, a server that was not well, and an upload that it knows nothing of any more.
fn may_get_well(error: &RegistryError) -> bool {
    match error {
        RegistryError::Broken { .. } | RegistryError::Missing { .. } => true,
        RegistryError::Answer { status, .. } => {
            status.is_server_error()
                || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::RANGE_NOT_SATISFIABLE)
        }
        _ => false,
    }
}

/// `Range: 0-99` is a hundred bytes. Nothing at all is `0-0`, which could be one byte: then one byte is
/// taken for nothing, and the registry says that it does not fit.
fn received(response: &Response) -> Option<u64> {
    let range = response.headers().get(RANGE)?.to_str().ok()?;
    let last: u64 = range.trim_start_matches("bytes=").rsplit('-').next()?.trim().parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}
