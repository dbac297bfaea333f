//! A process in namespaces, from an OCI runtime spec.
//!
//! ```text
//! parent                              child
//! read the spec, compile the filter
//! fork ----------------------------->  steps of `child.rs`, each with a name
//!                        <-- Ready --  (with the terminal's master)
//! the caller prepares what it likes    waits
//! -- Start ------------------------->  execve
//!            <-- end of file, or why --
//! ```
//!
//! Whoever calls [`spawn`] or [`enter`] is the parent of the new process and must wait for it. A
//! container's first process is killed when the thread that called [`spawn`] ends.

mod error;
mod namespace;
mod program;
mod unsupported;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::{LinuxSeccomp, Process, Spec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use crate::cgroup::Cgroup;
use crate::child::{self, Job, Place};
use crate::message::{Channel, Failure, FromChild, FromParent};
use crate::mount::{self, RootMount};
use crate::rootfs::Parts;
use crate::{parent, state};
pub use error::{ExecError, SpawnError};
pub(crate) use namespace::Namespaces;
pub(crate) use program::Program;

/// What the new process has as its standard streams.
#[derive(Debug)]
pub enum Stdio {
    /// These, which need not be pipes.
    Pipes {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
    /// A new pseudo terminal of the container; its other end is [`Child::take_terminal`].
    Terminal,
}

/// A process that is set up and has not executed its program yet.
///
/// Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    process: Option<Running>,
    pid: i32,
    start_time: u64,
    channel: Channel,
    terminal: Option<OwnedFd>,
}

/// A process that runs its program.
#[derive(Debug)]
pub struct Running {
    /// In the caller's pid namespace.
    pub pid: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
    /// The process itself, whatever becomes of its number.
    pub pidfd: OwnedFd,
}

/// What a container gets that no path leads to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// The network namespace to join.
    pub netns: Option<BorrowedFd<'a>>,
    /// Mounts that are part of no namespace. The spec names one by a mount of type `detached`, whose
    /// source is its number here and perhaps a path inside: `0/usr/bin`.
    pub mounts: &'a [OwnedFd],
}

/// Makes the first process of a container, up to the moment before its program is executed.
///
/// Without a network namespace in `given`, the spec's entry counts.
///
/// # Errors
/// When the spec is not usable or a step fails; nothing is left then.
pub fn spawn(
    spec: &Spec,
    root: &[RootMount],
    io: Stdio,
    given: Given<'_>,
    cgroup: &Cgroup,
) -> Result<Child, SpawnError> {
    let process = spec.process().as_ref().ok_or_else(|| SpawnError::Invalid("no process".to_owned()))?;
    unsupported::check(spec)?;
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let program = Program::new(process, seccomp)?;
    let namespaces = Namespaces::new(spec, given.netns)?;
    let root = mount::prepare(root)?;
    let own_cgroup_namespace = namespaces.has_cgroup();
    let parts = Parts { spec, root: &root, handed: given.mounts, cgroup, own_cgroup_namespace };
    let pid = namespaces.pid();
    launch(Job { program: &program, io, cgroup, place: Place::New { parts, namespaces: &namespaces } }, pid)
}

/// Makes another process in a running container, up to the moment before its program is executed.
///
/// # Errors
/// When the container is gone or a step fails; nothing is left then.
pub fn enter(
    target: BorrowedFd<'_>,
    process: &Process,
    io: Stdio,
    cgroup: &Cgroup,
    seccomp: Option<&LinuxSeccomp>,
) -> Result<Child, SpawnError> {
    unsupported::check_process(process)?;
    let program = Program::new(process, seccomp)?;
    let job = Job { program: &program, io, cgroup, place: Place::Running { target } };
    launch(job, parent::PidNamespace::Of(target))
}

fn launch(job: Job<'_>, pid_namespace: parent::PidNamespace<'_>) -> Result<Child, SpawnError> {
    let (ours, theirs) = Channel::pair().map_err(SpawnError::Fork)?;
    let pid =
        parent::fork_into(pid_namespace, job.cgroup.birthplace(), |born| child::run(theirs, born, job))?;
    // `theirs` and the streams went with the closure: only the child has them now.
    let mut child = Child::watch(pid, ours).map_err(SpawnError::Fork)?;
    match child.channel.receive::<FromChild>() {
        Ok(Some((FromChild::Ready, terminal))) => {
            child.terminal = terminal;
            Ok(child)
        }
        Ok(Some((FromChild::Failed(failure) | FromChild::NotExecuted(failure), _))) => Err(failure.into()),
        Ok(None) => Err(SpawnError::Died(io::Error::from(io::ErrorKind::UnexpectedEof))),
        Err(source) => Err(SpawnError::Died(source)),
    }
}

impl Child {
    fn watch(pid: i32, channel: Channel) -> io::Result<Self> {
        let number = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty())?;
        let start_time = state::start_time(pid)?;
        let process = Some(Running { pid, start_time, pidfd });
        Ok(Self { process, pid, start_time, channel, terminal: None })
    }

    /// Its number in the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// When it was made, in clock ticks since boot.
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// The process itself, whatever becomes of its number.
    ///
    /// # Panics
    /// Never: it is there until [`Child::start`] takes it.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.as_ref().map(|process| process.pidfd.as_fd()).expect("only `start` takes the process")
    }

    /// The master of its terminal, once.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Lets it execute its program.
    ///
    /// # Errors
    /// When the program cannot be executed; the process is gone and reaped then.
    pub fn start(mut self) -> Result<Running, ExecError> {
        let lost =
            |source| ExecError::Other { step: "talk to the new process".to_owned(), path: None, source };
        self.channel.send(&FromParent::Start, None).map_err(lost)?;
        let failure: Option<Failure> = match self.channel.receive::<FromChild>().map_err(lost)? {
            None => None,
            Some((FromChild::Failed(failure) | FromChild::NotExecuted(failure), _)) => Some(failure),
            Some((FromChild::Ready, _)) => {
                return Err(lost(io::Error::other("it was ready twice")));
            }
        };
        match (failure, self.process.take()) {
            (None, Some(running)) => Ok(running),
            (Some(failure), process) => {
                self.process = process;
                Err(failure.into())
            }
            (None, None) => Err(lost(io::Error::other("it was started twice"))),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(process) = &self.process else { return };
        // It may have ended by itself: then there is only the reaping left.
        let _ = rustix::process::pidfd_send_signal(&process.pidfd, Signal::KILL);
        let _ = rustix::process::waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

#[cfg(test)]
mod tests;
