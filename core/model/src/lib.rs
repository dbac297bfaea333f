//! The words that every room shares: plain types without I/O.
//!
//! A Dockerfile line becomes a [`statement::Invocation`], a plugin answers with a
//! [`build::Plan`], a driver with a [`storage::StoragePlan`] or a [`network::NetworkPlan`]. Those
//! plans are produced in one room and carried out in another; this crate is all the two have in
//! common. Names follow the OCI specifications and docker's command line.
//!
//! What is checked here once is believed everywhere else: a [`Digest`] is well formed, a
//! [`Reference`] is normalised, a [`Keyword`] is upper case.

pub mod build;
mod diagnostic;
mod digest;
pub mod grant;
pub mod hook;
pub mod image;
pub mod manifest;
pub mod network;
mod platform;
mod reference;
pub mod registry;
pub mod remote;
pub mod statement;
pub mod storage;

pub use diagnostic::{Diagnostic, Failure, FailureKind, Severity, Span};
pub use digest::{Digest, DigestError, Hasher};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError};
pub use statement::{Keyword, KeywordError};

use serde::{Deserialize, Serialize};

/// A value of a plugin's own `settings` table in the TOML.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list of strings.
    Texts(Vec<String>),
}

/// A plugin's own `settings` table, sorted by key.
pub type Settings = Vec<(String, Value)>;

/// An experimental operation: refused unless the host lists `name` and the user granted it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExtensionOp {
    /// The feature's name.
    pub name: String,
    /// What the feature defines.
    pub payload: Vec<u8>,
}

/// Sets or forgets one key of a driver's own state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StateChange {
    /// Remember this value.
    Put(String, Vec<u8>),
    /// Forget the key.
    Delete(String),
}
