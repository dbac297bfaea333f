//! Blobs to a registry: asked for first, mounted from another repository where one is known, sent otherwise.
//!
//! How the bytes go is `chunk.rs`'s business. When a line is cut, the registry says how much it has, and the
//! rest follows. A registry that lost all of it begins anew; one that has got everything in the meantime is
//! noticed, because every further try begins with the question whether the blob is there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use wharf_model::Digest;

use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::payload::Payload;
use super::session::{Call, Session, refusal};
use chunk::{Course, Upload};

mod chunk;

pub(super) use chunk::CHUNK;

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
    /// It takes blobs in one piece only, as was found out.
    in_one: Arc<AtomicBool>,
}

impl Target {
    pub(super) fn new(session: &Arc<Session>, endpoint: Endpoint, scopes: Vec<String>) -> Self {
        let (session, scopes) = (Arc::clone(session), Arc::new(scopes));
        Self { session, endpoint, scopes, in_one: Arc::default() }
    }

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
            _ => Err(self.spoken(&call, response).await),
        }
    }

    /// Why a question without a body was refused: such an answer has no words, but that to any other question
    /// may have some.
    async fn spoken(&self, call: &Call<'_>, response: Response) -> RegistryError {
        let mut any = self.call(Method::GET, self.endpoint.base.clone(), call.what.clone());
        any.url.set_path("/v2/");
        match self.session.ask(&any).await {
            Ok(answer) if answer.status() == response.status() => refusal(&any, answer).await,
            _ => refusal(call, response).await,
        }
    }

    /// Sees to it that a blob is there; `missing` says that it was just found not to be.
    pub(super) async fn deliver(&self, blob: &Outgoing, missing: bool) -> Result<Arrived, RegistryError> {
        if !missing && self.has(&blob.digest).await? {
            return Ok(Arrived::Here);
        }
        let mut course = Course::default();
        for from in blob.holders.iter().take(MOUNTS) {
            match self.begin(blob, Some(from)).await? {
                Begun::Mounted => return Ok(Arrived::Mounted(from.clone())),
                Begun::At(upload) => course.upload = Some(upload),
            }
            if blob.path.is_some() {
                break;
            }
        }
        if blob.path.is_none() {
            return Ok(Arrived::Nowhere);
        }
        self.send_patiently(blob, course).await
    }

    /// Tries again while that may help: as long as more and more gets there, and a few times more.
    async fn send_patiently(&self, blob: &Outgoing, mut course: Course) -> Result<Arrived, RegistryError> {
        let patience = &self.session.patience;
        let mut pauses = patience.pauses.iter();
        loop {
            let before = course.most;
            let error = match self.send(blob, &mut course).await {
                Ok(()) => return Ok(Arrived::Sent),
                Err(error) => error,
            };
            if course.most > before {
                pauses = patience.pauses.iter();
            }
            match (pauses.next(), wanted_pause(&error)) {
                (Some(pause), Some(wanted)) if wanted <= patience.longest => {
                    tokio::time::sleep(wanted.max(*pause)).await;
                }
                _ => return Err(error),
            }
            if self.has(&blob.digest).await? {
                return Ok(Arrived::Sent);
            }
        }
    }

    async fn begin_new(&self, blob: &Outgoing) -> Result<Upload, RegistryError> {
        match self.begin(blob, None).await? {
            Begun::At(upload) => Ok(upload),
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
        Upload::begun(&call.url, &response).map(Begun::At)
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
    At(Upload),
}

fn what(digest: &Digest) -> String {
    format!("blob {digest}")
}

/// How long the registry wants to be left alone at least, when another try may help: after a line that was cut,
/// for a server that was not well, and for an upload that it knows nothing of any more.
fn wanted_pause(error: &RegistryError) -> Option<Duration> {
    match error {
        RegistryError::Broken { .. } | RegistryError::Missing { .. } => Some(Duration::ZERO),
        RegistryError::Answer { status, after, .. } => {
            let busy = *status == StatusCode::TOO_MANY_REQUESTS || *status == StatusCode::REQUEST_TIMEOUT;
            let lost = *status == StatusCode::RANGE_NOT_SATISFIABLE;
            (status.is_server_error() || busy || lost).then_some(*after)
        }
        _ => None,
    }
}
