//! The process that watches one container, and how others talk to it.
//!
//! There is no daemon. Every running container has one `wharf-monitor`: single-threaded, a few
//! hundred kilobytes, started by [`start`] and gone after the container. It owns the container's
//! process, its streams, its log and its exit code.
//!
//! # On disk
//!
//! ```text
//! <run_dir>/lock          locked (OFD lock) as long as the container runs
//! <run_dir>/monitor.sock  where clients connect; mode 0600
//! <run_dir>/state.json    pid, start time, boot id, when, data_dir; stays after the end
//! <run_dir>/exit.json     how the last run ended (again, in case data_dir is on a full disk)
//! <data_dir>/exit.json    how the last run ended
//! <data_dir>/log.jsonl*   what it wrote (see `log`)
//! ```
//!
//! Files appear whole, by rename. A container runs if and only if the lock is held, there is no
//! `exit.json`, and `state.json` names this boot and a process that started at that very time.
//! `state.json` without a lock and without `exit.json` is a crash, for which the kernel kills the
//! container's process too (a set-user-id program excepted: the next start kills that).
//!
//! # The order at the end
//!
//! The rest of the output is logged and queued for clients; what is left in the cgroup is killed and
//! the cgroup removed; `exit.json` is written; the socket is removed; the lock is released; clients
//! are told; `on_exit` runs unless a client that promised to clean up (`reap`) says that it has.
//! So whoever was told can start the container again at once, and so may `on_exit` itself.
//!
//! # On the wire
//!
//! A stream socket carries frames `[kind u8][length u32 BE][payload]`. A connection is for one thing,
//! named by its first frame, a JSON request: `attach`, `exec`, `wait`, `resize`. The answer is
//! `Hello` or `Refusal`, then frames both ways until `Exit`, which is always the last.
//!
//! Flow: output is queued up to 128 KiB a client; when the queue of one is full the process is not
//! read any further, so a slow reader slows the process down, as a pipe would. A client that takes
//! nothing for ten seconds is dropped, except the one that the container was started with, which may
//! be as slow as it likes: it is the container's foreground, and often a pager. Input is sent only
//! as far as it was acknowledged (`StdinTaken`), at most 64 KiB ahead, so that signals and sizes
//! never queue behind bytes that nobody reads.
//!
//! A monitor is started through a sequenced-packet socket pair at its descriptor 0; see `launch`.

mod connection;
mod control;
mod frame;
mod keys;
mod launch;
mod message;
mod record;
pub mod serve;

use std::path::PathBuf;

use oci_spec::runtime::{Process, Spec};
use serde::{Deserialize, Serialize};

pub use connection::{Connection, Ended, ForwardError, Killer, Local, Timed};
pub use control::{ConnectError, ExecFailure, Execution, SignalError, WaitError};
pub use control::{attach, exec, resize, signal, wait};
pub use keys::{DetachKeys, NotKeys};
pub use launch::{Monitor, StartError, spawn, start};
pub use record::{Exit, Status, state};

pub(crate) use record::is_over;

use crate::mount::RootMount;

/// Everything a monitor must know to run a container once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    /// The container's id.
    pub id: String,
    /// Where the monitor keeps what only matters while it runs.
    pub run_dir: PathBuf,
    /// Where the monitor keeps what outlives a reboot.
    pub data_dir: PathBuf,
    /// What to run.
    pub spec: Spec,
    /// What the root file system is made of.
    pub root: Vec<RootMount>,
    /// The name of the cgroup.
    pub cgroup: String,
    /// Whether standard input is a pipe that clients write to, or `/dev/null`.
    pub open_stdin: bool,
    /// Whether standard input closes when the first client that writes to it has finished.
    pub stdin_once: bool,
    /// Whether output goes to the log.
    pub log: bool,
    /// Whether the container is killed when the starter's connection closes.
    pub die_with_client: bool,
    /// What to run when the container has ended; empty for nothing.
    pub on_exit: Vec<String>,
}

/// What a client of a container's main process wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttachOptions {
    /// Send input.
    pub stdin: bool,
    /// Receive standard output (or the terminal's).
    pub stdout: bool,
    /// Receive standard error.
    pub stderr: bool,
    /// How a person leaves without ending the container; only looked at when it has a terminal.
    pub detach_keys: DetachKeys,
    /// Pass signals on to the process; only when it has no terminal.
    pub sig_proxy: bool,
    /// Promise to do what `on_exit` does.
    pub reap: bool,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self {
            stdin: false,
            stdout: true,
            stderr: true,
            detach_keys: DetachKeys::default(),
            sig_proxy: true,
            reap: false,
        }
    }
}

/// Another process to run in a container.
#[derive(Debug, Clone)]
pub struct ExecRequest {
    /// What to run; its `terminal` decides whether it gets one.
    pub process: Process,
    /// Whether standard input is the client's, or `/dev/null`.
    pub open_stdin: bool,
    /// Whether to return as soon as it runs, its output going nowhere.
    pub detach: bool,
    /// Detach keys and signal proxy of the connection; the rest is not looked at.
    pub attach: AttachOptions,
}

/// A container that runs.
#[derive(Debug)]
pub struct Started {
    /// The container's process, as the host sees it.
    pub pid: i32,
    /// The connection that was asked for.
    pub connection: Option<Connection>,
}

/// Which of a process's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Makes `run_dir` look like that of a running container, for tests of what follows one.
#[cfg(test)]
pub(crate) fn hold_lock(run_dir: &std::path::Path) -> impl Send + use<> {
    record::Lock::take(run_dir, std::time::Duration::ZERO).unwrap().unwrap()
}
