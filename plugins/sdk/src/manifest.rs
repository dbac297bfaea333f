//! What a plugin says of itself. Name, version and summary come from its crate.

pub use crate::bindings::instruction::wharf::plugin::types::{Manifest, Request};

impl Request {
    /// Something the plugin needs: a right in the words of the configuration (`ops:exec`,
    /// `read:context:debian/**`, `remote:https://ipam.example/v1/`), and what for.
    pub fn new(right: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { right: right.into(), reason: reason.into() }
    }
}

/// What Cargo knows of a plugin's crate; the export macros write it down.
#[doc(hidden)]
pub trait Package {
    const NAME: &'static str;
    const VERSION: &'static str;
    const SUMMARY: &'static str;
}

/// The manifest of a plugin; `summary` is for a crate without a description.
pub(crate) fn of<P: Package>(requests: Vec<Request>, summary: impl FnOnce() -> String) -> Manifest {
    Manifest {
        name: P::NAME.replace('_', "-"),
        version: P::VERSION.into(),
        summary: if P::SUMMARY.is_empty() { summary() } else { P::SUMMARY.into() },
        requests,
    }
}
