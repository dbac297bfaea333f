//! What a plugin says of itself, and what it asks for.

use serde::{Deserialize, Serialize};

/// Something a plugin needs to be granted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Request {
    /// In the TOML's words, key and value: `ops:exec`, `read:context:debian/**`,
    /// `remote:https://ipam.example/v1/`.
    pub right: String,
    /// What for, for the person who decides.
    pub reason: String,
}

impl Request {
    /// The key of the `grants` table and the value in it: `ops` and `exec`.
    pub fn parts(&self) -> (&str, &str) {
        self.right.split_once(':').unwrap_or((&self.right, ""))
    }
}

/// What a plugin is, and what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Manifest {
    /// The name its author gave it.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What it does, in one line.
    pub summary: String,
    /// What it needs to be granted.
    pub requests: Vec<Request>,
}
