//! RUN: a program on the stage's tree, confined like a container.
//!
//! Its monitor dies with the build, so an interrupted build leaves no process, mount, link or
//! firewall rule. What the runtime had to make to mount things on is taken away again, so that it
//! does not end up in the layer.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat2, statat, unlinkat};
use wharf_model::build::{Command, Exec, NetAccess, Security};
use wharf_runtime::monitor::{self, Launch};
use wharf_runtime::user;
use wharf_runtime::caps;

use super::execute::Execution;
use super::key::Parts;
use super::plan::Step;
use super::progress::BuildEvent;
use super::request::BuildError;
use super::tree::Work;
use crate::container::spec::{self, Input};
use crate::container::{DEFAULT_PATH, Limits};
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
        parts.add("command", argv(step, exec)?.join("\0"));
        Ok(())
    }

    /// Runs a program; another exit code than 0 is an error.
    pub(super) fn exec(&mut self, step: &Step, exec: &Exec, tree: &Work<'_>) -> Result<(), BuildError> {
        if !exec.mounts.is_empty() {
            return Err(BuildError::Unsupported("RUN --mount is not supported yet".to_owned()));
        }
        let missing = Missing::look(tree)?;
        let room = Room::make(self, tree.id())?;
        let (joined, handles) = self.join(exec, &room)?;
        let ended = joined.as_ref().map_or(Ok(()), |joined| {
            network::write_files(&room.data, &Files::of_build(HOSTNAME), joined).map_err(|source| room.failed(source))
        });
        let ended = ended.and_then(|()| self.launch(step, exec, tree, &room, joined.as_ref(), &handles));
        self.engine.leave(&room.id, &room.run);
        room.remove();
        ended?;
        missing.clean(tree)
    }

    fn join(&self, exec: &Exec, room: &Room) -> Result<(Option<Joined>, Handles), BuildError> {
        let given = self.options.network.as_deref();
        let network = match exec.net {
            NetAccess::None => "none",
            NetAccess::Host => "host",
            NetAccess::Sandbox => given.unwrap_or(&self.engine.config().network),
        };
        let join = Join { id: &room.id, run_dir: room.run.clone(), network, ports: &[] };
        let (joined, handles) = self.engine.join(&join)?;
        Ok((Some(joined), handles))
    }

    fn launch(
        &mut self,
        step: &Step,
        exec: &Exec,
        tree: &Work<'_>,
        room: &Room,
        joined: Option<&Joined>,
        handles: &Handles,
    ) -> Result<(), BuildError> {
        let argv = argv(step, exec)?;
        let launch = self.describe(step, exec, tree, room, joined, &argv)?;
        let command = argv.join(" ");
        let namespace = handles.namespace.as_ref().map(AsFd::as_fd);
        let started = monitor::start(&launch, namespace, &[], None);
        let started = started.map_err(|source| BuildError::Start { command: command.clone(), source })?;
        let Some(connection) = started.connection else { return Ok(()) };
        let report = &mut *self.report;
        let exit = connection.stream(&mut |stream, bytes| report(BuildEvent::Output { stream, bytes }))?;
        if exit.code == 0 { Ok(()) } else { Err(BuildError::Exit { command, code: exit.code }) }
    }

    fn describe(
        &self,
        step: &Step,
        exec: &Exec,
        tree: &Work<'_>,
        room: &Room,
        joined: Option<&Joined>,
        argv: &[String],
    ) -> Result<Launch, BuildError> {
        let name = exec.user.as_ref().unwrap_or(&step.state.config.config.user);
        let identity = user::resolve(tree.open(true)?.as_fd(), name)?;
        let privileged = exec.security == Security::Insecure;
        let own_network = joined.is_none_or(Joined::is_own);
        let limits = Limits::default();
        let spec = spec::of(&Input {
            id: &room.id,
            argv,
            env: environment(step, exec, &identity.home),
            cwd: exec.cwd.as_deref().unwrap_or(step.state.working_dir()),
            user: &identity,
            hostname: Some(HOSTNAME),
            tty: false,
            capabilities: &capabilities(privileged),
            privileged,
            seccomp_unconfined: privileged,
            read_only: false,
            limits: &limits,
            mounts: &[],
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
            cgroup: format!("wharf/{}", room.id),
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
        let room = Self { id: id.to_owned(), run: engine.run_dir(id), data: engine.root().join("tmp").join(id) };
        fs::create_dir_all(&room.data).map_err(|source| room.failed(source))?;
        Ok(room)
    }

    fn failed(&self, source: std::io::Error) -> BuildError {
        BuildError::File { path: self.data.clone(), source }
    }

    /// Best effort: what is left is removed with `tmp` the next time.
    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.run);
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// What the engine mounts and the stage does not have.
struct Missing(Vec<&'static str>);

impl Missing {
    fn look(tree: &Work<'_>) -> Result<Self, BuildError> {
        let root = tree.open(true)?;
        let resolve = ResolveFlags::IN_ROOT;
        let there = |path: &str| openat2(&root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).is_ok();
        Ok(Self(MOUNTED.into_iter().filter(|path| !there(path)).collect()))
    }

    /// Only what is still as empty as the runtime made it.
    fn clean(&self, tree: &Work<'_>) -> Result<(), BuildError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let root = tree.open(false)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(etc) = openat2(&root, "etc", flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            for path in &self.0 {
                let name = path.trim_start_matches("etc/");
                let empty = statat(&etc, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_size == 0);
                if empty {
                    let _ = unlinkat(&etc, name, AtFlags::empty());
                }
            }
        }
        Ok(())
    }
}

fn argv(step: &Step, exec: &Exec) -> Result<Vec<String>, BuildError> {
    match &exec.command {
        Command::Shell(line) => {
            let mut argv = step.state.shell();
            argv.push(line.clone());
            Ok(argv)
        }
        Command::Argv(argv) => Ok(argv.clone()),
        Command::Script(_) => Err(BuildError::Unsupported("RUN with a script of its own is not supported yet".to_owned())),
    }
}

fn environment(step: &Step, exec: &Exec, home: &str) -> Vec<String> {
    let mut env = wharf_model::image::RunConfig::default();
    env.env.push(DEFAULT_PATH.to_owned());
    let given = exec.env.iter().map(|(name, value)| format!("{name}={value}"));
    for pair in step.state.exec_env().into_iter().chain(step.state.proxies()).chain(given) {
        let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
        env.set_env(name, value);
    }
    if env.env("HOME").is_none() {
        env.set_env("HOME", home);
    }
    env.env
}

fn capabilities(privileged: bool) -> Vec<String> {
    if privileged { spec::capability_names(&caps::all()) } else { spec::capability_names(&caps::DEFAULT) }
}
