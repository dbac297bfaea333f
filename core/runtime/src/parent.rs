//! The parent's side of a new process: the fork, and which pid namespace the child is born in.
//!
//! A process cannot change its own pid namespace, only that of its children. So the calling thread
//! points it elsewhere, forks, and points it back; other threads notice nothing.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags, move_into_link_name_space,
    move_into_thread_name_spaces,
};

use crate::cgroup::Born;
use crate::process::SpawnError;
use crate::sys::process::{Fork, fork, fork_in_group, unshare};

const OWN: &str = "/proc/thread-self/ns/pid";

/// Where the child is born.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PidNamespace<'a> {
    /// In ours.
    Same,
    /// As the first process of a new one.
    New,
    /// In the one this file stands for.
    At(BorrowedFd<'a>),
    /// In that of the process this descriptor stands for.
    Of(BorrowedFd<'a>),
}

/// Makes a child that does `work` and returns its number. `group` is the v2 control group that it
/// is made in where that is possible; `work` learns whether it was.
pub(crate) fn fork_into<F>(
    namespace: PidNamespace<'_>,
    group: Option<File>,
    work: F,
) -> Result<i32, SpawnError>
where
    F: FnOnce(Born) -> Infallible,
{
    let fail = |source: io::Error| SpawnError::Namespace { path: PathBuf::from(OWN), source };
    let own = match namespace {
        PidNamespace::Same => None,
        _ => Some(File::open(OWN).map_err(fail)?),
    };
    point(namespace).map_err(fail)?;
    let (forked, born) = fork_somewhere(group);
    if let Ok(Fork::Child) = forked {
        work(born);
    }
    let restored = match &own {
        Some(own) => move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::ProcessID)),
        None => Ok(()),
    };
    match (forked.map_err(SpawnError::Fork)?, restored) {
        (Fork::Parent(pid), Ok(())) => Ok(pid),
        // The child's end of the handshake is ours too: it is dropped, and the child gives up.
        (Fork::Parent(_), Err(err)) => Err(fail(err.into())),
        (Fork::Child, _) => Err(SpawnError::Fork(io::Error::other("the child came back"))),
    }
}

/// In `group` where there is one and this process has one thread: the C library does not know about
/// that call, so no other thread may hold one of its locks. Moving there later would wait for all
/// processors.
fn fork_somewhere(group: Option<File>) -> (io::Result<Fork>, Born) {
    if let Some(group) = group.filter(|_| has_one_thread())
        && let Ok(forked) = fork_in_group(group.as_fd())
    {
        return (Ok(forked), Born::Inside);
    }
    (fork(), Born::Outside)
}

fn has_one_thread() -> bool {
    // A directory with one subdirectory for each thread, and two links of its own.
    rustix::fs::stat("/proc/self/task").is_ok_and(|stat| stat.st_nlink == 3)
}

fn point(namespace: PidNamespace<'_>) -> io::Result<()> {
    match namespace {
        PidNamespace::Same => Ok(()),
        PidNamespace::New => unshare(UnshareFlags::from_bits_retain(libc::CLONE_NEWPID as u32)),
        PidNamespace::At(file) => Ok(move_into_link_name_space(file, Some(LinkNameSpaceType::ProcessID))?),
        PidNamespace::Of(process) => {
            Ok(move_into_thread_name_spaces(process, ThreadNameSpaceType::PROCESS_ID)?)
        }
    }
}
