//! The bytes of a blob, chunk by chunk (OCI distribution specification, "Pushing a blob in chunks").
//!
//! ```text
//! POST            -> 202, where to, and the shortest chunk that is taken (`OCI-Chunk-Min-Length`)
//! PATCH a chunk   -> 202, where the next one goes, and how much is there (`Range`)
//!                    416: the registry has another idea of how much is there, and is asked for it
//! GET             -> how much is there, after whatever went wrong
//! PUT             -> it is a blob
//! ```
//!
//! A blob that is no longer than one chunk goes with one PATCH that names no range. So does any other one where
//! the registry took the beginning and refuses, twice, what follows: not every registry knows chunks.
//!
//! What a registry says of how much it has is believed as far as it can be true. Nothing is lost by that:
//! it compares the digest at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode, Url};

use super::{Outgoing, Target, what};
use crate::registry::error::RegistryError;
use crate::registry::payload::Payload;
use crate::registry::session::{redirected, refusal};

/// Bytes of a chunk. Proxies in front of registries refuse longer bodies than 100 MB. The object stores behind
/// registries want parts of 5 MiB or more. At a gigabit a second the wait for the answer is a tenth of the
/// time that the chunk takes, and at ten megabits a cut costs a minute at most.
pub(in crate::registry) const CHUNK: u64 = 64 << 20;
/// So often may the rest be refused before all goes in one piece.
const REFUSALS: usize = 2;
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What a registry has of a blob that is on its way.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    /// Where the next request goes.
    location: Url,
    /// Bytes that are there.
    have: u64,
    /// A request ended in a way that says nothing about how much is there now.
    is_unsure: bool,
    /// No chunk but the last may be shorter.
    least: u64,
}

/// How a blob fared so far.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Where it was begun.
    pub(super) upload: Option<Upload>,
    /// The most that the registry ever had of it.
    pub(super) most: u64,
    /// How often it took a beginning and refused what followed, since it had more than ever before.
    refusals: usize,
}

enum Chunk {
    Taken(Upload),
    Refused(RegistryError),
}

impl Upload {
    /// As the registry's answer has it.
    pub(super) fn begun(from: &Url, response: &Response) -> Result<Self, RegistryError> {
        let location = redirected(from, response)?;
        Ok(Self { location, have: 0, is_unsure: false, least: least(response.headers()) })
    }
}

impl Course {
    fn is_at(&mut self, upload: &Upload) {
        self.upload = Some(Upload { is_unsure: true, ..upload.clone() });
        if upload.have > self.most {
            (self.most, self.refusals) = (upload.have, 0);
        }
    }
}

impl Target {
    /// Sends what is missing of a blob.
    pub(super) async fn send(&self, blob: &Outgoing, course: &mut Course) -> Result<(), RegistryError> {
        let mut upload = self.place(blob, course).await?;
        course.is_at(&upload);
        while upload.have < blob.size {
            upload = match self.append(blob, &upload).await? {
                Chunk::Taken(upload) => upload,
                Chunk::Refused(error) if course.refusals == REFUSALS => return Err(error),
                Chunk::Refused(_) => {
                    course.refusals += 1;
                    if course.refusals == REFUSALS {
                        self.in_one.store(true, Ordering::Relaxed);
                        course.upload = None;
                    }
                    self.place(blob, course).await?
                }
            };
            course.is_at(&upload);
        }
        self.end(blob, upload.location).await
    }

    /// Where it goes on, or begins.
    async fn place(&self, blob: &Outgoing, course: &mut Course) -> Result<Upload, RegistryError> {
        match course.upload.take() {
            Some(upload) if !upload.is_unsure => Ok(upload),
            Some(upload) => match self.progress(blob, &upload).await? {
                Some(upload) => Ok(upload),
                None => self.begin_new(blob).await,
            },
            None => self.begin_new(blob).await,
        }
    }

    /// How much the registry has now, and where the rest goes; `None` when it knows nothing of it.
    async fn progress(&self, blob: &Outgoing, upload: &Upload) -> Result<Option<Upload>, RegistryError> {
        let call = self.call(Method::GET, upload.location.clone(), what(&blob.digest));
        let response = self.session.ask(&call).await?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let have = received(response.headers()).filter(|have| *have <= blob.size);
        let location = redirected(&call.url, &response).unwrap_or_else(|_| call.url.clone());
        Ok(have.map(|have| Upload { location, have, is_unsure: false, least: upload.least }))
    }

    /// Sends the next chunk, or all that is left.
    async fn append(&self, blob: &Outgoing, upload: &Upload) -> Result<Chunk, RegistryError> {
        let (from, end) = (upload.have, self.end_of_chunk(blob, upload));
        let mut call = self.call(Method::PATCH, upload.location.clone(), what(&blob.digest));
        call.headers.insert(CONTENT_TYPE, BYTES);
        if (from, end) != (0, blob.size)
            && let Ok(range) = HeaderValue::from_str(&format!("{from}-{}", end - 1))
        {
            call.headers.insert(CONTENT_RANGE, range);
        }
        let path = blob.path.clone().unwrap_or_default();
        let sent = Arc::clone(&blob.sent);
        call.body = Payload::File { path, from, length: end - from, sent };
        let response = self.session.once(&call).await?;
        let status = response.status();
        if !status.is_success() {
            let error = refusal(&call, response).await;
            return if from > 0 && is_refused(status) { Ok(Chunk::Refused(error)) } else { Err(error) };
        }
        let have = received(response.headers()).filter(|have| from < *have && *have <= end);
        let location = redirected(&call.url, &response)?;
        Ok(Chunk::Taken(Upload { location, have: have.unwrap_or(end), ..upload.clone() }))
    }

    fn end_of_chunk(&self, blob: &Outgoing, upload: &Upload) -> u64 {
        if self.in_one.load(Ordering::Relaxed) {
            return blob.size;
        }
        let length = self.session.chunk.max(upload.least);
        upload.have.saturating_add(length).min(blob.size)
    }

    /// All is there.
    async fn end(&self, blob: &Outgoing, mut location: Url) -> Result<(), RegistryError> {
        location.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let mut call = self.call(Method::PUT, location, what(&blob.digest));
        call.headers.insert(CONTENT_TYPE, BYTES);
        call.body = Payload::Bytes(bytes::Bytes::new());
        let response = self.session.once(&call).await?;
        if response.status().is_success() { Ok(()) } else { Err(refusal(&call, response).await) }
    }
}

/// Whether a chunk is not taken where it is, whoever asks and whenever: the registry forgot what was before it, has
/// another idea of how much that is, or knows no chunks.
fn is_refused(status: StatusCode) -> bool {
    let of_another_kind = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !of_another_kind.contains(&status)
}

/// `Range: 0-99` is a hundred bytes. Nothing at all is `0-0`, which could be one byte: then one byte is
/// taken for nothing, and the registry says that it does not fit.
fn received(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(RANGE)?.to_str().ok()?;
    let last: u64 = range.trim_start_matches("bytes=").rsplit('-').next()?.trim().parse().ok()?;
    Some(if last == 0 { 0 } else { last.saturating_add(1) })
}

/// The length that a chunk has to have.
fn least(headers: &HeaderMap) -> u64 {
    let said = headers.get("oci-chunk-min-length").and_then(|value| value.to_str().ok());
    said.and_then(|said| said.trim().parse().ok()).unwrap_or(0)
}
