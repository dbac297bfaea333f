//! One test after the other: they look at mounts, links and rules, which all share.
//!
//! A lock on a file holds between processes as well as threads, so it does not matter which test
//! runner is used. There is one for the machine: another checkout's tests wait as well.

use std::fs::File;

/// The file.
const TURN: &str = "/run/wharf-tests.turn";

/// This test's turn; the next one begins when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _locked: File,
}

impl Turn {
    /// Waits for it.
    pub(super) fn wait() -> Self {
        let file = File::create(TURN).unwrap();
        file.lock().unwrap();
        Self { _locked: file }
    }
}
