//! Volumes: directories that outlive containers.
//!
//! ```text
//! <root>/volumes/<name>/_data      what containers see
//! ```
//!
//! The record is in the store. A volume without a name of its own gets 64 hex digits and is
//! removed with its container by `--rm` and `rm -v`. A fresh volume is filled once from what the
//! image has at the mount's target, when the container is created.

mod fill;
mod plan;
mod syntax;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use wharf_model::hook::{VolumeChange, VolumeOp};
use wharf_runtime::mount::MountError;
use wharf_runtime::tree::{self, TreeError};
use wharf_store::RecordError;

use crate::Engine;
use crate::event::{Entry, Kind};
use crate::hook::{AskedVolume, HookError};
use crate::snapshot::SnapshotError;

pub use plan::Pending;
pub(crate) use plan::resolved;
pub(crate) use syntax::checked_name;
pub(crate) use syntax::clean;
pub use syntax::{MountRequest, MountSyntaxError};

/// Why a volume or a mount could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The name is not one.
    #[error("invalid volume name: {0}")]
    Name(String),
    /// Two mounts at one place.
    #[error("Duplicate mount point: {0}")]
    Duplicate(String),
    /// `--mount type=bind` makes no directories.
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {0}")]
    NoSource(String),
    /// A directory or file can not be made or read.
    #[error("cannot make {path}", path = .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The record can not be kept.
    #[error("cannot keep the record of volume `{name}`")]
    Record {
        /// Which.
        name: String,
        /// Why not.
        source: RecordError,
    },
    /// The image's files can not be read.
    #[error("cannot fill volume `{name}` from the image")]
    Fill {
        /// Which.
        name: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tree of the image.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The mount of the image.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// No such volume.
    #[error("get {0}: no such volume")]
    Unknown(String),
    /// A container has it.
    #[error("remove {name}: volume is in use - [{}]", .users.join(", "))]
    InUse {
        /// Which.
        name: String,
        /// Ids of containers.
        users: Vec<String>,
    },
    /// A hook refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// Its files can not be removed.
    #[error("cannot remove volume `{name}`")]
    Remove {
        /// Which.
        name: String,
        /// Why not.
        source: TreeError,
    },
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Made for one container.
    pub anonymous: bool,
    /// Where its files are.
    pub path: PathBuf,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

impl Engine {
    /// The volume of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn volume(&self, name: &str) -> Result<Volume, VolumeError> {
        let record = self.store.volumes().get(name).map_err(|source| record_error(name, source))?;
        record.map(|record| self.describe(record)).ok_or_else(|| VolumeError::Unknown(name.to_owned()))
    }

    /// All volumes, sorted by name.
    ///
    /// # Errors
    /// When the records can not be read.
    pub fn volumes(&self) -> Result<Vec<Volume>, VolumeError> {
        let records = self.store.volumes().list().map_err(|source| record_error("*", source))?;
        Ok(records.into_iter().map(|record| self.describe(record)).collect())
    }

    /// Makes a volume; one of that name that is there already is fine.
    ///
    /// # Errors
    /// When its directory or record can not be made.
    pub fn create_volume(&self, name: &str, labels: &[(String, String)]) -> Result<Volume, VolumeError> {
        self.ensure_volume(name, false, labels)?;
        self.volume(name)
    }

    /// Makes a volume of that name, or of a name of 64 hex digits.
    ///
    /// # Errors
    /// When the name is not one, or its directory or record can not be made.
    pub fn new_volume(&self, name: Option<&str>) -> Result<Volume, VolumeError> {
        let name = match name {
            Some(name) => syntax::checked_name(name).map_err(VolumeError::Name)?,
            None => plan::fresh_name()?,
        };
        self.create_volume(&name, &[])
    }

    /// Removes a volume and its files.
    ///
    /// # Errors
    /// When there is none, a container has it, or its files can not be removed.
    pub fn remove_volume(&self, name: &str) -> Result<(), VolumeError> {
        let _spare = self.store.spare();
        let volume = self.volume(name)?;
        let users = self.store.volumes().users(name).map_err(|source| record_error(name, source))?;
        if !users.is_empty() {
            return Err(VolumeError::InUse { name: name.to_owned(), users });
        }
        let mut asked = AskedVolume(self.volume_op(VolumeChange::Remove, name, &volume.labels));
        self.ask_aloud(&mut asked)?;
        let directory = self.options.root.join("volumes").join(name);
        tree::remove(&directory).map_err(|source| VolumeError::Remove { name: name.to_owned(), source })?;
        self.store.volumes().remove(name).map_err(|source| record_error(name, source))?;
        self.note([Entry::new(Kind::Volume, "destroy", name).with("driver", "local")]);
        self.tell_hooks(&asked);
        Ok(())
    }

    /// True when it was made just now.
    fn ensure_volume(
        &self,
        name: &str,
        anonymous: bool,
        labels: &[(String, String)],
    ) -> Result<bool, VolumeError> {
        let known = self.store.volumes().get(name).map_err(|source| record_error(name, source))?;
        if known.is_some() && self.volume_path(name).is_dir() {
            return Ok(false);
        }
        let mut asked = AskedVolume(self.volume_op(VolumeChange::Create, name, labels));
        self.ask_aloud(&mut asked)?;
        let labels = &asked.0.labels;
        let path = self.volume_path(name);
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&path);
        made.map_err(|source| VolumeError::Directory { path, source })?;
        let created = self.store.volumes().create(name, "local", anonymous, labels);
        let fresh = created.map_err(|source| record_error(name, source))?;
        if fresh {
            self.note([Entry::new(Kind::Volume, "create", name).with("driver", "local")]);
            self.tell_hooks(&asked);
        }
        Ok(fresh)
    }

    fn volume_op(&self, action: VolumeChange, name: &str, labels: &[(String, String)]) -> VolumeOp {
        VolumeOp { action, name: name.to_owned(), driver: "local".to_owned(), labels: labels.to_vec() }
    }

    fn volume_path(&self, name: &str) -> PathBuf {
        self.options.root.join("volumes").join(name).join("_data")
    }

    fn describe(&self, record: wharf_store::VolumeRecord) -> Volume {
        Volume {
            path: self.volume_path(&record.name),
            name: record.name,
            anonymous: record.anonymous,
            created: record.created,
            labels: record.labels,
        }
    }
}

fn record_error(name: &str, source: RecordError) -> VolumeError {
    VolumeError::Record { name: name.to_owned(), source }
}
