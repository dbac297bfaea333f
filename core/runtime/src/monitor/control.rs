//! What others ask of a container that runs.

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    AttachOptions, Connection, ExecRequest, Exit, ForwardError, StartError,
    connection::local_size,
    frame::Kind,
    message::{Attach, Exec, Request, Size, StartFailure, frame},
    record::{State, crashed, is_locked, read_exit},
};
use crate::{sys::monitor::pidfd_signal, terminal::TerminalSize};

/// How often to look again for what nobody tells.
const PAUSE: Duration = Duration::from_millis(5);

/// Why there is no connection to a container.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It does not run.
    #[error("the container is not running")]
    NotRunning,
    /// Its socket does not work.
    #[error("cannot reach the container's monitor at {path}", path = .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The monitor did not answer as it should.
    #[error(transparent)]
    Answer(#[from] ForwardError),
}

/// Why a process does not run in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecFailure {
    /// The container does not run.
    #[error("the container is not running")]
    NotRunning,
    /// The process could not be started.
    #[error(transparent)]
    Start(StartError),
    /// The monitor could not be asked.
    #[error(transparent)]
    Connect(ConnectError),
}

/// A process that was started in a container.
#[derive(Debug)]
pub enum Execution {
    /// And its streams.
    Attached(Connection),
    /// On its own.
    Detached {
        /// The process, as the host sees it.
        pid: i32,
    },
}

/// Why a signal was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// There is nothing to send it to.
    #[error("the container is not running")]
    NotRunning,
    /// The kernel refused.
    #[error("cannot send signal {signal} to process {pid}")]
    Send {
        /// The signal.
        signal: i32,
        /// The process.
        pid: i32,
        /// What the kernel says.
        source: io::Error,
    },
}

/// Why nobody can tell how a container ended.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// It never ran.
    #[error("the container was never started")]
    NeverStarted,
    /// It was removed before its end could be read.
    #[error("the container is gone")]
    Gone,
    /// The monitor could not be asked.
    #[error(transparent)]
    Connect(ConnectError),
}

/// Connects with the main process of the container of `run_dir`.
pub fn attach(run_dir: &Path, options: AttachOptions) -> Result<Connection, ConnectError> {
    let AttachOptions { stdin, stdout, stderr, reap, .. } = options;
    let request = Request::Attach(Attach { stdin, stdout, stderr, reap, size: local_size() });
    Ok(Connection::greeted(ask(run_dir, &request)?, options)?)
}

/// Runs another process in the container of `run_dir`.
pub fn exec(run_dir: &Path, request: &ExecRequest) -> Result<Execution, ExecFailure> {
    let &ExecRequest { open_stdin, detach, .. } = request;
    let size = if detach { None } else { local_size() };
    let exec = Exec { process: request.process.clone(), open_stdin, detach, size };
    let socket = ask(run_dir, &Request::Exec(Box::new(exec))).map_err(not_connected)?;
    let options = AttachOptions { stdin: open_stdin, ..request.attach.clone() };
    let connection = Connection::greeted(socket, options).map_err(|err| match err {
        ForwardError::Refused(failure) => ExecFailure::Start(*failure),
        ForwardError::MonitorGone => ExecFailure::NotRunning,
        other => ExecFailure::Connect(other.into()),
    })?;
    let pid = connection.pid();
    Ok(if detach { Execution::Detached { pid } } else { Execution::Attached(connection) })
}

fn not_connected(err: ConnectError) -> ExecFailure {
    match err {
        ConnectError::NotRunning => ExecFailure::NotRunning,
        other => ExecFailure::Connect(other),
    }
}

/// Sends `signal` to the main process of the container of `run_dir`, and never to any other.
pub fn signal(run_dir: &Path, signal: i32) -> Result<(), SignalError> {
    let state = State::read(run_dir).filter(|_| is_locked(run_dir)).ok_or(SignalError::NotRunning)?;
    let process = state.process().ok_or(SignalError::NotRunning)?;
    pidfd_signal(process.as_fd(), signal).map_err(|source| match source.raw_os_error() {
        Some(libc::ESRCH) => SignalError::NotRunning,
        _ => SignalError::Send { signal, pid: state.pid, source },
    })
}

/// Tells the terminal of the main process of `run_dir` how large it is now.
pub fn resize(run_dir: &Path, size: TerminalSize) -> Result<(), ConnectError> {
    let socket = ask(run_dir, &Request::Resize(Size::from(size)))?;
    Connection::greeted(socket, AttachOptions::default())?;
    Ok(())
}

/// Waits until the container of `run_dir` has ended, at most `timeout` long (`None`: then it goes on).
/// One that has ended already is answered for at once.
pub fn wait(run_dir: &Path, timeout: Option<Duration>) -> Result<Option<Exit>, WaitError> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        match ask(run_dir, &Request::Wait) {
            Ok(socket) => match told(socket, until) {
                Ok(exit) => return Ok(exit),
                // The monitor left between our connecting and its answer: what it wrote tells.
                Err(ForwardError::MonitorGone) => {}
                Err(other) => return Err(WaitError::Connect(other.into())),
            },
            Err(ConnectError::NotRunning) => {}
            Err(other) => return Err(WaitError::Connect(other)),
        }
        if !is_locked(run_dir) {
            return written(run_dir).map(Some);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(None);
        }
        std::thread::sleep(PAUSE); // it is just starting, or just leaving
    }
}

/// What the monitor answers before `until`.
fn told(socket: UnixStream, until: Option<Instant>) -> Result<Option<Exit>, ForwardError> {
    let connection = Connection::greeted(socket, AttachOptions::default())?;
    if let Some(until) = until {
        let left = until.saturating_duration_since(Instant::now());
        connection.limit(left.max(Duration::from_millis(1))).map_err(ForwardError::Socket)?;
    }
    match connection.exit() {
        Ok(exit) => Ok(Some(exit)),
        Err(ForwardError::Socket(err)) if super::connection::is_timeout(&err) => Ok(None),
        Err(other) => Err(other),
    }
}

/// What a monitor that has left wrote down.
fn written(run_dir: &Path) -> Result<Exit, WaitError> {
    let gone = || if run_dir.exists() { WaitError::NeverStarted } else { WaitError::Gone };
    let state = State::read(run_dir).ok_or_else(gone)?;
    Ok(read_exit(run_dir, &state.data_dir).unwrap_or_else(|| crashed(&state)))
}

/// Sends a request over a new connection.
fn ask(run_dir: &Path, request: &Request) -> Result<UnixStream, ConnectError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset => ConnectError::NotRunning,
        _ => ConnectError::Socket { path: run_dir.join(SOCKET), source },
    };
    let dir = File::open(run_dir).map_err(failed)?;
    let mut socket = UnixStream::connect(short_path(&dir)).map_err(failed)?;
    socket.write_all(&frame(Kind::Request, request)).map_err(failed)?;
    Ok(socket)
}

/// A socket's address has room for 107 bytes, which a path may exceed; this one never does.
pub(super) fn short_path(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))
}

/// The socket's name in a run directory.
pub(super) const SOCKET: &str = "monitor.sock";

/// The same failure, seen from a client that asked for a process.
pub(super) fn refused(failure: StartFailure) -> StartError {
    StartError::reported("", failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_run_cannot_be_reached() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(attach(dir.path(), AttachOptions::default()), Err(ConnectError::NotRunning)));
        assert!(matches!(signal(dir.path(), 9), Err(SignalError::NotRunning)));
        assert!(matches!(wait(dir.path(), None), Err(WaitError::NeverStarted)));
        let gone = dir.path().join("gone");
        assert!(matches!(wait(&gone, None), Err(WaitError::Gone)));
    }

    #[test]
    fn paths_of_any_length_have_room_in_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(200));
        std::fs::create_dir(&long).unwrap();
        let dir = File::open(&long).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(short_path(&dir)).unwrap();
        assert!(long.join(SOCKET).exists());
        UnixStream::connect(short_path(&dir)).unwrap();
        drop(listener);
    }
}
