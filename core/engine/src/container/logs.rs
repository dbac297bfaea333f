//! `logs`: what a container wrote.

use jiff::Timestamp;
use wharf_runtime::log::{self, Entries, LogError, ReadOptions};

use super::LookupError;
use crate::Engine;

/// Which lines.
#[derive(Debug, Clone, Default)]
pub struct LogsOptions {
    /// Go on until the container ends.
    pub follow: bool,
    /// The last so many only.
    pub tail: Option<usize>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
}

/// Lines, oldest first.
pub type LogEntries = Entries;

/// Why there are no lines.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// No such container.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The file can not be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Engine {
    /// What a container wrote, also after its end.
    ///
    /// # Errors
    /// When there is none, or its log can not be read.
    pub fn logs(&self, name: &str, options: &LogsOptions) -> Result<LogEntries, LogsError> {
        let container = self.container(name)?;
        let follow = options.follow.then(|| self.run_dir(&container.id));
        let options = ReadOptions { follow, tail: options.tail, since: options.since, until: options.until };
        Ok(log::read(&self.data_dir(&container.id), &options)?)
    }
}
