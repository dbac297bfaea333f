//! A plugin's call of a server.

use serde::{Deserialize, Serialize};

/// Bytes of a request's or an answer's body at most.
pub const BODY: usize = 1 << 20;

/// An HTTP request that the plugin's grants cover.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemoteRequest {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Parsed and written again: without user, password and fragment, without `..`.
    pub url: String,
    /// Names and values; none of those that the client sets by itself.
    pub headers: Vec<(String, String)>,
    /// At most [`BODY`] bytes.
    pub body: Vec<u8>,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemoteResponse {
    /// The HTTP status.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// At most [`BODY`] bytes.
    pub body: Vec<u8>,
}
