//! Calls of a server, for drivers and hooks. It takes `grants.remote`; ask for it with
//! [`Request::new`](crate::Request::new)`("remote:https://host/path/", "...")`.

pub use crate::bindings::storage::wharf::plugin::remote::{Request, Response};

use crate::Failure;
#[cfg(not(target_arch = "wasm32"))]
use crate::native as side;
#[cfg(target_arch = "wasm32")]
use component as side;

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), headers: vec![], body: vec![] }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl Response {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Sends a request and waits for the answer. `token` is the one that the plan function got, with a
/// suffix for each of several calls: a request that the engine repeats has no second effect then.
///
/// # Errors
/// When nothing is granted that covers the address, or the server cannot be reached.
pub fn call(token: &str, request: &Request) -> Result<Response, Failure> {
    side::call_server(token, request)
}

#[cfg(target_arch = "wasm32")]
mod component {
    pub(super) use crate::bindings::storage::wharf::plugin::remote::call as call_server;
}
