//! Why a process was not made, and why its program was not executed.

use std::io;
use std::path::PathBuf;

use crate::message::{Cause, Failure};
use crate::mount::MountError;
use crate::net::NamespaceError;
use crate::seccomp::SeccompError;

/// The step whose failure is about the user's own words rather than the engine.
pub(crate) const CHDIR: &str = "change to the working directory";

/// Why a process was not made.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The spec does not hold together.
    #[error("the runtime spec is not usable: {0}")]
    Invalid(String),
    /// The spec asks for what this runtime cannot do.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The system call filter makes no sense.
    #[error("cannot use the seccomp profile")]
    Seccomp(#[from] SeccompError),
    /// A network namespace could not be made.
    #[error("cannot make a network namespace")]
    Network(#[source] NamespaceError),
    /// A namespace could not be opened or entered.
    #[error("cannot use namespace {path}", path = .path.display())]
    Namespace {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A part of the root file system could not be made.
    #[error("cannot mount the root file system")]
    Root(#[from] MountError),
    /// No process could be made.
    #[error("cannot make a process")]
    Fork(#[source] io::Error),
    /// The child did not answer.
    #[error("the new process ended before it was set up")]
    Died(#[source] io::Error),
    /// A bind of a directory onto a file, or the other way round.
    #[error("cannot mount onto {path}: are you trying to mount a directory onto a file (or vice-versa)?", path = .path.display())]
    WrongKind {
        /// Where.
        path: PathBuf,
    },
    /// A step between fork and exec failed.
    #[error("cannot {step}{on}", on = on(.path))]
    Step {
        /// Completes "cannot ...".
        step: String,
        /// On what.
        path: Option<PathBuf>,
        /// Why.
        source: io::Error,
    },
}

impl SpawnError {
    /// What `run` exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::WrongKind { .. } => 127,
            Self::Step { step, source, .. } if step == CHDIR => match source.kind() {
                io::ErrorKind::NotFound => 127,
                io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => 126,
                _ => 125,
            },
            _ => 125,
        }
    }
}

impl From<Failure> for SpawnError {
    fn from(failure: Failure) -> Self {
        match (failure.cause, failure.path) {
            (Cause::WrongKind, Some(path)) => Self::WrongKind { path },
            (cause, path) => Self::Step { step: failure.step, path, source: cause.into() },
        }
    }
}

/// Why a program was not executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// There is no such file in the container, or none in its `PATH`, or its interpreter is missing.
    #[error("cannot execute {path}: not found", path = .path.display())]
    NotFound {
        /// The first word of the command.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there, and is a directory, has no execute permission, or no known format.
    #[error("cannot execute {path}", path = .path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {step}{on}", on = on(.path))]
    Other {
        /// Completes "cannot ...".
        step: String,
        /// On what.
        path: Option<PathBuf>,
        /// Why.
        source: io::Error,
    },
}

impl ExecError {
    /// What `run` exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::Other { .. } => 125,
        }
    }
}

impl From<Failure> for ExecError {
    fn from(failure: Failure) -> Self {
        let source = io::Error::from(failure.cause);
        match (source.raw_os_error(), failure.path) {
            (Some(libc::ENOENT | libc::ENOTDIR), Some(path)) => Self::NotFound { path, source },
            (Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::EPERM | libc::ELOOP), Some(path)) => {
                Self::NotExecutable { path, source }
            }
            (_, path) => Self::Other { step: failure.step, path, source },
        }
    }
}

fn on(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|path| format!(" {}", path.display())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn errnos_become_exit_codes() {
        for (errno, code) in [
            (libc::ENOENT, 127),
            (libc::ENOTDIR, 127),
            (libc::EACCES, 126),
            (libc::ENOEXEC, 126),
            (libc::ENOMEM, 125),
        ] {
            let failure = Failure::io("execute", Some(Path::new("/x")), &io::Error::from_raw_os_error(errno));
            assert_eq!(ExecError::from(failure).exit_code(), code, "for {errno}");
        }
    }
}
