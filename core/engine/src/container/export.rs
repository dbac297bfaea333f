//! `export`: the files of a container as a tar.

use std::io::Write;
use std::os::fd::AsFd;

use wharf_runtime::mount::{self, MountError};
use wharf_store::layer::{self, DiffError};

use super::LookupError;
use crate::Engine;
use crate::home::readable;
use crate::snapshot::{self, SnapshotError};

/// Why the files of a container were not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// No such container.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Its root file system.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// It can not be looked into.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// It can not be opened.
    #[error("cannot open the container's files")]
    Open(#[source] std::io::Error),
    /// A file can not be read, or written.
    #[error("cannot write the container's files")]
    Pack(#[from] DiffError),
}

impl Engine {
    /// Writes the files of a container, which may run, without what is mounted in it.
    ///
    /// # Errors
    /// When there is none, a file can not be read, or `out` refuses.
    pub fn export(&self, name: &str, out: &mut dyn Write) -> Result<(), ExportError> {
        let container = self.container(name)?;
        let snapshots = self.snapshots(&container.storage)?;
        let object = snapshot::container(&container.id, container.layers.clone());
        let tree = mount::detached(&snapshots.attach(&object, true)?)?;
        let tree = readable(&tree).map_err(|errno| ExportError::Open(errno.into()))?;
        layer::pack(tree.as_fd(), i64::MAX, &[], out)?;
        self.note([crate::event::Entry::of(&container, "export")]);
        Ok(())
    }
}
