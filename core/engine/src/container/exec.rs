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
use crate::hook::{AskedExec, HookError};

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
    /// A hook refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The process can not be described.
    #[error("cannot describe the process to the runtime")]
    Spec(#[from] OciSpecError),
    /// The monitor, or the program itself.
    #[error(transparent)]
    Monitor(ExecFailure),
}

impl ExecutionError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Hook(error) => error.next_step(),
            _ => None,
        }
    }

    /// Docker's exit code: 127 not found, 126 not executable or not allowed, 1 anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Monitor(ExecFailure::Start(error)) if error.exit_code() != 125 => error.exit_code(),
            Self::Hook(_) => 126,
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
        let mut asked = asked(&container, &identity, options);
        self.ask_aloud(&mut asked)?;
        let request = ExecRequest {
            process: process(&asked, &identity)?,
            open_stdin: options.interactive,
            detach: options.detached,
            attach: options.attach.clone(),
        };
        let command = options.argv.join(" ");
        self.note(["exec_create", "exec_start"].map(|it| Entry::of(&container, format!("{it}: {command}"))));
        let started = monitor::exec(&self.run_dir(&container.id), &request);
        let started = started.map_err(|failure| match failure {
            ExecFailure::NotRunning => ExecutionError::NotRunning(container.id.clone()),
            failure => ExecutionError::Monitor(failure),
        })?;
        self.tell_hooks(&asked);
        Ok(started)
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

/// What hooks are asked about, and what is run in the end.
fn asked<'a>(container: &'a Container, identity: &Identity, options: &ExecOptions) -> AskedExec<'a> {
    let names = if options.privileged {
        spec::capability_names(&caps::all())
    } else {
        container.capabilities.clone()
    };
    let directory = options.working_dir.as_ref().unwrap_or(&container.config.working_dir);
    AskedExec {
        container,
        argv: options.argv.clone(),
        env: environment(container, identity, options),
        working_dir: if directory.is_empty() { "/".to_owned() } else { directory.clone() },
        user: options.user.as_ref().unwrap_or(&container.config.user).clone(),
        privileged: options.privileged,
        tty: options.tty,
        capabilities: names,
    }
}

fn process(asked: &AskedExec<'_>, identity: &Identity) -> Result<Process, OciSpecError> {
    ProcessBuilder::default()
        .terminal(asked.tty)
        .args(asked.argv.clone())
        .env(asked.env.clone())
        .cwd(&asked.working_dir)
        .user(spec::user(identity)?)
        .capabilities(caps::linux(&spec::parsed(&asked.capabilities), identity.uid))
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
