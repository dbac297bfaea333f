//! `start`: network, mounts, files, and a monitor that runs the program.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::OciSpecError;
use wharf_runtime::monitor::{self, AttachOptions, Connection, Launch, Monitor, Status};
use wharf_runtime::mount::{self, MountError, RootMount};
use wharf_runtime::process::Given;
use wharf_runtime::user::{self, Identity, UserError};
use wharf_store::{LockGuard, RecordError};

use super::{Container, FailedStart, LookupError, Mount, spec};
use crate::Engine;
use crate::device::DeviceError;
use crate::event::Entry;
use crate::hook::{self, AskedContainer, HookError};
use crate::network::{self, Files, Handles, Joined, NetworkError};
use crate::snapshot::{self, SnapshotError};
use crate::volume;

/// What a start gives back.
#[derive(Debug)]
pub struct Started {
    /// The record, with what the network answered.
    pub container: Container,
    /// The program's streams, when they were asked for.
    pub connection: Option<Connection>,
    /// It ran before; nothing was done.
    pub already: bool,
}

/// Why a container did not start. It stays created, and nothing else is left.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No such container.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Its root file system.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Its root file system can not be mounted.
    #[error("cannot mount the root file system")]
    Mount(#[from] MountError),
    /// Its network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Its user.
    #[error(transparent)]
    User(#[from] UserError),
    /// A device of its.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Its files.
    #[error("cannot write {path}", path = .path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Its spec.
    #[error("cannot describe the container to the runtime")]
    Spec(#[from] OciSpecError),
    /// Its monitor, or the program itself.
    #[error(transparent)]
    Monitor(#[from] monitor::StartError),
    /// A hook refused what a bind's source leads to by now.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// Its record.
    #[error("cannot keep the record of the container")]
    Record(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StartError {
    /// Docker's exit code: 127 not found, 126 not executable, 125 anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Monitor(error) => error.exit_code(),
            _ => 125,
        }
    }

    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Network(error) => error.next_step(),
            Self::Snapshot(error) => error.next_step(),
            Self::Device(error) => error.next_step(),
            _ => None,
        }
    }
}

/// As docker keeps it: 128 is what has no code of its own.
fn failed_start(error: &StartError) -> FailedStart {
    let code = match error.exit_code() {
        125 => 128,
        code => code,
    };
    FailedStart { code, message: error.to_string() }
}

impl Engine {
    /// Starts a container; one that runs already is left alone.
    ///
    /// # Errors
    /// When its network, mounts, files or program can not be had; all of it is undone then.
    pub fn start(&self, name: &str, attach: Option<AttachOptions>) -> Result<Started, StartError> {
        let mut container = self.container(name)?;
        let _guard = self.lock_container(&container.id).map_err(|error| StartError::Record(error.into()))?;
        if let Status::Running { .. } = self.status(&container) {
            return Ok(Started { container, connection: None, already: true });
        }
        self.take_down(&container);
        let attach_wanted = attach.is_some();
        let started = self.set_up(&mut container, attach);
        if let Err(error) = &started {
            self.take_down(&container);
            container.joined = None;
            container.failed_start = Some(failed_start(error));
            let _ = self.keep(&container); // the error that made it necessary is the one to report
        }
        let attached = attach_wanted.then(|| Entry::of(&container, "attach"));
        let connection = started?;
        self.note_start(&container, attached);
        Ok(Started { container, connection, already: false })
    }

    /// Held while a container is started, taken down or removed.
    pub(crate) fn lock_container(&self, id: &str) -> Result<LockGuard, RecordError> {
        self.store.lock(&format!("container-{id}"), false)
    }

    fn set_up(
        &self,
        container: &mut Container,
        attach: Option<AttachOptions>,
    ) -> Result<Option<Connection>, StartError> {
        self.judge_binds(container)?;
        // It gets ready while we find out what it is to run.
        let monitor = monitor::spawn(&container.id)?;
        let root = self.attach_root(container)?;
        let identity = self.identity(container)?;
        let (joined, handles) = self.join(&self.join_of(container))?;
        container.joined = Some(joined);
        self.write_files(container)?;
        let launch = self.launch(container, root, &identity)?;
        let connection = run(monitor, &launch, &handles, attach)?;
        container.has_run = true;
        container.failed_start = None;
        self.keep(container)?;
        Ok(connection)
    }

    /// A link in the source of a bind may have changed since hooks judged it.
    fn judge_binds(&self, container: &mut Container) -> Result<(), HookError> {
        let mut moved = false;
        for mount in container.mounts.iter_mut().filter(|mount| !mount.resolved.is_empty()) {
            let now = volume::resolved(&mount.source);
            moved |= now != mount.resolved;
            mount.resolved = now;
        }
        if moved {
            let details = |container: &Container| self.container_details(container);
            let mut asked = AskedContainer { container, files: Vec::new(), details: &details };
            self.judge(&mut asked)?.iter().for_each(|diagnostic| self.warn(diagnostic));
        }
        Ok(())
    }

    fn join_of<'a>(&self, container: &'a Container) -> network::Join<'a> {
        network::Join {
            id: &container.id,
            run_dir: self.run_dir(&container.id),
            network: &container.network,
            ports: &container.ports,
        }
    }

    fn attach_root(&self, container: &Container) -> Result<Vec<RootMount>, StartError> {
        let object = snapshot::container(&container.id, container.layers.clone());
        Ok(self.snapshots(&container.storage)?.attach(&object, false)?)
    }

    /// Names are looked up in the container's own files, just before it starts.
    fn identity(&self, container: &Container) -> Result<Identity, StartError> {
        let object = snapshot::container(&container.id, container.layers.clone());
        let mounts = self.snapshots(&container.storage)?.attach(&object, true)?;
        let root: OwnedFd = mount::detached(&mounts)?;
        Ok(user::resolve(root.as_fd(), &container.config.user)?)
    }

    fn write_files(&self, container: &Container) -> Result<(), StartError> {
        let dir = self.data_dir(&container.id);
        let Some(joined) = &container.joined else { return Ok(()) };
        fs::create_dir_all(&dir)
            .and_then(|()| network::write_files(&dir, &Files::of(container), joined))
            .map_err(|source| StartError::Files { path: dir, source })
    }

    fn launch(
        &self,
        container: &Container,
        root: Vec<RootMount>,
        identity: &Identity,
    ) -> Result<Launch, StartError> {
        let data_dir = self.data_dir(&container.id);
        let own_network = container.joined.as_ref().is_none_or(Joined::is_own);
        let cwd = &crate::volume::clean(&format!("/{}", container.config.working_dir));
        let targets = container.provided.iter().map(|file| file.target.as_str());
        let provided = hook::provided_mounts(&data_dir, targets);
        let mounts: Vec<Mount> = container.mounts.iter().cloned().chain(provided).collect();
        let mut spec = spec::of(&spec::Input {
            id: &container.id,
            argv: &container.argv,
            env: environment(container, identity),
            cwd,
            user: identity,
            hostname: own_network.then_some(container.hostname.as_str()),
            tty: container.tty,
            capabilities: &container.capabilities,
            privileged: container.privileged,
            seccomp_unconfined: container.seccomp_unconfined,
            read_only: container.read_only,
            limits: &container.limits,
            views: &[],
            mounts: &mounts,
            files: &data_dir,
            own_network,
            annotations: &container.annotations,
        })?;
        self.device_edits(&container.devices)?.apply(&mut spec);
        Ok(Launch {
            id: container.id.clone(),
            run_dir: self.run_dir(&container.id),
            data_dir,
            spec,
            root,
            cgroup: super::ended::cgroup_name(&container.id),
            open_stdin: container.open_stdin,
            stdin_once: container.stdin_once,
            log: true,
            die_with_client: false,
            on_exit: self.on_exit(&container.id),
        })
    }

    fn on_exit(&self, id: &str) -> Vec<String> {
        self.options.on_exit.iter().cloned().chain([id.to_owned()]).collect()
    }

    /// Writes the record back.
    pub(super) fn keep(&self, container: &Container) -> Result<(), StartError> {
        let json = serde_json::to_string(container).map_err(|error| StartError::Record(error.into()))?;
        let kept = self.store.containers().update(&container.id, &json);
        kept.map(drop).map_err(|error| StartError::Record(error.into()))
    }
}

fn run(
    monitor: Monitor,
    launch: &Launch,
    handles: &Handles,
    attach: Option<AttachOptions>,
) -> Result<Option<Connection>, StartError> {
    let given = Given { netns: handles.namespace.as_ref().map(AsFd::as_fd), ..Given::default() };
    let ports: Vec<_> = handles.ports.iter().map(AsFd::as_fd).collect();
    Ok(monitor.start(launch, given, &ports, attach)?.connection)
}

/// Where programs are looked for when the image does not say.
pub(crate) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// PATH, HOSTNAME, TERM, the image's and the user's variables, HOME; later ones win.
pub(super) fn environment(container: &Container, identity: &Identity) -> Vec<String> {
    let mut env = wharf_model::image::RunConfig::default();
    env.env.push(DEFAULT_PATH.to_owned());
    env.set_env("HOSTNAME", &container.hostname);
    if container.tty {
        env.set_env("TERM", "xterm");
    }
    for pair in &container.config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        env.set_env(name, value);
    }
    if env.env("HOME").is_none() {
        env.set_env("HOME", &identity.home);
    }
    env.env
}
