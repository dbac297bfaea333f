//! One test after the other: they look at mounts, links and rules, which all share.
//!
//! A lock on a file holds between processes as well as threads, so it does not matter which test
//! runner is used.

use std::fs::File;
use std::path::Path;

/// This test's turn; the next one begins when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _locked: File,
}

impl Turn {
    /// Waits for it.
    pub(super) fn wait(directory: &Path) -> Self {
        let file = File::create(directory.join("turn")).unwrap();
        file.lock().unwrap();
        Self { _locked: file }
    }
}
