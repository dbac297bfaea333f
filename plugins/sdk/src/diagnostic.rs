//! What is said to the person: refusals, warnings and notes.

use crate::{Diagnostic, Failure, FailureKind, Severity};

/// The code of a refusal that names none of its own.
const REFUSED: &str = "InvalidInstruction";

/// A failure: what was written is wrong. One sentence, lower case, without a final period.
pub fn refuse(message: impl Into<String>) -> Failure {
    let diagnostics = vec![Diagnostic::new(Severity::Error, REFUSED, message)];
    Failure { kind: FailureKind::InvalidInput, diagnostics }
}

impl Failure {
    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        if let Some(last) = self.diagnostics.last_mut() {
            last.help = Some(help.into());
        }
        self
    }

    /// Says what kind of failure it is; [`refuse`] makes it [`FailureKind::InvalidInput`].
    #[must_use]
    pub fn kind(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }

    /// The first sentence.
    pub fn message(&self) -> &str {
        self.diagnostics.first().map_or("", |first| first.message.as_str())
    }
}

impl Diagnostic {
    /// A diagnostic without a place, help or link.
    pub fn new(severity: Severity, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity, code: code.into(), message: message.into(), span: None, help: None, url: None }
    }

    /// Something worth reading. `code` is namespaced: `acme.apt/unpinned`.
    pub fn warning(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// Something good to know.
    pub fn info(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, message)
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says where to read more.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }
}
