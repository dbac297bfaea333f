//! `exec`: a further process in a running container.

use std::os::fd::{AsFd, OwnedFd};

use oci_spec::OciSpecError;
use oci_spec::runtime::{Process, ProcessBuilder};
use rustix::fs::{Mode, OFlags};
use wharf_runtime::caps;
use wharf_runtime::monitor::{
    self, AttachOptions, ConnectError, Connection, ExecFailure, ExecRequest, Execution, Status,
};
use wharf_runtime::user::{self, Identity, UserError};

use super::{Container, LookupError, spec, start};
use crate::Engine;
use crate::event::Entry;

/// What is to be run, and how.
#[derive(Debug, Clone, Default)]
pub struct ExecOptions {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// On top of the container's, `NAME=value`.
    pub env: Vec<String>,
    /// Instead of the container's.
    pub user: Option<String>,
    /// Instead of the container's.
    pub working_dir: Option<String>,
    /// A terminal.
    pub tty: bool,
    /// Standard input stays open.
    pub interactive: bool,
    /// Do not wait for it.
    pub detached: bool,
    /// All capabilities.
    pub privileged: bool,
    /// How the client's side behaves.
    pub attach: AttachOptions,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// No such container.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It does not run.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// The user is not there.
    #[error(transparent)]
    User(#[from] UserError),
    /// The container's root can not be seen.
    #[error("cannot open the root of container `{name}`")]
    Root {
        /// Which.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The process can not be described.
    #[error("cannot describe the process to the runtime")]
    Spec(#[from] OciSpecError),
    /// The monitor, or the program itself.
    #[error(transparent)]
    Monitor(ExecFailure),
}

impl ExecutionError {
    /// Docker's exit code: 127 not found, 126 not executable, 1 anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Monitor(ExecFailure::Start(error)) if error.exit_code() != 125 => error.exit_code(),
            _ => 1,
        }
    }
}

impl Engine {
    /// Attaches to the streams of a running container.
    ///
    /// # Errors
    /// When it does not run.
    pub fn attach(&self, container: &Container, options: AttachOptions) -> Result<Connection, ConnectError> {
        let connection = monitor::attach(&self.run_dir(&container.id), options)?;
        self.note([Entry::of(container, "attach")]);
        Ok(connection)
    }

    /// Runs a further process in a running container.
    ///
    /// # Errors
    /// When there is none, it does not run, or the program can not be started.
    pub fn exec(&self, name: &str, options: &ExecOptions) -> Result<Execution, ExecutionError> {
        let container = self.container(name)?;
        let Status::Running { pid, .. } = self.status(&container) else {
            return Err(ExecutionError::NotRunning(container.id));
        };
        let identity = identity(&container, pid, options)?;
        let request = ExecRequest {
            process: process(&container, &identity, options)?,
            open_stdin: options.interactive,
            detach: options.detached,
            attach: options.attach.clone(),
        };
        let command = options.argv.join(" ");
        self.note(["exec_create", "exec_start"].map(|it| Entry::of(&container, format!("{it}: {command}"))));
        monitor::exec(&self.run_dir(&container.id), &request).map_err(|failure| match failure {
            ExecFailure::NotRunning => ExecutionError::NotRunning(container.id),
            failure => ExecutionError::Monitor(failure),
        })
    }
}

fn identity(container: &Container, pid: i32, options: &ExecOptions) -> Result<Identity, ExecutionError> {
    let root = open_root(pid)
        .map_err(|source| ExecutionError::Root { name: container.name.clone(), source: source.into() })?;
    let user = options.user.as_ref().unwrap_or(&container.config.user);
    Ok(user::resolve(root.as_fd(), user)?)
}

fn open_root(pid: i32) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty())
}

fn process(
    container: &Container,
    identity: &Identity,
    options: &ExecOptions,
) -> Result<Process, OciSpecError> {
    let names = if options.privileged {
        spec::capability_names(&caps::all())
    } else {
        container.capabilities.clone()
    };
    let directory = options.working_dir.as_ref().unwrap_or(&container.config.working_dir);
    ProcessBuilder::default()
        .terminal(options.tty)
        .args(options.argv.clone())
        .env(environment(container, identity, options))
        .cwd(if directory.is_empty() { "/" } else { directory })
        .user(spec::user(identity)?)
        .capabilities(caps::linux(&spec::parsed(&names), identity.uid))
        .no_new_privileges(false)
        .build()
}

fn environment(container: &Container, identity: &Identity, options: &ExecOptions) -> Vec<String> {
    let mut with = container.clone();
    with.tty |= options.tty;
    for pair in &options.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        with.config.set_env(name, value);
    }
    start::environment(&with, identity)
}
