//! What the JSON frames say.

use std::path::PathBuf;

use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::frame::{Frame, Garbage, Kind, encode};

/// A terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
}

impl Size {
    pub(crate) fn to_wire(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.rows.to_be_bytes(), self.columns.to_be_bytes());
        [a, b, c, d]
    }

    pub(crate) fn from_wire(payload: &[u8]) -> Option<Self> {
        let [a, b, c, d] = *payload else { return None };
        Some(Self { rows: u16::from_be_bytes([a, b]), columns: u16::from_be_bytes([c, d]) })
    }
}

/// What a connection is for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Streams of the main process.
    Attach(Attach),
    /// A further process.
    Exec(Box<Exec>),
    /// Nothing but the end.
    Wait,
    /// A new size of the main process's terminal.
    Resize(Size),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attach {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) reap: bool,
    pub(crate) size: Option<Size>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Exec {
    pub(crate) process: Process,
    pub(crate) open_stdin: bool,
    pub(crate) detach: bool,
    pub(crate) size: Option<Size>,
}

/// The request is granted, and this is the process it is about.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) pid: i32,
    pub(crate) tty: bool,
    /// Whether the process takes input at all.
    pub(crate) stdin: bool,
}

/// Why a process does not run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StartFailure {
    AlreadyRunning,
    NotFound { path: PathBuf, reason: String },
    NotExecutable { path: PathBuf, reason: String },
    Other { code: u8, reason: String },
}

/// What a starter sends; all but `Go` come with a descriptor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromStarter {
    /// A file with the `Launch`, and the size of the starter's terminal.
    Launch { size: Option<Size> },
    /// The network namespace to join.
    Netns,
    /// The first client's connection.
    Client,
    /// A mount that is part of no namespace; the spec counts them as they come.
    Mount,
    /// Something to hold open as long as the container runs.
    Hold,
    /// That was everything.
    Go,
}

/// What the starter hears in the end: the process's number, or why there is none.
pub(crate) type Report = Result<i32, StartFailure>;

/// The peer's JSON is not what the kind of frame promises.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("malformed message of kind {kind:?}")]
    Json { kind: Kind, source: serde_json::Error },
    #[error(transparent)]
    Frame(#[from] Garbage),
}

/// `message` as a frame.
pub(crate) fn frame(kind: Kind, message: &impl Serialize) -> Vec<u8> {
    // Our own types have string keys only and cannot fail; an empty payload is refused by the peer.
    encode(kind, &serde_json::to_vec(message).unwrap_or_default())
}

/// What a JSON frame says.
pub(crate) fn parse<T: DeserializeOwned>(frame: &Frame) -> Result<T, Malformed> {
    serde_json::from_slice(&frame.payload).map_err(|source| Malformed::Json { kind: frame.kind, source })
}
