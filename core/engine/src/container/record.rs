//! What is kept of a container from `create` to `rm`.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wharf_model::Digest;
use wharf_model::image::RunConfig;

use crate::device::DeviceRequest;
use crate::hook::Provided;
use crate::network::{Joined, PortSpec};

/// Everything about a container that does not change while it runs, and its network's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// Unique; may hold a `:`.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// The image as the user named it.
    pub image: String,
    /// The image it was created from; stays even when the name moves.
    pub image_id: Digest,
    /// The image's layers as chain ids without the algorithm, topmost first.
    pub layers: Vec<String>,
    /// The storage driver that keeps its root file system.
    pub storage: String,
    /// The program and its arguments: entrypoint and command put together.
    pub argv: Vec<String>,
    /// The image's config with the user's changes.
    pub config: RunConfig,
    /// Its host name.
    pub hostname: String,
    /// It has a terminal.
    pub tty: bool,
    /// Its standard input stays open.
    pub open_stdin: bool,
    /// Its standard input closes with the first client's.
    pub stdin_once: bool,
    /// It is removed when it ends.
    pub auto_remove: bool,
    /// Mounts, parents first.
    pub mounts: Vec<Mount>,
    /// The `-v` and `--mount` texts, for `inspect`.
    pub binds: Vec<String>,
    /// The network's name.
    pub network: String,
    /// Ports to publish.
    pub ports: Vec<PortSpec>,
    /// Further lines of `/etc/hosts`.
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// Name servers instead of the network's.
    pub dns: Vec<IpAddr>,
    /// Capabilities, as `CAP_...`.
    pub capabilities: Vec<String>,
    /// Without confinement.
    pub privileged: bool,
    /// Without the default system call filter.
    pub seccomp_unconfined: bool,
    /// Devices that it has besides those of every container.
    #[serde(default)]
    pub devices: Vec<DeviceRequest>,
    /// Its root file system can not be written.
    pub read_only: bool,
    /// What it may use.
    pub limits: Limits,
    /// Seconds between `stop`'s signal and SIGKILL; -1 waits for ever.
    pub stop_timeout: Option<i64>,
    /// Annotations of its OCI spec.
    pub annotations: Vec<(String, String)>,
    /// Files that hooks put into it, over everything else.
    #[serde(default)]
    pub provided: Vec<Provided>,
    /// What the network answered when it was started last.
    pub joined: Option<Joined>,
    /// It has run at least once.
    #[serde(default)]
    pub has_run: bool,
    /// Why its last start failed, if it did.
    #[serde(default)]
    pub failed_start: Option<FailedStart>,
}

/// Why a container did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedStart {
    /// Its exit code: 127 not found, 126 not executable, 128 anything else.
    pub code: u8,
    /// In words.
    pub message: String,
}

impl Container {
    /// The first 12 hex digits of the id.
    pub fn short_id(&self) -> &str {
        &self.id[..12]
    }
}

/// What a container may use. `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<i64>,
    /// Bytes of memory and swap together; -1 is no limit.
    pub memory_swap: Option<i64>,
    /// Billionths of a processor.
    pub nano_cpus: Option<i64>,
    /// Relative weight, 1024 by default.
    pub cpu_shares: Option<u64>,
    /// `0-3,7`.
    pub cpuset_cpus: Option<String>,
    /// Processes and threads.
    pub pids: Option<i64>,
    /// Bytes of `/dev/shm`.
    pub shm_size: Option<i64>,
    /// Bytes of the root file system, where the storage driver can.
    pub storage_size: Option<u64>,
    /// Resource limits of each process: name, soft, hard.
    pub ulimits: Vec<(String, u64, u64)>,
}

/// What kind of thing is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A file or directory of the host.
    Bind,
    /// A volume.
    Volume,
    /// Memory.
    Tmpfs,
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What kind.
    pub kind: MountKind,
    /// The volume's name, empty for others.
    pub name: String,
    /// The host path as it was given; empty for tmpfs.
    pub source: String,
    /// A bind's source without links, as hooks judged it; empty when none was there to judge.
    #[serde(default)]
    pub resolved: String,
    /// Where it is in the container.
    pub target: String,
    /// No writes.
    pub read_only: bool,
    /// `rprivate`, `rslave`, `rshared`, ...
    pub propagation: String,
    /// A volume without a name of its own: removed with the container by `--rm` and `rm -v`.
    pub anonymous: bool,
    /// Further options of a tmpfs.
    pub options: Vec<String>,
}

impl Mount {
    /// What is mounted: the source, without links where it is a bind's.
    pub(crate) fn host_path(&self) -> &str {
        if self.resolved.is_empty() { &self.source } else { &self.resolved }
    }
}
