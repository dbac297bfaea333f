//! What a storage driver asks the core to do.

use serde::{Deserialize, Serialize};

use crate::{Diagnostic, ExtensionOp, StateChange};

/// A directory the core keeps for a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// Image layers.
    Layer,
    /// Containers' root file systems.
    Container,
    /// Volumes.
    Volume,
}

/// A path below an area: relative, and without `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawRooted", into = "RawRooted")]
pub struct Rooted {
    area: Area,
    path: String,
}

/// Why a path is not below its area.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a path below an area: expected plain names joined by `/`")]
pub struct RootedError {
    path: String,
}

impl Rooted {
    /// Checks `path`: not empty, relative, no empty part, no `.`, no `..`, no NUL.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn new(area: Area, path: impl Into<String>) -> Result<Self, RootedError> {
        let path = path.into();
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        if path.split('/').all(plain) { Ok(Self { area, path }) } else { Err(RootedError { path }) }
    }

    /// Which area.
    pub fn area(&self) -> Area {
        self.area
    }

    /// The relative path.
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[derive(Serialize, Deserialize)]
struct RawRooted {
    area: Area,
    path: String,
}

impl TryFrom<RawRooted> for Rooted {
    type Error = RootedError;

    fn try_from(raw: RawRooted) -> Result<Self, RootedError> {
        Self::new(raw.area, raw.path)
    }
}

impl From<Rooted> for RawRooted {
    fn from(rooted: Rooted) -> Self {
        Self { area: rooted.area, path: rooted.path }
    }
}

/// What the core mounts to make an object visible.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StorageMount {
    /// An overlay; read-only without `upper`.
    Overlay {
        /// Topmost first.
        lower: Vec<Rooted>,
        /// Where changes go.
        upper: Option<Rooted>,
        /// overlayfs's own scratch directory, on the same file system as `upper`.
        work: Option<Rooted>,
        /// Further options of overlayfs, each checked against the grants.
        options: Vec<String>,
    },
    /// A directory as it is.
    Bind {
        /// Which.
        source: Rooted,
        /// No writes.
        read_only: bool,
    },
}

/// One operation of a storage plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StorageAction {
    /// Make a directory with its missing parents.
    Mkdir {
        /// Where.
        path: Rooted,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Remove a tree.
    RemoveTree(Rooted),
    /// Move a tree.
    Rename {
        /// From.
        source: Rooted,
        /// To.
        dest: Rooted,
    },
    /// Copy a tree with owners, modes, times, links and extended attributes.
    CloneTree {
        /// From.
        source: Rooted,
        /// To.
        dest: Rooted,
    },
    /// An experiment.
    Extension(ExtensionOp),
}

/// One step of a storage plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StorageStep {
    /// What to do.
    pub action: StorageAction,
    /// What a log shows.
    pub label: String,
}

/// What a storage driver answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoragePlan {
    /// In order.
    pub steps: Vec<StorageStep>,
    /// For an attach: the root first.
    pub mounts: Vec<StorageMount>,
    /// Committed together with the steps.
    pub state: Vec<StateChange>,
    /// What to tell the person.
    pub diagnostics: Vec<Diagnostic>,
}

/// A layer, a container's root file system or a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Object {
    /// A chain id's hex digits, a container's id, a volume's name.
    pub id: String,
    /// Which kind.
    pub area: Area,
    /// The layers below, topmost first.
    pub parents: Vec<String>,
    /// At most this many bytes.
    pub size_limit: Option<u64>,
}

/// How a layer's directory holds deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerFormat {
    /// As overlayfs does: character device 0:0 and the opaque attribute.
    Overlay,
    /// Not at all: each directory is a whole tree.
    Tree,
}

/// What a storage driver says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StorageInfo {
    /// The name `[engine] storage` uses.
    pub name: String,
    /// How its layers are kept.
    pub layers: LayerFormat,
}

/// What a driver may know about the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostFacts {
    /// `uname -r`.
    pub kernel: String,
    /// The engine runs without uid 0.
    pub rootless: bool,
    /// File systems the kernel has, sorted (storage drivers).
    pub filesystems: Vec<String>,
    /// The file system the engine's root is on (storage drivers).
    pub root_fstype: String,
    /// Names of the host's links (network drivers).
    pub links: Vec<String>,
}
