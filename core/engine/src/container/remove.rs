//! `rm`: the record goes last, so that an interrupted removal can be repeated.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wharf_runtime::monitor::Status;
use wharf_store::RecordError;

use super::{Container, LookupError, StopError};
use crate::Engine;
use crate::event::Entry;
use crate::snapshot::{self, SnapshotError};

/// Why a container was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// No such container.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It runs.
    #[error(
        "cannot remove container \"{name}\": container is running: stop the container before removing or force remove"
    )]
    Running {
        /// Its name.
        name: String,
    },
    /// It could not be killed first.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// Its root file system.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Its directory.
    #[error("cannot remove {path}", path = .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its record.
    #[error("cannot remove the record of the container")]
    Record(#[from] RecordError),
}

impl Engine {
    /// Removes a container; `force` kills it first, `volumes` removes its anonymous volumes.
    ///
    /// # Errors
    /// When there is none, it runs and `force` is not given, or something can not be removed.
    pub fn remove(&self, name: &str, force: bool, volumes: bool) -> Result<Container, RemoveError> {
        let _spare = self.store.spare();
        let container = self.container(name)?;
        if let Status::Running { .. } = self.status(&container) {
            if !force {
                return Err(RemoveError::Running { name: container.name });
            }
            self.kill_and_wait(&container)?;
        }
        let guard = self.lock_container(&container.id)?;
        self.take_down(&container);
        let removed = self.forget(&container, volumes);
        drop(guard);
        removed?;
        self.note([Entry::of(&container, "destroy")]);
        Ok(container)
    }

    /// `--rm`: always with the anonymous volumes.
    pub(super) fn remove_ended(&self, container: &Container) -> Result<(), RemoveError> {
        self.forget(container, true)?;
        self.note([Entry::of(container, "destroy")]);
        Ok(())
    }

    /// Removes everything of a container that does not run.
    pub(super) fn forget(&self, container: &Container, volumes: bool) -> Result<(), RemoveError> {
        let object = snapshot::container(&container.id, container.layers.clone());
        self.snapshots(&container.storage)?.remove(&object)?;
        remove_directory(&self.run_dir(&container.id))?;
        remove_directory(&self.data_dir(&container.id))?;
        self.store.containers().remove(&container.id)?;
        if volumes {
            self.remove_anonymous_volumes(container);
        }
        Ok(())
    }

    /// One that another container uses by now stays.
    fn remove_anonymous_volumes(&self, container: &Container) {
        for mount in container.mounts.iter().filter(|mount| mount.anonymous) {
            let _ = self.remove_volume(&mount.name);
        }
    }
}

fn remove_directory(path: &Path) -> Result<(), RemoveError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(RemoveError::Directory { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
