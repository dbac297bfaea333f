//! What hooks look at and answer with.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::build::Op;
use crate::network::Port;
use crate::{Diagnostic, Digest, Keyword};

/// What a mount of a container shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume.
    Volume,
    /// An empty file system in memory.
    Tmpfs,
}

/// A mount of a container that is about to be created.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerMount {
    /// What it shows.
    pub kind: MountKind,
    /// The host path of a bind, the name of a volume, empty for tmpfs.
    pub source: String,
    /// Where it is in the container.
    pub target: String,
    /// No writes.
    pub read_only: bool,
}

/// A container that is about to be created.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// 64 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image as the user named it.
    pub image: String,
    /// The image's id.
    pub image_id: Digest,
    /// What is run.
    pub argv: Vec<String>,
    /// With which environment.
    pub env: Vec<(String, String)>,
    /// In which directory.
    pub working_dir: String,
    /// As whom, as the user wrote it.
    pub user: String,
    /// Its mounts.
    pub mounts: Vec<ContainerMount>,
    /// Its network's name.
    pub network: String,
    /// What it publishes; a host port of 0 is chosen later.
    pub ports: Vec<Port>,
    /// `CAP_...` names.
    pub capabilities: Vec<String>,
    /// Annotations of its OCI spec.
    pub annotations: Vec<(String, String)>,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Without confinement.
    pub privileged: bool,
    /// The whole container as `inspect` prints it, JSON: nothing is left out.
    pub details: String,
}

/// A program that is about to be started in a running container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The container's id.
    pub container: String,
    /// The container's name.
    pub container_name: String,
    /// What is run.
    pub argv: Vec<String>,
    /// With which environment.
    pub env: Vec<(String, String)>,
    /// In which directory.
    pub working_dir: String,
    /// As whom, as the user wrote it.
    pub user: String,
    /// Without confinement.
    pub privileged: bool,
    /// On a terminal of its own.
    pub tty: bool,
}

/// What happens to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkChange {
    /// It is made.
    Create,
    /// It is removed.
    Remove,
    /// A container joins it.
    Connect,
    /// A container leaves it.
    Disconnect,
}

/// Something that is about to happen to a network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkOp {
    /// What.
    pub action: NetworkChange,
    /// The network's name.
    pub name: String,
    /// The plugin that drives it.
    pub driver: String,
    /// The id of the container that joins or leaves.
    pub container: Option<String>,
    /// The driver's own options.
    pub options: Vec<(String, String)>,
}

/// What happens to a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeChange {
    /// It is made.
    Create,
    /// It is removed.
    Remove,
}

/// Something that is about to happen to a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VolumeOp {
    /// What.
    pub action: VolumeChange,
    /// The volume's name.
    pub name: String,
    /// The plugin that drives it.
    pub driver: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// An image on its way from or to a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageTransfer {
    /// The whole name, registry and tag or digest included.
    pub reference: String,
    /// The manifest's digest, when it is known.
    pub digest: Option<Digest>,
    /// The layers, the lowest first, when they are known.
    pub layers: Vec<Digest>,
}

/// What a hook is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// An op as an instruction plugin proposed it.
    BuildOp {
        /// The op.
        op: Op,
        /// Which plugin.
        plugin: String,
        /// For which keyword.
        instruction: Keyword,
    },
    /// An image that is about to get its id.
    ImageCommit {
        /// Names it will have.
        names: Vec<String>,
        /// Its config, as JSON.
        config: String,
    },
    /// A container that is about to be created.
    Container(ContainerSpec),
    /// A program that is about to be started in a container.
    Exec(ExecSpec),
    /// A network that is about to change.
    Network(NetworkOp),
    /// A volume that is about to change.
    Volume(VolumeOp),
    /// An image that comes from a registry.
    ImagePull(ImageTransfer),
    /// An image that goes to a registry.
    ImagePush(ImageTransfer),
}

impl Subject {
    /// The moment that hooks subscribe to.
    pub fn moment(&self) -> Moment {
        match self {
            Self::BuildOp { .. } => Moment::BuildOp,
            Self::ImageCommit { .. } => Moment::ImageCommit,
            Self::Container(_) => Moment::Container,
            Self::Exec(_) => Moment::Exec,
            Self::Network(_) => Moment::Network,
            Self::Volume(_) => Moment::Volume,
            Self::ImagePull(_) => Moment::ImagePull,
            Self::ImagePush(_) => Moment::ImagePush,
        }
    }
}

/// What an adjusting hook did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// In words.
    pub description: String,
    /// The plugin.
    pub owner: String,
}

/// A subject with what happened to it so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Event {
    /// What it is about; always complete.
    pub subject: Subject,
    /// By hooks before.
    pub changes: Vec<Change>,
}

/// A judging hook's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Go on, and say this.
    Warn(Vec<Diagnostic>),
    /// Stop, and say this.
    Deny(Vec<Diagnostic>),
}

/// A file that is mounted read-only in a RUN or a container, and is never part of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProvidedFile {
    /// An absolute path without `..`.
    pub target: String,
    /// What it holds.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Something that is kept beside an image and does not change its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attached {
    /// A plain file name.
    pub name: String,
    /// `application/spdx+json`, ...
    pub media_type: String,
    /// What it holds.
    pub content: Vec<u8>,
}

/// An adjusting hook's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Adjustment {
    /// Set a variable of a RUN, a container or an exec.
    SetEnv(String, String),
    /// Take a variable away.
    UnsetEnv(String),
    /// Set an annotation of a container.
    AddAnnotation(String, String),
    /// Set a label of a container, an image or a volume.
    AddLabel(String, String),
    /// Take a capability away from a RUN, a container or an exec.
    DropCapability(String),
    /// A line of `/etc/hosts` of a RUN or a container.
    AddHost(String, IpAddr),
    /// Mount a file in a RUN or a container.
    ProvideFile(ProvidedFile),
    /// Keep something beside an image that is committed.
    Attach(Attached),
}

/// What a hook can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Each op of a build.
    BuildOp,
    /// Each image before it gets its id.
    ImageCommit,
    /// Each container before it is created.
    Container,
    /// Each exec before it is started.
    Exec,
    /// Each operation on a network.
    Network,
    /// Each operation on a volume.
    Volume,
    /// Each pull.
    ImagePull,
    /// Each push.
    ImagePush,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::BuildOp,
        Self::ImageCommit,
        Self::Container,
        Self::Exec,
        Self::Network,
        Self::Volume,
        Self::ImagePull,
        Self::ImagePush,
    ];

    /// The word in the TOML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuildOp => "build-op",
            Self::ImageCommit => "image-commit",
            Self::Container => "container",
            Self::Exec => "exec",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::ImagePull => "image-pull",
            Self::ImagePush => "image-push",
        }
    }
}

/// When a hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// First: may change the subject.
    Adjust,
    /// Second: may refuse it.
    Judge,
    /// Third: is told afterwards.
    Observe,
}
