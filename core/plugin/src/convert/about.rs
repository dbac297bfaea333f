//! What a plugin says of itself, and its calls of servers.

use wharf_model::manifest::{Manifest, Request};
use wharf_model::remote::{RemoteRequest, RemoteResponse};

use super::{Checked, Nonsense, each, name, shown, wit, wrong};
use crate::bindings::{image_signatures, remote};
use crate::kind::Signature;

/// Keys of the `grants` table.
const KEYS: [&str; 5] = ["ops", "net", "read", "remote", "extensions"];

impl TryFrom<wit::Manifest> for Manifest {
    type Error = Nonsense;

    fn try_from(raw: wit::Manifest) -> Checked<Self> {
        Ok(Self {
            name: line("name", raw.name)?,
            version: line("version", raw.version)?,
            summary: shown(raw.summary),
            requests: each("requests", raw.requests, request)?,
        })
    }
}

fn request(raw: wit::Request) -> Checked<Request> {
    let request = Request { right: line("right", raw.right)?, reason: shown(raw.reason) };
    match request.parts() {
        (key, value) if KEYS.contains(&key) && !value.is_empty() => Ok(request),
        _ => wrong(format!(
            "`{}` is not a right such as `ops:exec`: it begins with one of {}",
            request.right,
            KEYS.join(", ")
        )),
    }
}

/// One line that is not empty.
fn line(what: &str, text: String) -> Checked<String> {
    let text = name(what, text)?;
    if text.len() > 1024 || text.chars().any(char::is_control) {
        return wrong(format!("{what} `{}` is not one short line", shown(text)));
    }
    Ok(text)
}

impl From<remote::Request> for RemoteRequest {
    fn from(raw: remote::Request) -> Self {
        Self { method: raw.method, url: raw.url, headers: raw.headers, body: raw.body }
    }
}

impl From<Signature> for image_signatures::Signature {
    fn from(found: Signature) -> Self {
        let Signature { origin, media_type, annotations, content } = found;
        Self { origin: origin.to_owned(), media_type, annotations, content }
    }
}

impl From<RemoteResponse> for remote::Response {
    fn from(response: RemoteResponse) -> Self {
        Self { status: response.status, headers: response.headers, body: response.body }
    }
}
