//! What hooks look at and answer with.

use serde::{Deserialize, Serialize};

use crate::build::Op;
use crate::{Diagnostic, Digest, Keyword};

/// A mount of a container that is about to be created.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerMount {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
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
    /// `CAP_...` names.
    pub capabilities: Vec<String>,
    /// Annotations of its OCI spec.
    pub annotations: Vec<(String, String)>,
    /// Without confinement.
    pub privileged: bool,
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
    /// A container that is about to be created.
    Container(ContainerSpec),
    /// An image that is about to get its id.
    ImageCommit {
        /// Names it will have.
        names: Vec<String>,
        /// Its config, as JSON.
        config: String,
    },
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

/// An adjusting hook's answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Adjustment {
    /// Set a variable of an exec or a container.
    SetEnv(String, String),
    /// Set an annotation of a container.
    AddAnnotation(String, String),
    /// Set a label of a container or an image.
    AddLabel(String, String),
    /// Take a capability away.
    DropCapability(String),
}

/// What a hook can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Each op of a build.
    BuildOp,
    /// Each container before it is created.
    Container,
    /// Each image before it gets its id.
    ImageCommit,
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
