//! RUN: a program on the stage's tree, confined like a container.
//!
//! Its monitor dies with the build, so an interrupted build leaves no process and no mount, and the
//! claim on the tree leads to the rest. What the runtime had to make to mount things on is taken away again, so that it
//! does not end up in the layer.

use std::cell::Cell;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use wharf_model::build::{Command, Exec, NetAccess, Security};
use wharf_model::{Diagnostic, Severity};
use wharf_runtime::caps;
use wharf_runtime::monitor::{self, DetachKeys, ForwardError, Launch, Monitor};
use wharf_runtime::process::Given;
use wharf_runtime::user;

use super::execute::Execution;
use super::key::Parts;
use super::missing::Missing;
use super::mounts::{Mounted, Opened, SCRIPT};
use super::plan::Step;
use super::progress::BuildEvent;
use super::request::BuildError;
use super::schedule::lock;
use super::tree::Work;
use crate::container::spec::{self, Input};
use crate::container::{AttachOptions, Connection, DEFAULT_PATH, cgroup_name};
use crate::device::Edits;
use crate::hook::{self, Extra};
use crate::network::{self, Files, Handles, Join, Joined};

/// What every program of a build is told about where it runs.
const HOSTNAME: &str = "buildkitsandbox";

/// Files that the engine mounts, which the stage may not have.
const MOUNTED: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// Everything that is ready for a program before it is started.
struct Ready<'s, 'a> {
    step: &'s Step,
    exec: &'s Exec,
    extra: &'s Extra,
    tree: &'s Work<'a>,
    room: &'s Room,
    mounted: &'s Mounted<'a>,
    handles: &'s Handles,
    own_network: bool,
    devices: &'s Edits,
    /// For the first program.
    monitor: Cell<Option<Monitor>>,
}

impl<'a> Execution<'a, '_> {
    /// What a program's result depends on besides its op and its files. Where a host is does not count, and
    /// that it has a name does.
    pub(super) fn exec_parts(&self, step: &Step, exec: &Exec, parts: &mut Parts) -> Result<(), BuildError> {
        let programs = &self.options.programs;
        programs.permit(exec)?;
        parts.add("environment", step.state.exec_env().join("\0"));
        parts.add("user", &step.state.config.config.user);
        parts.add("command", argv(step, exec).join("\0"));
        let given = self.options.network.as_ref().filter(|_| exec.net == NetAccess::Sandbox);
        let hosts: Vec<&str> = programs.hosts.iter().map(|host| host.name.as_str()).collect();
        let shm = programs.limits.shm_size.map(|size| size.to_string());
        let ulimits = programs.limits.ulimits.iter();
        let ulimits: Vec<String> =
            ulimits.map(|(name, soft, hard)| format!("{name}={soft}:{hard}")).collect();
        for (name, value) in [
            ("network", given.cloned().unwrap_or_default()),
            ("host name", programs.hostname.clone().unwrap_or_default()),
            ("hosts", hosts.join("\0")),
            ("shm size", shm.unwrap_or_default()),
            ("ulimits", ulimits.join("\0")),
        ] {
            if !value.is_empty() {
                parts.add(name, value);
            }
        }
        let devices = self.engine.devices_of(exec, programs)?;
        if !devices.is_empty() {
            parts.add("devices", devices.join("\0"));
        }
        self.mount_parts(step, exec, parts)
    }

    /// Runs a program; another exit code than 0 is an error.
    pub(super) fn exec(&self, step: &Step, exec: (&Exec, &Extra), tree: &Work<'a>) -> Result<(), BuildError> {
        let room = Room::make(self, tree.id())?;
        let ended = self.exec_in(&room, step, exec, tree);
        self.engine.leave(&room.id, &room.run);
        room.remove();
        ended
    }

    fn exec_in(
        &self,
        room: &Room,
        step: &Step,
        (exec, extra): (&Exec, &Extra),
        tree: &Work<'a>,
    ) -> Result<(), BuildError> {
        // It gets ready while we find out what it is to run.
        let monitor = Cell::new(monitor::spawn(&room.id).ok());
        let mut mounted = self.mount_all(step, exec, &room.data)?;
        hook::write_provided(&room.data, &extra.files).map_err(|source| room.failed(source))?;
        let provided = extra.files.iter().map(|file| file.target.as_str());
        mounted.mounts.extend(hook::provided_mounts(&room.data, provided));
        let devices = self.engine.edits_of(exec, &self.options.programs)?;
        let targets = MOUNTED.into_iter().chain(mounted.targets()).chain(devices.targets());
        let missing = Missing::look(tree, targets)?;
        let (joined, handles) = self.join(exec, room)?;
        let hosts = [self.options.programs.hosts_on(&joined)?, extra.hosts.clone()].concat();
        let files = network::write_files(&room.data, &Files::of_build(self.hostname(), &hosts), &joined);
        files.map_err(|source| room.failed(source))?;
        let (mounted, handles, own_network) = (&mounted, &handles, joined.is_own());
        let devices = &devices;
        let ready = Ready { step, exec, extra, tree, room, mounted, handles, own_network, devices, monitor };
        let ended = self.run_program(&ready);
        if let Err(BuildError::Exit { .. }) = &ended {
            self.open_shell(&ready);
        }
        ended?;
        missing.clean(tree)
    }

    fn hostname(&self) -> &str {
        self.options.programs.hostname.as_deref().unwrap_or(HOSTNAME)
    }

    fn join(&self, exec: &Exec, room: &Room) -> Result<(Joined, Handles), BuildError> {
        let given = self.options.network.as_deref();
        let network = match exec.net {
            NetAccess::None => "none",
            NetAccess::Host => "host",
            NetAccess::Sandbox => {
                given.filter(|name| *name != "default").unwrap_or(&self.engine.config().network)
            }
        };
        let join = Join { id: &room.id, run_dir: room.run.clone(), network, ports: &[] };
        Ok(self.engine.join(&join)?)
    }

    fn run_program(&self, ready: &Ready<'_, 'a>) -> Result<(), BuildError> {
        let argv = argv(ready.step, ready.exec);
        let command = argv.join(" ");
        let launch = self.describe(ready, &argv, false)?;
        let (connection, _opened) = self.launch(ready, &launch, None)?;
        let Some(connection) = connection else { return Ok(()) };
        let running = self.cancel.register(connection.killer().map_err(ForwardError::Socket)?);
        let step = ready.step.number;
        let exit =
            connection.stream(&mut |stream, bytes| self.tell(BuildEvent::Output { step, stream, bytes }))?;
        drop(running);
        match exit.code {
            0 => Ok(()),
            _ if self.cancel.is_set() => Err(BuildError::Canceled),
            code => Err(BuildError::Exit { command, code, is_full: self.engine.is_full() }),
        }
    }

    /// Where a program failed, for whoever wants to look around. The build has failed already: that there
    /// is no shell is only worth a word.
    fn open_shell(&self, ready: &Ready<'_, 'a>) {
        let Some(shell) = self.options.programs.debug_shell.clone() else { return };
        let argv: Vec<String> = ready.step.state.shell().into_iter().take(1).collect();
        self.cancel.all();
        // Nobody else writes to the terminal meanwhile.
        let mut report = lock(&self.report);
        let command = argv.first().map_or("", String::as_str);
        report(BuildEvent::DebugShell { step: ready.step.number, command });
        let attach = AttachOptions { stdin: true, detach_keys: no_keys(), ..AttachOptions::default() };
        let launch = self.describe(ready, &argv, true);
        match launch.and_then(|launch| self.launch(ready, &launch, Some(attach))) {
            Ok((connection, _opened)) => {
                connection.into_iter().for_each(|connection| shell.attend(connection));
            }
            Err(error) => {
                let cause =
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                let message = format!("cannot open a shell: {cause}");
                let warning = &Diagnostic::new(Severity::Warning, "DebugShell", message);
                report(BuildEvent::Warning { step: Some(ready.step.number), warning });
            }
        }
    }

    /// The monitor holds the claim on the tree too, and the locks of caches, as it may outlive this
    /// process a little. What the program is handed answers for as long as the caller keeps it.
    fn launch(
        &self,
        ready: &Ready<'_, 'a>,
        launch: &Launch,
        attach: Option<AttachOptions>,
    ) -> Result<(Option<Connection>, Opened), BuildError> {
        let opened = self.open_mounts(ready.mounted)?;
        let netns = ready.handles.namespace.as_ref().map(AsFd::as_fd);
        let held: Vec<BorrowedFd<'_>> = ready.tree.claim().into_iter().chain(ready.mounted.held()).collect();
        let given = Given { netns, mounts: &opened.mounts };
        let monitor = ready.monitor.take().map_or_else(|| monitor::spawn(&launch.id), Ok);
        let started = monitor.and_then(|monitor| monitor.start(launch, given, &held, attach));
        let argv = launch.spec.process().as_ref().and_then(|process| process.args().clone());
        let argv = argv.unwrap_or_default();
        let (command, program) = (argv.join(" "), argv.into_iter().next().unwrap_or_default());
        let by_shell = matches!(ready.exec.command, Command::Shell(_));
        let started = started.map_err(|source| BuildError::Start { command, program, by_shell, source })?;
        Ok((started.connection, opened))
    }

    fn describe(&self, ready: &Ready<'_, 'a>, argv: &[String], tty: bool) -> Result<Launch, BuildError> {
        let &Ready { step, exec, extra, tree, room, mounted, own_network, .. } = ready;
        let name = exec.user.as_ref().unwrap_or(&step.state.config.config.user);
        let identity = user::resolve(tree.open(true)?.as_fd(), name)?;
        let privileged = exec.security == Security::Insecure;
        let mut spec = spec::of(&Input {
            id: &room.id,
            argv,
            env: environment(ready, &identity.home, tty),
            cwd: exec.cwd.as_deref().unwrap_or(step.state.working_dir()),
            user: &identity,
            hostname: Some(self.hostname()),
            tty,
            capabilities: &capabilities(privileged, &extra.without),
            privileged,
            seccomp_unconfined: privileged,
            read_only: false,
            limits: &self.options.programs.limits,
            mounts: &mounted.mounts,
            views: &mounted.views,
            files: &room.data,
            own_network,
            annotations: &[],
        })
        .map_err(|error| BuildError::Layer(error.into()))?;
        ready.devices.clone().apply(&mut spec);
        let parent = self.options.programs.cgroup_parent.as_ref();
        Ok(Launch {
            id: room.id.clone(),
            run_dir: room.run.clone(),
            data_dir: room.data.clone(),
            spec,
            root: tree.mounts(false)?,
            cgroup: parent.map_or_else(|| cgroup_name(&room.id), |parent| format!("{parent}/{}", room.id)),
            open_stdin: tty,
            stdin_once: tty,
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

fn environment(ready: &Ready<'_, '_>, home: &str, tty: bool) -> Vec<String> {
    let &Ready { step, exec, extra, mounted, .. } = ready;
    let mut env = wharf_model::image::RunConfig::default();
    env.env.push(DEFAULT_PATH.to_owned());
    if tty {
        env.set_env("TERM", "xterm");
    }
    let given = exec.env.iter().map(|(name, value)| format!("{name}={value}"));
    for pair in step.state.exec_env().into_iter().chain(step.state.proxies()).chain(given) {
        let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
        env.set_env(name, value);
    }
    for (name, value) in &mounted.env {
        env.set_env(name, value);
    }
    env.env.retain(|pair| !extra.unset_env.iter().any(|name| pair.split('=').next() == Some(name)));
    if env.env("HOME").is_none() {
        env.set_env("HOME", home);
    }
    env.env
}

/// The only way out of the shell is its end.
fn no_keys() -> DetachKeys {
    "".parse().unwrap_or_default()
}

fn capabilities(privileged: bool, without: &[String]) -> Vec<String> {
    let all = if privileged { caps::all() } else { caps::DEFAULT.to_vec() };
    let mut names = spec::capability_names(&all);
    names.retain(|name| !without.contains(name));
    names
}
