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

/// Further options of overlayfs. `None` is the kernel's own choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OverlayOptions {
    /// Hard links stay together when one is copied up.
    pub index: Option<bool>,
    /// A change of metadata does not copy the data.
    pub metacopy: Option<bool>,
    /// A directory is renamed rather than copied.
    pub redirect_dir: Option<bool>,
    /// The mount can be exported over NFS.
    pub nfs_export: Option<bool>,
    /// Inode numbers hold the file system's number.
    pub xino: Option<bool>,
    /// overlayfs's attributes are those that an unprivileged user may set.
    pub user_xattr: bool,
    /// Nothing is synced; what a crash leaves can not be used.
    pub volatile: bool,
}

impl OverlayOptions {
    /// As `mount` takes them: `index=off`, `volatile`.
    pub fn words(&self) -> Vec<String> {
        let switches = [
            ("index", self.index),
            ("metacopy", self.metacopy),
            ("redirect_dir", self.redirect_dir),
            ("nfs_export", self.nfs_export),
            ("xino", self.xino),
        ];
        let word = |(name, on): (&str, bool)| format!("{name}={}", if on { "on" } else { "off" });
        let chosen = switches.into_iter().filter_map(|(name, on)| on.map(|on| word((name, on))));
        let plain = [("userxattr", self.user_xattr), ("volatile", self.volatile)];
        chosen.chain(plain.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned())).collect()
    }
}

/// A file system that the core can make and mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

impl Filesystem {
    /// As `mount -t` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

/// A file that holds a file system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Image {
    /// The file.
    pub source: Rooted,
    /// What is in it.
    pub filesystem: Filesystem,
}

/// Where an object is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Location {
    /// The directory that a layer is unpacked into, and that holds what a container changed. With
    /// `image`, its path is inside that file system.
    pub changes: Rooted,
    /// A file system in a file, which is mounted whenever somebody looks.
    pub image: Option<Image>,
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
        /// Everything else.
        options: OverlayOptions,
    },
    /// A directory as it is.
    Bind {
        /// Which.
        source: Rooted,
        /// No writes.
        read_only: bool,
    },
    /// A file system in a file, through a loop device that goes away with the mount.
    Image {
        /// The file.
        source: Rooted,
        /// What is in it.
        filesystem: Filesystem,
        /// Which directory of it is shown: plain names joined by `/`, empty for its root.
        path: String,
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
    /// Make a sparse file.
    MakeFile {
        /// Where; nothing is there yet.
        path: Rooted,
        /// In bytes.
        size: u64,
    },
    /// Make a file system in a file that this plan made.
    Format {
        /// The file.
        path: Rooted,
        /// What it becomes.
        filesystem: Filesystem,
    },
    /// Copy a file, sharing blocks where the file system can and keeping holes.
    CloneFile {
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
