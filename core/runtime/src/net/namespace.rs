//! Network namespaces, held by a descriptor.
//!
//! A thread enters a namespace and leaves by ending: the calling thread's own never changes.
//! Nothing is mounted under `/run/netns`, so a namespace is gone with its last descriptor and its
//! last process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use nix::sched::CloneFlags;
use rustix::fs::{Mode, OFlags};

use super::links::Links;

/// A network namespace that lives at least as long as this value.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
}

/// Why a network namespace could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The kernel made none.
    #[error("cannot make a network namespace")]
    Create(#[source] io::Error),
    /// Its descriptor could not be had.
    #[error("cannot open this thread's network namespace")]
    Open(#[source] io::Error),
    /// It could not be entered.
    #[error("cannot enter a network namespace")]
    Enter(#[source] io::Error),
    /// Its loopback link stayed down.
    #[error("cannot bring up `lo` in a new network namespace")]
    Loopback(#[source] io::Error),
    /// No thread could be started.
    #[error("cannot start a thread for a network namespace")]
    Thread(#[source] io::Error),
}

impl Namespace {
    /// Makes a namespace in which only `lo` exists, and is up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create() -> Result<Self, NamespaceError> {
        on_a_thread(|| {
            nix::sched::unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|err| NamespaceError::Create(err.into()))?;
            let up = || -> io::Result<()> {
                let mut links = Links::open()?;
                let lo = links.index("lo")?;
                links.set_up(lo)
            };
            up().map_err(NamespaceError::Loopback)?;
            Self::host()
        })
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// When there is no `/proc`.
    pub fn host() -> Result<Self, NamespaceError> {
        rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map(Self::from)
            .map_err(|err| NamespaceError::Open(err.into()))
    }

    /// Runs `body` on a thread inside this namespace.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        on_a_thread(|| {
            nix::sched::setns(self.as_fd(), CloneFlags::CLONE_NEWNET)
                .map_err(|err| NamespaceError::Enter(err.into()))?;
            Ok(body())
        })
    }
}

fn on_a_thread<T: Send>(
    body: impl FnOnce() -> Result<T, NamespaceError> + Send,
) -> Result<T, NamespaceError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, body).map_err(NamespaceError::Thread)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl From<OwnedFd> for Namespace {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<Namespace> for OwnedFd {
    fn from(namespace: Namespace) -> Self {
        namespace.fd
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
