//! Why a registry did not give, or take, what was asked.

use std::time::Duration;

use reqwest::StatusCode;
use wharf_model::Digest;

use super::document::WASM_CONFIG;
use crate::{BlobError, RecordError};

/// Why a registry did not give, or take, what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Nobody answered.
    #[error("cannot reach {host}: {reason}")]
    Reach {
        /// Scheme, host and port.
        host: String,
        /// From the outermost to the innermost cause.
        reason: String,
    },
    /// The line was cut, or fell silent, more often than is bearable.
    #[error("the connection to {host} broke while {what} was transferred: {reason}")]
    Broken {
        /// Scheme, host and port.
        host: String,
        /// What was on its way.
        what: String,
        /// From the outermost to the innermost cause.
        reason: String,
    },
    /// It is not there.
    #[error("{what} is not in the registry: {said}")]
    Missing {
        /// Which.
        what: String,
        /// The registry's own words.
        said: String,
    },
    /// Whoever asks may not.
    #[error("access to {repository} is denied: {said}")]
    Denied {
        /// Which repository.
        repository: String,
        /// Whose login would be needed.
        host: String,
        /// The registry's own words.
        said: String,
        /// Whether a user and a password, or a token, were shown.
        known: bool,
    },
    /// A login is not good.
    #[error("{registry} does not take this login: {said}")]
    Login {
        /// Which registry.
        registry: String,
        /// Its own words.
        said: String,
    },
    /// Any other answer that is not the one that was asked for.
    #[error("{host} answered {status} to the request for {what}: {said}")]
    Answer {
        /// Scheme, host and port.
        host: String,
        /// What was asked for.
        what: String,
        /// The answer.
        status: StatusCode,
        /// The registry's own words.
        said: String,
        /// It wants to be left alone for so long.
        after: Duration,
    },
    /// More than anybody needs.
    #[error("{what} has more than {limit} bytes")]
    TooLong {
        /// What.
        what: String,
        /// The most that is taken.
        limit: u64,
    },
    /// It is not what its name says.
    #[error("{what} has digest {found} ({found_size} bytes), expected {expected} ({expected_size} bytes)")]
    Mismatch {
        /// What.
        what: String,
        /// What it is.
        found: Digest,
        /// How long it is.
        found_size: u64,
        /// What it should be.
        expected: Digest,
        /// How long it should be.
        expected_size: u64,
    },
    /// It is not what the registry says that it is.
    #[error("{what} has digest {found}, but the registry calls it {said}")]
    Misnamed {
        /// What.
        what: String,
        /// What it is.
        found: Digest,
        /// What the registry says.
        said: String,
    },
    /// It can not be understood.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// What.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// Older than all that is read here.
    #[error("{what} is a manifest of schema 1, which was given up in 2019 and holds no digests to verify")]
    Schema1 {
        /// What.
        what: String,
    },
    /// Something else than an image.
    #[error("{what} is no image, but {}", described(.kind))]
    Artifact {
        /// What.
        what: String,
        /// The type of its config.
        kind: String,
    },
    /// Something else than a WebAssembly artifact.
    #[error("{what} is no WebAssembly artifact, but {is}")]
    NotWasm {
        /// What.
        what: String,
        /// What it is.
        is: String,
    },
    /// Not for this machine.
    #[error("{what} has nothing for {wanted}; there is {there}")]
    Platform {
        /// What.
        what: String,
        /// For what it should be.
        wanted: String,
        /// What it is for.
        there: String,
    },
    /// A server that gives tokens must not be asked.
    #[error("{host} names {realm} as the place to log in, which is refused: {reason}")]
    Realm {
        /// Scheme, host and port of the registry.
        host: String,
        /// What it named.
        realm: String,
        /// Why not.
        reason: &'static str,
    },
    /// A redirect that is not followed.
    #[error("{host} redirects to {target}, which is refused: {reason}")]
    Redirect {
        /// Scheme, host and port.
        host: String,
        /// Where to.
        target: String,
        /// Why not.
        reason: &'static str,
    },
    /// Certificates or a proxy.
    #[error("cannot set up the connection to {host}: {reason}")]
    Setup {
        /// Scheme, host and port.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// A partial download.
    #[error("cannot keep what was downloaded in {}", .path.display())]
    Keep {
        /// Which file.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Neither the registry nor one of its mirrors.
    #[error("{last}")]
    Everywhere {
        /// What the registry itself is to blame for.
        last: Box<Self>,
        /// Its mirrors, which were asked before.
        #[source]
        tried: Box<Tried>,
    },
    /// A blob.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A mirror that was asked in vain, and the next one that was.
#[derive(Debug, thiserror::Error)]
#[error("the mirror {host} did not do: {error}")]
pub struct Tried {
    /// Scheme, host and port.
    pub host: String,
    /// Why not.
    pub error: Box<RegistryError>,
    /// Who was asked then.
    #[source]
    pub next: Option<Box<Self>>,
}

impl RegistryError {
    /// What was wrong with the registry after mirrors, in the order in which they were asked.
    pub(super) fn after(self, mirrors: Vec<(String, Self)>) -> Self {
        let chained = mirrors
            .into_iter()
            .rev()
            .fold(None, |next, (host, error)| Some(Box::new(Tried { host, error: Box::new(error), next })));
        match chained {
            Some(tried) => Self::Everywhere { last: Box::new(self), tried },
            None => self,
        }
    }

    /// Whether nobody answered as they were asked: perhaps they answer otherwise.
    pub fn is_unreached(&self) -> bool {
        match self {
            Self::Reach { .. } => true,
            Self::Everywhere { last, .. } => last.is_unreached(),
            _ => false,
        }
    }

    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Reach { host, reason } if is_alert(reason) => Some(format!(
                "the registry may want a certificate of its clients, or another one: put it into \
                 /etc/docker/certs.d/{}/client.cert, and its key beside it into client.key",
                authority(host)
            )),
            Self::Reach { host, reason } if is_tls(reason) => Some(format!(
                "put the registry's certificate authority into /etc/docker/certs.d/{}/ca.crt",
                authority(host)
            )),
            Self::Reach { host, reason }
                if host.starts_with("https://") && reason.contains("InvalidContentType") =>
            {
                Some(format!(
                    "the server may speak HTTP without TLS: allow it with `[registry.\"{}\"]` and `plain-http = true` in wharf.toml",
                    authority(host)
                ))
            }
            Self::Reach { .. } => Some(
                "check the name, the network and the proxy; or bring the image with `wharf load`".to_owned(),
            ),
            Self::Denied { host, known: false, .. } => {
                Some(format!("check the name, or log in with `wharf login {host}`"))
            }
            Self::Denied { host, known: true, .. } => Some(format!(
                "check the name and what the account may do, or log in anew with `wharf login {host}`"
            )),
            Self::Missing { .. } => Some("check the name and the tag".to_owned()),
            Self::Artifact { kind, .. } if kind == WASM_CONFIG => {
                Some("if it is a plugin of wharf, add it with `wharf plugin add oci://...`".to_owned())
            }
            Self::NotWasm { is, .. } if is.contains("image") => {
                Some("an image is brought with `wharf pull`".to_owned())
            }
            Self::Schema1 { .. } => Some("push it again with a tool of this decade".to_owned()),
            Self::Platform { .. } => Some("choose one of them with `--platform`".to_owned()),
            Self::Broken { .. } => Some("try again: what was downloaded is kept".to_owned()),
            Self::Answer { status, said, host, .. }
                if *status == StatusCode::BAD_REQUEST && said.contains("HTTPS") =>
            {
                Some(format!(
                    "it speaks TLS: put its certificate authority into /etc/docker/certs.d/{}/ca.crt",
                    authority(host)
                ))
            }
            Self::Everywhere { last, .. } => last.next_step(),
            _ => None,
        }
    }
}

/// The type of an artifact, in words where there are some.
fn described(kind: &str) -> String {
    if kind == WASM_CONFIG { format!("a WebAssembly artifact ({kind})") } else { format!("of type {kind}") }
}

/// Whether the server ended a TLS connection because of us; with TLS 1.3 it does so when a client's certificate
/// is wrong or missing, after the client took it to be connected.
pub(super) fn is_alert(reason: &str) -> bool {
    reason.contains("received fatal alert")
}

fn is_tls(reason: &str) -> bool {
    reason.contains("certificate") || reason.contains("UnknownIssuer")
}

fn authority(host: &str) -> &str {
    host.split_once("://").map_or(host, |(_, authority)| authority)
}

/// All of an error's causes but the outermost, which repeats the address; that one when it is alone.
pub(super) fn reason(error: &dyn std::error::Error) -> String {
    let mut reasons: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        reasons.push(inner.to_string());
        cause = inner.source();
    }
    reasons.dedup();
    if reasons.is_empty() { error.to_string() } else { reasons.join(": ") }
}
