//! The small language that Dockerfile instructions are lowered to.

use serde::{Deserialize, Serialize};

use crate::image::Healthcheck;
use crate::{Diagnostic, Digest, ExtensionOp, Platform};

/// Where a file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Input {
    /// The stage as it was before this instruction.
    Stage,
    /// An earlier op of the same plan, by index.
    Op(u32),
    /// The build context.
    Local,
    /// A stage, an image or a named context.
    Named(String),
    /// Nothing at all.
    Scratch,
}

/// Names or numbers, looked up in the stage's `/etc/passwd` and `/etc/group`.
///
/// Without a group, a number is its own group and a name has its primary group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// User name or uid.
    pub user: String,
    /// Group name or gid.
    pub group: Option<String>,
}

/// New permission bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ModeChange {
    /// Exactly these.
    Bits(u32),
    /// `chmod`'s symbolic language: `u=rwX,go=rX`.
    Symbolic(String),
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// By the stage's SHELL.
    Shell(String),
    /// As it is.
    Argv(Vec<String>),
    /// As an executable file with a `#!` line of its own.
    Script(String),
}

/// Whether several builds may use a cache mount at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheSharing {
    /// All at once.
    Shared,
    /// Each gets its own.
    Private,
    /// One waits for the other.
    Locked,
}

/// A mount that exists while one command runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mount {
    /// A file or directory of another file system; what is written there is thrown away.
    Bind {
        /// Whose.
        source: Input,
        /// Which path of it.
        source_path: String,
        /// Where.
        target: String,
        /// Writes are allowed.
        writable: bool,
    },
    /// A directory that outlives the build.
    Cache {
        /// Which one.
        id: String,
        /// Where.
        target: String,
        /// With whom.
        sharing: CacheSharing,
        /// No writes.
        read_only: bool,
        /// What a fresh one starts with.
        source: Input,
        /// Which path of it.
        source_path: String,
        /// Permission bits of a fresh one.
        mode: u32,
        /// Owner of a fresh one.
        uid: u32,
        /// Group of a fresh one.
        gid: u32,
    },
    /// A secret, as a file, a variable, or both.
    Secret {
        /// Which one.
        id: String,
        /// The file's path.
        target: Option<String>,
        /// The variable's name.
        env: Option<String>,
        /// Missing is an error.
        required: bool,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// The socket of an ssh agent.
    Ssh {
        /// Which one.
        id: String,
        /// The socket's path.
        target: Option<String>,
        /// Missing is an error.
        required: bool,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Where.
        target: String,
        /// At most this many bytes.
        size: Option<u64>,
    },
}

/// Which network a command sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetAccess {
    /// Loopback only.
    None,
    /// The build's own network.
    Sandbox,
    /// The host's.
    Host,
}

/// How confined a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// As a container by default.
    Sandbox,
    /// As a privileged container.
    Insecure,
}

/// A device that a file of the Container Device Interface (CDI) describes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Device {
    /// `vendor.com/class=name`, `vendor.com/class` (the first), `vendor.com/class=*` (all), or a class that a file
    /// gives to devices by an annotation.
    pub name: String,
    /// Missing is an error.
    pub required: bool,
}

/// Runs a program on `base`; what it changes becomes a layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Exec {
    /// On which file system.
    pub base: Input,
    /// Which program.
    pub command: Command,
    /// On top of the stage's environment and arguments.
    pub env: Vec<(String, String)>,
    /// Instead of the stage's WORKDIR.
    pub cwd: Option<String>,
    /// Instead of the stage's USER.
    pub user: Option<String>,
    /// What it sees besides.
    pub mounts: Vec<Mount>,
    /// Its network.
    pub net: NetAccess,
    /// Its confinement.
    pub security: Security,
    /// Devices that it sees. Left out where there are none, so that a step without them keeps its cache key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
}

/// Copies files into `base`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Copy {
    /// Into which file system.
    pub base: Input,
    /// From which.
    pub source: Input,
    /// Patterns as in Go's `filepath.Match`, below the root of `source`.
    pub paths: Vec<String>,
    /// Patterns as in `.dockerignore`.
    pub excludes: Vec<String>,
    /// Where to, relative to the stage's WORKDIR.
    pub dest: String,
    /// New owner; 0:0 by default.
    pub owner: Option<Owner>,
    /// New permission bits; the source's by default.
    pub mode: Option<ModeChange>,
    /// Extract archives of a known format instead.
    pub unpack: bool,
    /// Keep the directories of each source path.
    pub parents: bool,
    /// Copy onto an empty root, whatever `base` holds.
    pub link: bool,
}

/// One operation of a build plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Run a program.
    Exec(Exec),
    /// Copy files.
    Copy(Copy),
    /// Write one file.
    Write {
        /// Into which file system.
        base: Input,
        /// Where, relative to the stage's WORKDIR.
        path: String,
        /// Its content.
        content: Vec<u8>,
        /// Its owner; 0:0 by default.
        owner: Option<Owner>,
        /// Its permission bits.
        mode: u32,
    },
    /// Make a directory with its missing parents; one that exists is left as it is.
    Mkdir {
        /// In which file system.
        base: Input,
        /// Where, relative to the stage's WORKDIR.
        path: String,
        /// Its owner; 0:0 by default.
        owner: Option<Owner>,
        /// Its permission bits.
        mode: u32,
    },
    /// Remove a file or a tree.
    Remove {
        /// From which file system.
        base: Input,
        /// What.
        path: String,
        /// Nothing there is fine.
        missing_ok: bool,
    },
    /// Make a symbolic link.
    Symlink {
        /// In which file system.
        base: Input,
        /// What it points to.
        target: String,
        /// Where it is.
        path: String,
    },
    /// The root file system of an image.
    Image {
        /// Its name.
        reference: String,
        /// For which platform.
        platform: Option<Platform>,
    },
    /// One file from the web.
    Http {
        /// Its address.
        url: String,
        /// What its content must hash to.
        checksum: Option<Digest>,
        /// What the file is called.
        filename: String,
    },
    /// The files of a git repository.
    Git {
        /// Its address.
        url: String,
        /// A branch, a tag or a commit; the default branch without it.
        reference: Option<String>,
        /// What the commit's name must begin with: lower-case hex.
        checksum: Option<String>,
        /// `.git` stays.
        keep_git_dir: bool,
    },
    /// An experiment.
    Extension(ExtensionOp),
}

/// One step of a build plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Op {
    /// What to do.
    pub action: Action,
    /// What progress shows.
    pub label: String,
}

/// A change of the image's config, or of the arguments in scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConfigChange {
    /// ENV.
    SetEnv(String, String),
    /// Forget a variable.
    UnsetEnv(String),
    /// ARG, with its default.
    DeclareArg(String, Option<String>),
    /// WORKDIR, joined to the one before.
    WorkingDir(String),
    /// USER.
    User(String),
    /// ENTRYPOINT; forgets a CMD that was inherited from the base image.
    Entrypoint(Vec<String>),
    /// CMD.
    Cmd(Vec<String>),
    /// SHELL.
    Shell(Vec<String>),
    /// LABEL.
    Label(String, String),
    /// Forget a label.
    Unlabel(String),
    /// EXPOSE, as `80/tcp`.
    Expose(String),
    /// Forget an exposed port.
    Unexpose(String),
    /// VOLUME.
    Volume(String),
    /// Forget a volume.
    Unvolume(String),
    /// STOPSIGNAL.
    StopSignal(String),
    /// HEALTHCHECK.
    Healthcheck(Healthcheck),
    /// ONBUILD.
    OnBuild(String),
    /// MAINTAINER.
    Author(String),
}

/// What an instruction means: ops in topological order, and config changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    /// Each refers to lower indices only.
    pub ops: Vec<Op>,
    /// The stage's file system afterwards; [`Input::Stage`] when only the config changes.
    pub rootfs: Input,
    /// In order.
    pub config: Vec<ConfigChange>,
    /// What to tell the person.
    pub diagnostics: Vec<Diagnostic>,
}

/// What a stage starts with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StageStart {
    /// An image, an earlier stage or nothing.
    pub base: Input,
    /// How later statements refer to it.
    pub name: Option<String>,
    /// For which platform.
    pub platform: Option<Platform>,
    /// What the plugin reported meanwhile.
    pub diagnostics: Vec<Diagnostic>,
}

/// A plugin's answer to one statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Ops and config changes.
    Plan(Plan),
    /// A new stage.
    Stage(StageStart),
    /// Dockerfile lines to be parsed in place.
    Expand(Vec<String>),
}
