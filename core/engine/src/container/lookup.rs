//! From what a person typed to a record.

use std::path::PathBuf;

use wharf_runtime::monitor::{self, Exit, Status};
use wharf_store::{Lookup, Record, RecordError};

use super::Container;
use super::ended::CRASHED;
use crate::Engine;

/// Why there is no such container.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No id, name or id prefix fits.
    #[error("No such container: {0}")]
    Unknown(String),
    /// Several ids begin so.
    #[error("`{0}` is the beginning of several container ids: type more of it")]
    Ambiguous(String),
    /// The record is not what this version writes.
    #[error("the record of container `{name}` is damaged")]
    Damaged {
        /// As typed.
        name: String,
        /// Why it can not be understood.
        source: serde_json::Error,
    },
    /// The record can not be read.
    #[error("cannot read the record of container `{name}`")]
    Record {
        /// As typed.
        name: String,
        /// Why not.
        source: RecordError,
    },
}

impl Engine {
    /// The container of that id, name or unambiguous id prefix.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn container(&self, name: &str) -> Result<Container, LookupError> {
        let record = self.store.containers().get(name).map_err(|error| match error {
            Lookup::Unknown => LookupError::Unknown(name.to_owned()),
            Lookup::Ambiguous => LookupError::Ambiguous(name.to_owned()),
            Lookup::Record(source) => LookupError::Record { name: name.to_owned(), source },
        })?;
        parse(&record).map_err(|source| LookupError::Damaged { name: name.to_owned(), source })
    }

    /// Whether a container runs, and how it ended.
    ///
    /// One that ran and of which nothing was written down ended with the machine, or on a full disk.
    /// One that ran and could not be started again has the exit code of that start.
    pub fn status(&self, container: &Container) -> Status {
        let ran = container.has_run || container.joined.is_some();
        let mut status = match monitor::state(&self.run_dir(&container.id), &self.data_dir(&container.id)) {
            Status::Created if ran => Status::Exited(lost(container)),
            status => status,
        };
        if let (Status::Exited(exit), Some(failed)) = (&mut status, &container.failed_start) {
            exit.code = failed.code;
        }
        status
    }

    /// What outlives a reboot of a container.
    pub(crate) fn data_dir(&self, id: &str) -> PathBuf {
        self.options.root.join("containers").join(id)
    }

    /// What does not.
    pub(crate) fn run_dir(&self, id: &str) -> PathBuf {
        self.options.run_root.join("containers").join(id)
    }
}

/// A record's text as a container.
pub(super) fn parse(record: &Record) -> serde_json::Result<Container> {
    serde_json::from_str(&record.json)
}

/// The end that nobody could write down; its time is not known either.
fn lost(container: &Container) -> Exit {
    Exit {
        code: CRASHED,
        signal: None,
        oom_killed: false,
        finished_at: container.created,
        log_lines_dropped: 0,
    }
}
