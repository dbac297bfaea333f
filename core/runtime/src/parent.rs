//! The parent's side of a new process: the fork, and which pid namespace the child is born in.
//!
//! A process cannot change its own pid namespace, only that of its children. So the calling thread
//! points it elsewhere, forks, and points it back; other threads notice nothing.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::io;

use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags, move_into_link_name_space, move_into_thread_name_spaces,
};

use crate::process::SpawnError;
use crate::sys::process::{Fork, fork, unshare};

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

/// Makes a child that does `work` and returns its number.
pub(crate) fn fork_into<F>(namespace: PidNamespace<'_>, work: F) -> Result<i32, SpawnError>
where
    F: FnOnce() -> Infallible,
{
    let fail = |source: io::Error| SpawnError::Namespace { path: PathBuf::from(OWN), source };
    let own = match namespace {
        PidNamespace::Same => None,
        _ => Some(File::open(OWN).map_err(fail)?),
    };
    point(namespace).map_err(fail)?;
    let forked = fork();
    if let Ok(Fork::Child) = forked {
        work();
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

fn point(namespace: PidNamespace<'_>) -> io::Result<()> {
    match namespace {
        PidNamespace::Same => Ok(()),
        PidNamespace::New => unshare(UnshareFlags::from_bits_retain(libc::CLONE_NEWPID as u32)),
        PidNamespace::At(file) => Ok(move_into_link_name_space(file, Some(LinkNameSpaceType::ProcessID))?),
        PidNamespace::Of(process) => Ok(move_into_thread_name_spaces(process, ThreadNameSpaceType::PROCESS_ID)?),
    }
}
