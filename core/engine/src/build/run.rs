//! RUN: a program on the stage's tree, confined like a container.
//!
//! Its monitor dies with the build, so an interrupted build leaves no process and no mount, and the
//! claim on the tree leads to the rest. What the runtime had to make to mount things on is taken away again, so that it
//! does not end up in the layer.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use wharf_model::build::{Command, Exec, Mount, NetAccess, Security};
use wharf_runtime::caps;
use wharf_runtime::monitor::{self, Launch};
use wharf_runtime::user;

use super::execute::Execution;
use super::key::Parts;
use super::missing::Missing;
use super::mounts::{Mounted, SCRIPT};
use super::plan::Step;
use super::progress::BuildEvent;
use super::request::BuildError;
use super::tree::Work;
use crate::container::spec::{self, Input};
use crate::container::{DEFAULT_PATH, Limits, cgroup_name};
use crate::hook::{self, Extra};
use crate::network::{self, Files, Handles, Join, Joined};

/// What every program of a build is told about where it runs.
const HOSTNAME: &str = "buildkitsandbox";

/// Files that the engine mounts, which the stage may not have.
const MOUNTED: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

impl Execution<'_, '_> {
    /// What a program's result depends on besides its op and its files.
    pub(super) fn exec_parts(&self, step: &Step, exec: &Exec, parts: &mut Parts) -> Result<(), BuildError> {
        parts.add("environment", step.state.exec_env().join("\0"));
        parts.add("user", &step.state.config.config.user);
        parts.add("command", argv(step, exec).join("\0"));
        for mount in &exec.mounts {
            if let Mount::Bind { source, source_path, .. } = mount {
                parts.add(format!("content of {source_path}"), self.input_digest(step, source, source_path)?);
            }
        }
        Ok(())
    }

    /// Runs a program; another exit code than 0 is an error.
    pub(super) fn exec(
        &mut self,
        step: &Step,
        exec: (&Exec, &Extra),
        tree: &Work<'_>,
    ) -> Result<(), BuildError> {
        let room = Room::make(self, tree.id())?;
        let ended = self.exec_in(&room, step, exec, tree);
        self.engine.leave(&room.id, &room.run);
        room.remove();
        ended
    }

    fn exec_in(
        &mut self,
        room: &Room,
        step: &Step,
        (exec, extra): (&Exec, &Extra),
        tree: &Work<'_>,
    ) -> Result<(), BuildError> {
        let mut mounted = self.mount_all(step, exec, &room.data)?;
        hook::write_provided(&room.data, &extra.files).map_err(|source| room.failed(source))?;
        let provided = extra.files.iter().map(|file| file.target.as_str());
        mounted.mounts.extend(hook::provided_mounts(&room.data, provided));
        let targets = mounted.mounts.iter().map(|mount| mount.target.as_str());
        let missing = Missing::look(tree, MOUNTED.into_iter().chain(targets))?;
        let (joined, handles) = self.join(exec, room)?;
        let files = network::write_files(&room.data, &Files::of_build(HOSTNAME, &extra.hosts), &joined);
        files.map_err(|source| room.failed(source))?;
        let launch = self.describe(step, (exec, extra), tree, room, joined.is_own(), &mounted)?;
        self.launch(&launch, &handles, tree.claim())?;
        missing.clean(tree)
    }

    fn join(&self, exec: &Exec, room: &Room) -> Result<(Joined, Handles), BuildError> {
        let given = self.options.network.as_deref();
        let network = match exec.net {
            NetAccess::None => "none",
            NetAccess::Host => "host",
            NetAccess::Sandbox => given.unwrap_or(&self.engine.config().network),
        };
        let join = Join { id: &room.id, run_dir: room.run.clone(), network, ports: &[] };
        Ok(self.engine.join(&join)?)
    }

    /// The monitor holds the claim on the tree too, as it may outlive this process a little.
    fn launch(
        &mut self,
        launch: &Launch,
        handles: &Handles,
        claim: Option<BorrowedFd<'_>>,
    ) -> Result<(), BuildError> {
        let argv = launch.spec.process().as_ref().and_then(|process| process.args().clone());
        let command = argv.unwrap_or_default().join(" ");
        let namespace = handles.namespace.as_ref().map(AsFd::as_fd);
        let started = monitor::start(launch, namespace, claim.as_slice(), None);
        let started = started.map_err(|source| BuildError::Start { command: command.clone(), source })?;
        let Some(connection) = started.connection else { return Ok(()) };
        let report = &mut *self.report;
        let exit = connection.stream(&mut |stream, bytes| report(BuildEvent::Output { stream, bytes }))?;
        if exit.code == 0 { Ok(()) } else { Err(BuildError::Exit { command, code: exit.code }) }
    }

    fn describe(
        &self,
        step: &Step,
        (exec, extra): (&Exec, &Extra),
        tree: &Work<'_>,
        room: &Room,
        own_network: bool,
        mounted: &Mounted,
    ) -> Result<Launch, BuildError> {
        let name = exec.user.as_ref().unwrap_or(&step.state.config.config.user);
        let identity = user::resolve(tree.open(true)?.as_fd(), name)?;
        let privileged = exec.security == Security::Insecure;
        let limits = Limits::default();
        let spec = spec::of(&Input {
            id: &room.id,
            argv: &argv(step, exec),
            env: environment(step, (exec, extra), &identity.home),
            cwd: exec.cwd.as_deref().unwrap_or(step.state.working_dir()),
            user: &identity,
            hostname: Some(HOSTNAME),
            tty: false,
            capabilities: &capabilities(privileged, &extra.without),
            privileged,
            seccomp_unconfined: privileged,
            read_only: false,
            limits: &limits,
            mounts: &mounted.mounts,
            files: &room.data,
            own_network,
            annotations: &[],
        })
        .map_err(|error| BuildError::Layer(error.into()))?;
        Ok(Launch {
            id: room.id.clone(),
            run_dir: room.run.clone(),
            data_dir: room.data.clone(),
            spec,
            root: tree.mounts(false)?,
            cgroup: cgroup_name(&room.id),
            open_stdin: false,
            stdin_once: false,
            log: false,
            die_with_client: true,
            on_exit: Vec::new(),
        })
    }
}

/// A program's own directories while it runs.
struct Room {
    id: String,
    run: PathBuf,
    data: PathBuf,
}

impl Room {
    fn make(execution: &Execution<'_, '_>, id: &str) -> Result<Self, BuildError> {
        let engine = execution.engine;
        let room =
            Self { id: id.to_owned(), run: engine.run_dir(id), data: engine.root().join("tmp").join(id) };
        fs::create_dir_all(&room.data).map_err(|source| room.failed(source))?;
        Ok(room)
    }

    fn failed(&self, source: std::io::Error) -> BuildError {
        BuildError::File { path: self.data.clone(), source }
    }

    /// Best effort: with the tree's claim, what is left is found the next time.
    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.run);
        let _ = fs::remove_dir_all(&self.data);
    }
}

fn argv(step: &Step, exec: &Exec) -> Vec<String> {
    match &exec.command {
        Command::Shell(line) => step.state.shell().into_iter().chain([line.clone()]).collect(),
        Command::Argv(argv) => argv.clone(),
        Command::Script(_) => vec![SCRIPT.to_owned()],
    }
}

fn environment(step: &Step, (exec, extra): (&Exec, &Extra), home: &str) -> Vec<String> {
    let mut env = wharf_model::image::RunConfig::default();
    env.env.push(DEFAULT_PATH.to_owned());
    let given = exec.env.iter().map(|(name, value)| format!("{name}={value}"));
    for pair in step.state.exec_env().into_iter().chain(step.state.proxies()).chain(given) {
        let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
        env.set_env(name, value);
    }
    env.env.retain(|pair| !extra.unset_env.iter().any(|name| pair.split('=').next() == Some(name)));
    if env.env("HOME").is_none() {
        env.set_env("HOME", home);
    }
    env.env
}

fn capabilities(privileged: bool, without: &[String]) -> Vec<String> {
    let all = if privileged { caps::all() } else { caps::DEFAULT.to_vec() };
    let mut names = spec::capability_names(&all);
    names.retain(|name| !without.contains(name));
    names
}
