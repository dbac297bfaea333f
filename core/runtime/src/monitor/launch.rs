//! How a monitor comes to be, seen by whoever starts it.
//!
//! The monitor's program is a file of its own, found beside ours. It is executed through a read-only
//! detached mount of that file: nothing that runs in the container can reach the file through
//! `/proc/<pid>/exe` and write to it (CVE-2019-5736), because that mount stays read-only for as long
//! as anything was executed from it.
//!
//! Its descriptor 0 is one end of a `SOCK_SEQPACKET` pair over which it gets the launch (a memory
//! file, which it keeps and reads again for every `exec`), descriptors, and `Go`; it answers with one
//! `Report`. The program then forks once, so that it is nobody's child and leaves no zombie to its
//! starter, and leads a session of its own, so that no terminal's signal reaches it.

use std::{
    env,
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::{
    fs::{CWD, MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    mount::{OpenTreeFlags, open_tree},
};

use super::{
    AttachOptions, Connection, ForwardError, Launch, Started,
    connection::local_size,
    frame::Kind,
    message::{Attach, FromStarter, Report, Request, Size, StartFailure, frame},
};
use crate::{
    message::Channel,
    process::Given,
    sys::mount::{MountChange, change_mount},
};

/// Names another program than the one beside ours.
const OVERRIDE: &str = "WHARF_MONITOR";
const PROGRAM: &str = "wharf-monitor";

/// Why a container or a process in it does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It has a monitor.
    #[error("container {id} is already running")]
    AlreadyRunning {
        /// The container.
        id: String,
    },
    /// The program is not there.
    #[error("cannot execute {path}: {reason}", path = .path.display())]
    NotFound {
        /// The program.
        path: PathBuf,
        /// What the kernel says.
        reason: String,
    },
    /// The program is there and cannot be executed.
    #[error("cannot execute {path}: {reason}", path = .path.display())]
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// What the kernel says.
        reason: String,
    },
    /// Something before that failed.
    #[error("{reason}")]
    Failed {
        /// What a command exits with because of it.
        code: u8,
        /// What failed, and why.
        reason: String,
    },
    /// The monitor's program is missing.
    #[error("there is no {PROGRAM} in {}", list(.looked))]
    NoMonitor {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// The monitor could not be started, or died before it answered.
    #[error("cannot start the monitor of container {id}")]
    Monitor {
        /// The container.
        id: String,
        /// Why.
        source: io::Error,
    },
    /// The container runs, but its first connection does not.
    #[error("the first connection to container {id} failed")]
    Connection {
        /// The container.
        id: String,
        /// Why.
        source: Box<ForwardError>,
    },
}

impl StartError {
    /// What a command exits with: 127 when there is no such program, 126 when it cannot be executed,
    /// otherwise 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            Self::Failed { code, .. } => *code,
            _ => 125,
        }
    }

    /// What a monitor reported about `id`.
    pub(crate) fn reported(id: &str, failure: StartFailure) -> Self {
        match failure {
            StartFailure::AlreadyRunning => Self::AlreadyRunning { id: id.to_owned() },
            StartFailure::NotFound { path, reason } => Self::NotFound { path, reason },
            StartFailure::NotExecutable { path, reason } => Self::NotExecutable { path, reason },
            StartFailure::Other { code, reason } => Self::Failed { code, reason },
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(" or ")
}

/// Runs a container under a monitor of its own: [`spawn`], then [`Monitor::start`].
pub fn start(
    launch: &Launch,
    given: Given<'_>,
    hold: &[BorrowedFd<'_>],
    attach: Option<AttachOptions>,
) -> Result<Started, StartError> {
    spawn(&launch.id)?.start(launch, given, hold, attach)
}

/// Executes the monitor of container `id`. It takes some milliseconds to be ready, in which its starter
/// can find out what it is to run; without being told, it ends.
pub fn spawn(id: &str) -> Result<Monitor, StartError> {
    let program = find_program()?;
    let failed = |source| StartError::Monitor { id: id.to_owned(), source };
    Monitor::spawn(&program, id).map_err(failed)
}

impl Monitor {
    /// Has it run a container; returns when the container's program was executed.
    ///
    /// The monitor holds `hold` open until the container has ended, and lets go of the rest of what it is
    /// given when its program was executed. When this fails nothing is left and
    /// `on_exit` does not run. A launch that dies with its client always gets a connection.
    pub fn start(
        self,
        launch: &Launch,
        given: Given<'_>,
        hold: &[BorrowedFd<'_>],
        attach: Option<AttachOptions>,
    ) -> Result<Started, StartError> {
        let failed = |source| StartError::Monitor { id: launch.id.clone(), source };
        let attach = attach.or_else(|| launch.die_with_client.then(AttachOptions::default));
        let client = attach.map(|options| first_client(&options).map(|ends| (options, ends))).transpose();
        let client = client.map_err(failed)?;
        let theirs = client.as_ref().map(|(_, (_, theirs))| theirs.as_fd());
        let report = self.tell(launch, given, theirs, hold).map_err(failed)?;
        let pid = report.map_err(|failure| StartError::reported(&launch.id, failure))?;
        let connection = client.map(|(options, (ours, _))| Connection::greeted(ours, options)).transpose();
        let connection =
            connection.map_err(|err| StartError::Connection { id: launch.id.clone(), source: err.into() })?;
        Ok(Started { pid, connection })
    }
}

/// A connection whose request is already on its way, ours and the monitor's end.
fn first_client(options: &AttachOptions) -> io::Result<(UnixStream, UnixStream)> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let &AttachOptions { stdin, stdout, stderr, reap, .. } = options;
    let request = Request::Attach(Attach { stdin, stdout, stderr, reap, size: local_size() });
    ours.write_all(&frame(Kind::Request, &request))?;
    Ok((ours, theirs))
}

/// A monitor that was not told yet what to run. Dropped, it ends.
#[derive(Debug)]
pub struct Monitor {
    channel: Channel,
    _starter: Starter,
}

/// The process that was executed, which ends as soon as it has made the monitor.
#[derive(Debug)]
struct Starter(Child);

impl Drop for Starter {
    fn drop(&mut self) {
        let _ = self.0.wait(); // it leaves nothing to be asked for
    }
}

impl Monitor {
    fn spawn(program: &Path, id: &str) -> io::Result<Self> {
        let (ours, theirs) = Channel::pair()?;
        let program = read_only(program).or_else(|_| sealed_copy(program))?;
        let child = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
            .arg0(PROGRAM)
            .arg(id)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { channel: ours, _starter: Starter(child) })
    }

    /// Hands everything over and waits for the answer.
    fn tell(
        self,
        launch: &Launch,
        given: Given<'_>,
        client: Option<BorrowedFd<'_>>,
        hold: &[BorrowedFd<'_>],
    ) -> io::Result<Report> {
        self.hand_over(launch, given, client, hold)?;
        match self.channel.receive::<Report>()? {
            Some((report, _)) => Ok(report),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it died before it answered")),
        }
    }

    fn hand_over(
        &self,
        launch: &Launch,
        given: Given<'_>,
        client: Option<BorrowedFd<'_>>,
        hold: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let file = memory_file(launch)?;
        let size = client.and_then(|_| local_size());
        self.channel.send(&FromStarter::Launch { size }, Some(file.as_fd()))?;
        if given.netns.is_some() {
            self.channel.send(&FromStarter::Netns, given.netns)?;
        }
        for mount in given.mounts {
            self.channel.send(&FromStarter::Mount, Some(mount.as_fd()))?;
        }
        if client.is_some() {
            self.channel.send(&FromStarter::Client, client)?;
        }
        for fd in hold {
            self.channel.send(&FromStarter::Hold, Some(*fd))?;
        }
        self.channel.send(&FromStarter::Go, None)
    }
}

fn memory_file(launch: &Launch) -> io::Result<File> {
    let mut file = File::from(memfd_create("wharf-launch", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(launch)?)?;
    Ok(file)
}

/// The file `path` on a mount of its own that cannot be written to.
fn read_only(path: &Path) -> io::Result<OwnedFd> {
    let mount = open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    let set = libc::MOUNT_ATTR_RDONLY;
    change_mount(mount.as_fd(), MountChange { set, ..MountChange::default() })?;
    Ok(mount)
}

/// A copy of `path` in memory that cannot be written to, where mounts are not for us.
fn sealed_copy(path: &Path) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create(PROGRAM, flags)?);
    io::copy(&mut File::open(path)?, &mut copy)?;
    fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(copy.into())
}

fn find_program() -> Result<PathBuf, StartError> {
    if let Some(named) = env::var_os(OVERRIDE) {
        return Ok(named.into());
    }
    let looked = env::current_exe().map(|exe| beside(&exe)).unwrap_or_default();
    match looked.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(StartError::NoMonitor { looked }),
    }
}

/// Where the monitor may be when our own program is `exe`.
fn beside(exe: &Path) -> Vec<PathBuf> {
    let Some(dir) = exe.parent() else { return Vec::new() };
    let installed = [dir.join(PROGRAM), dir.join("../libexec/wharf").join(PROGRAM)];
    // cargo keeps tests one directory below the programs they test
    let tested = dir.ends_with("deps").then(|| dir.join("..").join(PROGRAM));
    installed.into_iter().chain(tested).collect()
}

/// The terminal's size in the wire's words.
impl From<crate::terminal::TerminalSize> for Size {
    fn from(size: crate::terminal::TerminalSize) -> Self {
        Self { rows: size.rows, columns: size.columns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_executed_from_where_it_cannot_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("true");
        std::fs::copy("/bin/true", &path).unwrap();
        let mut ways = vec![sealed_copy(&path).unwrap()];
        match read_only(&path) {
            Ok(mount) => ways.push(mount),
            Err(err) => println!("skipped: no detached mounts here: {err}"),
        }
        for file in ways {
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            let written = File::options().write(true).open(&link).and_then(|mut file| file.write_all(b"x"));
            assert!(written.is_err());
            assert!(Command::new(&link).status().unwrap().success());
        }
    }

    #[test]
    fn codes_tell_what_kind_of_failure_it_was() {
        let path = PathBuf::from("/x");
        let reason = String::from("because");
        for (failure, code) in [
            (StartFailure::NotFound { path: path.clone(), reason: reason.clone() }, 127),
            (StartFailure::NotExecutable { path, reason: reason.clone() }, 126),
            (StartFailure::Other { code: 125, reason }, 125),
            (StartFailure::AlreadyRunning, 125),
        ] {
            assert_eq!(StartError::reported("c", failure).exit_code(), code);
        }
    }
}
