//! A directory as plugins see it.

use wharf_model::{Diagnostic, Failure, FailureKind, Severity};
use wharf_plugin::{Entry, EntryKind};

use super::context::{self, Context};
use super::source::SourceError;

/// One file; `None` when there is nothing.
pub(crate) fn stat(context: &Context, path: &str) -> Result<Option<Entry>, Failure> {
    Ok(context.stat(path).map_err(unreadable)?.map(entry))
}

/// The content of a regular file; `None` when there is nothing.
pub(crate) fn read(context: &Context, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
    context.read(path, limit).map_err(unreadable)
}

/// Entries whose path matches one of the patterns, sorted by path.
pub(crate) fn glob(context: &Context, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
    let found = context.glob(patterns, limit).map_err(unreadable)?;
    Ok(found.into_iter().map(entry).collect())
}

fn entry(found: context::Entry) -> Entry {
    let kind = match found.kind {
        context::EntryKind::File => EntryKind::File,
        context::EntryKind::Directory => EntryKind::Directory,
        context::EntryKind::Symlink => EntryKind::Symlink,
        context::EntryKind::Other => EntryKind::Other,
    };
    Entry { path: found.path, kind, size: found.size, mode: found.mode, content: found.content }
}

#[expect(clippy::needless_pass_by_value, reason = "handed over by map_err")]
fn unreadable(error: SourceError) -> Failure {
    failure(FailureKind::InvalidInput, error.to_string())
}

/// A failure of the context's own.
pub(super) fn failure(kind: FailureKind, message: String) -> Failure {
    let diagnostic = Diagnostic::new(Severity::Error, "context", message);
    Failure { kind, diagnostics: vec![diagnostic] }
}
