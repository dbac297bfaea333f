//! The child's side of a new process: a list of named steps from fork to exec.
//!
//! The order matters: the control group is joined before its namespace is made, mounts are made
//! while privileges last, nothing is opened once they are gone, and the filter comes as late as the
//! kernel lets it. A step that fails is told to the parent with its name, its path and the kernel's
//! answer; then the process ends. It is single-threaded and never returns.

use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::fs::{Mode, OFlags, ResolveFlags, Uid};
use rustix::process::DumpableBehavior;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::cgroup::{Born, Cgroup};
use crate::dev::Terminal;
use crate::message::{Channel, Failure, FromChild, FromParent, Named};
use crate::process::{Namespaces, Program, Stdio};
use crate::rootfs::{self, Parts};
use crate::sys;

/// `PIPEFS_MAGIC`.
const PIPE: rustix::fs::FsWord = 0x5049_5045;
/// `DEVPTS_SUPER_MAGIC`.
const DEVPTS: rustix::fs::FsWord = 0x1cd1;

/// What the child shall become.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// At last.
    pub(crate) program: &'a Program,
    /// Its streams.
    pub(crate) io: Stdio,
    /// Its control group.
    pub(crate) cgroup: &'a Cgroup,
    /// Where.
    pub(crate) place: Place<'a>,
}

/// Where a process lives.
#[derive(Debug)]
pub(crate) enum Place<'a> {
    /// In a container of its own.
    New {
        /// What the root is made from.
        parts: Parts<'a>,
        /// Its namespaces.
        namespaces: &'a Namespaces,
    },
    /// In the container of this process.
    Running {
        /// By descriptor.
        target: BorrowedFd<'a>,
    },
}

/// Does the job; tells the parent when that is not possible.
pub(crate) fn run(channel: Channel, born: Born, job: Job<'_>) -> Infallible {
    let outcome = catch_unwind(AssertUnwindSafe(|| become_program(&channel, born, job)));
    let message = match outcome {
        Ok(Ok(never)) => match never {},
        Ok(Err(message)) => message,
        Err(_) => FromChild::Failed(Failure::text("set up the process", None, "it panicked")),
    };
    // A parent that is gone needs no message.
    let _ = channel.send(&message, None);
    sys::process::exit(1)
}

fn become_program(channel: &Channel, born: Born, job: Job<'_>) -> Result<Infallible, FromChild> {
    let program = job.program;
    let terminal = set_up(channel, born, job).map_err(FromChild::Failed)?;
    wait_for_start(channel, terminal).map_err(FromChild::Failed)?;
    sys::process::close_on_exec_from(3).step("close descriptors").map_err(FromChild::Failed)?;
    program.execute().map_err(FromChild::NotExecuted)
}

/// All steps but the last; returns the terminal's master for the parent.
fn set_up(channel: &Channel, born: Born, job: Job<'_>) -> Result<Option<OwnedFd>, Failure> {
    let program = job.program;
    let first = matches!(job.place, Place::New { .. });
    leave_parent(channel, &job)?;
    job.cgroup.join(born).map_err(|(path, err)| Failure::io("join the control group", Some(&path), &err))?;
    program.set_oom_score()?;
    let terminal = match job.place {
        Place::New { parts, namespaces } => {
            namespaces.enter()?;
            move_to_new_root(program, &job.io, parts)?
        }
        Place::Running { target } => {
            enter_container(target)?;
            open_terminal_of_container(program, &job.io)?
        }
    };
    program.change_directory()?;
    let master = connect(job.io, terminal, program.uid())?;
    program.confine()?;
    if first {
        die_with_parent();
    }
    Ok(master)
}

/// Gives up what a fork inherits and a container must not: descriptors, signal actions, the
/// session with its terminal, and a memory that others may look into.
fn leave_parent(channel: &Channel, job: &Job<'_>) -> Result<(), Failure> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide the memory")?;
    for signal in 1..=64 {
        sys::process::default_signal(signal);
    }
    sys::process::unblock_signals().step("unblock signals")?;
    rustix::process::setsid().step("make a session")?;
    rustix::process::umask(Mode::empty());
    close_all_but(&needed(channel, job)).step("close descriptors")
}

fn needed(channel: &Channel, job: &Job<'_>) -> Vec<RawFd> {
    let mut fds = vec![0, 1, 2, channel.as_fd().as_raw_fd()];
    match &job.io {
        Stdio::Pipes { stdin, stdout, stderr } => fds.extend([stdin, stdout, stderr].map(AsRawFd::as_raw_fd)),
        Stdio::Terminal => {}
    }
    match &job.place {
        Place::New { namespaces, parts } => {
            fds.extend(namespaces.descriptors());
            fds.extend(parts.handed.iter().map(AsRawFd::as_raw_fd));
            fds.extend(parts.root.iter().filter_map(|mount| Some(mount.descriptor()?.as_raw_fd())));
        }
        Place::Running { target } => fds.push(target.as_raw_fd()),
    }
    fds.sort_unstable();
    fds
}

/// `keep` is sorted.
fn close_all_but(keep: &[RawFd]) -> std::io::Result<()> {
    let mut from = 0;
    for fd in keep {
        if *fd > from {
            sys::process::close_range(from, fd - 1)?;
        }
        from = fd + 1;
    }
    sys::process::close_range(from, RawFd::MAX)
}

/// A container whose monitor is killed must not run on unseen. This comes after the change of the
/// user, which would take it back; a set-user-id program or a filter that forbids the call makes it
/// void, and then the next command finds the control group.
fn die_with_parent() {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

fn move_to_new_root(program: &Program, io: &Stdio, parts: Parts<'_>) -> Result<Option<Terminal>, Failure> {
    let built = rootfs::build(parts)?;
    let terminal = match io {
        Stdio::Terminal => Some(built.open_terminal(program.uid(), program.console_size())?),
        Stdio::Pipes { .. } => None,
    };
    built.make_directory(program.cwd())?;
    built.close(parts.spec)?;
    built.pivot(parts.spec)?;
    Ok(terminal)
}

/// The parent already chose the pid namespace.
fn enter_container(target: BorrowedFd<'_>) -> Result<(), Failure> {
    let step = "enter the container";
    let usual = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::CONTROL_GROUP
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK;
    match move_into_thread_name_spaces(target, usual | ThreadNameSpaceType::TIME) {
        // A kernel without time namespaces.
        Err(rustix::io::Errno::INVAL) => move_into_thread_name_spaces(target, usual).step(step),
        other => other.step(step),
    }
}

/// The container may have changed its `/dev` since: it must be a devpts, reached without a link.
fn open_terminal_of_container(program: &Program, io: &Stdio) -> Result<Option<Terminal>, Failure> {
    let Stdio::Terminal = io else { return Ok(None) };
    let (step, path) = ("open a terminal", "/dev/pts");
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let pts = rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve).at(step, path)?;
    if rustix::fs::fstatfs(&pts).at(step, path)?.f_type != DEVPTS {
        return Err(Failure::text(step, Some(path.as_ref()), "it is not a devpts file system"));
    }
    Terminal::open(pts.as_fd(), program.uid(), program.console_size()).map(Some)
}

/// Puts the streams where they belong and returns the terminal's master.
fn connect(io: Stdio, terminal: Option<Terminal>, uid: u32) -> Result<Option<OwnedFd>, Failure> {
    let step = "connect the standard streams";
    let (streams, master) = match (io, terminal) {
        (Stdio::Pipes { stdin, stdout, stderr }, _) => ([stdin, stdout, stderr], None),
        (Stdio::Terminal, Some(Terminal { master, slave })) => {
            sys::process::set_controlling_terminal(slave.as_fd()).step("take the terminal")?;
            let again = || slave.try_clone().step(step);
            ([again()?, again()?, slave], Some(master))
        }
        (Stdio::Terminal, None) => return Err(Failure::text(step, None, "there is no terminal")),
    };
    // Out of the way first: one of them may be 0, 1 or 2 itself.
    let aside = |stream: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(stream, 3).step(step);
    let streams = streams.iter().map(aside).collect::<Result<Vec<_>, _>>()?;
    for (number, stream) in (0..).zip(&streams) {
        hand_over(stream.as_fd(), uid).step(step)?;
        sys::process::duplicate_as(stream.as_fd(), number).step(step)?;
    }
    Ok(master)
}

/// Lets the user open `/dev/stdout` again. Only a pipe without a name is ours to give away: a
/// device or a file may be the host's.
fn hand_over(stream: BorrowedFd<'_>, uid: u32) -> rustix::io::Result<()> {
    if uid != 0 && rustix::fs::fstatfs(stream)?.f_type == PIPE {
        rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None)?;
    }
    Ok(())
}

fn wait_for_start(channel: &Channel, terminal: Option<OwnedFd>) -> Result<(), Failure> {
    let step = "wait for the start";
    channel.send(&FromChild::Ready, terminal.as_ref().map(AsFd::as_fd)).step(step)?;
    drop(terminal);
    match channel.receive::<FromParent>().step(step)? {
        Some((FromParent::Start, _)) => Ok(()),
        None => Err(Failure::text(step, None, "the parent is gone")),
    }
}
