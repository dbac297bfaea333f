//! What is said to the person about something they wrote.

use serde::{Deserialize, Serialize};

/// A stretch of a file a person wrote. Lines and columns count from 1; columns are bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The file's name as the person gave it.
    pub file: String,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// Last column.
    pub end_column: u32,
}

/// How loud a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Fails the operation.
    Error,
    /// Worth reading.
    Warning,
    /// Good to know.
    Info,
    /// A suggestion.
    Hint,
}

/// Something to tell the person.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How loud.
    pub severity: Severity,
    /// An open, namespaced code such as `MaintainerDeprecated` or `acme.apt/unpinned`.
    pub code: String,
    /// One sentence, lower case, without a final period.
    pub message: String,
    /// Where, if it is about a place in a file.
    pub span: Option<Span>,
    /// What to do about it.
    pub help: Option<String>,
    /// Where to read more.
    pub url: Option<String>,
}

impl Diagnostic {
    /// A diagnostic without a place, help or link.
    pub fn new(severity: Severity, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity, code: code.into(), message: message.into(), span: None, help: None, url: None }
    }
}

/// What the core should do about a plugin's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The user's input is wrong.
    InvalidInput,
    /// Not allowed.
    Denied,
    /// Something named is not there.
    NotFound,
    /// Understood but not possible here.
    Unsupported,
    /// Something else is in the way.
    Conflict,
    /// Trying again may help.
    Transient,
    /// None of these.
    Other,
}

/// Why a plugin returned no plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// What to do about it.
    pub kind: FailureKind,
    /// What to say about it.
    pub diagnostics: Vec<Diagnostic>,
}
