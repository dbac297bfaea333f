//! The typed handshake between a process and the child that becomes a container's process.
//!
//! ```text
//! child -> parent   Ready (a terminal's master comes with it) | Failed
//! parent -> child   Start
//! child -> parent   NotExecuted | Failed | end of file: the program runs
//! ```
//!
//! One `SOCK_SEQPACKET` pair, one JSON document a packet. Both ends close on exec, so that the end
//! of file says that `execve` succeeded, and a parent that dies makes its child give up.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longer than any message: paths are at most a page.
const LONGEST: usize = 16 * 1024;

/// What the child tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromChild {
    /// All is set up; the child waits for [`FromParent::Start`].
    Ready,
    /// A step failed, and the child is gone.
    Failed(Failure),
    /// The program could not be executed, and the child is gone.
    NotExecuted(Failure),
}

/// What the parent tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromParent {
    /// Execute the program.
    Start,
}

/// Which step failed, on what, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// Completes "cannot ...".
    pub(crate) step: String,
    /// On which path, where there is one.
    pub(crate) path: Option<PathBuf>,
    /// Why.
    pub(crate) cause: Cause,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// The kernel said so.
    Errno(i32),
    /// A bind of a directory onto a file, or the other way round.
    WrongKind,
    /// We say so.
    Text(String),
}

impl Failure {
    /// A failure that no system call reported.
    pub(crate) fn text(step: &str, path: Option<&Path>, text: impl Into<String>) -> Self {
        Self { step: step.to_owned(), path: path.map(Path::to_owned), cause: Cause::Text(text.into()) }
    }

    /// What the kernel, or another room, answered.
    pub(crate) fn io(step: &str, path: Option<&Path>, source: &io::Error) -> Self {
        let cause = source.raw_os_error().map_or_else(|| Cause::Text(source.to_string()), Cause::Errno);
        Self { step: step.to_owned(), path: path.map(Path::to_owned), cause }
    }
}

impl From<Cause> for io::Error {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Errno(errno) => Self::from_raw_os_error(errno),
            Cause::WrongKind => {
                Self::other("are you trying to mount a directory onto a file, or a file onto a directory?")
            }
            Cause::Text(text) => Self::other(text),
        }
    }
}

/// Names the step that an answer of the kernel belongs to.
pub(crate) trait Named<T> {
    /// The step, without a path.
    fn step(self, step: &str) -> Result<T, Failure>;
    /// The step and the path it is about.
    fn at(self, step: &str, path: impl AsRef<Path>) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Named<T> for Result<T, E> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|err| Failure::io(step, None, &err.into()))
    }

    fn at(self, step: &str, path: impl AsRef<Path>) -> Result<T, Failure> {
        self.map_err(|err| Failure::io(step, Some(path.as_ref()), &err.into()))
    }
}

/// One end of the handshake.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl Channel {
    /// Both ends.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// Sends one message, with a descriptor where there is one.
    pub(crate) fn send(&self, message: &impl Serialize, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<_> = fd.into_iter().collect();
        if !fds.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        }
        sendmsg(&self.0, &[IoSlice::new(&text)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next message and the descriptor that came with it; `None` when the other end is closed.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut text = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut slices = [IoSliceMut::new(&mut text)];
            match recvmsg(&self.0, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                // The other end was closed with a message of ours unread.
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                other => break other?,
            }
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        let fds = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let fd = fds.flatten().next();
        Ok(Some((serde_json::from_slice(&text[..received.bytes])?, fd)))
    }
}

impl From<OwnedFd> for Channel {
    fn from(end: OwnedFd) -> Self {
        Self(end)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_with_its_descriptor() {
        let (one, other) = Channel::pair().unwrap();
        one.send(&FromChild::Ready, Some(one.as_fd())).unwrap();

        let (message, fd) = other.receive::<FromChild>().unwrap().unwrap();

        assert!(matches!(message, FromChild::Ready));
        assert!(fd.is_some());
    }

    #[test]
    fn a_closed_end_is_no_message() {
        let (one, other) = Channel::pair().unwrap();
        drop(one);
        assert!(other.receive::<FromChild>().unwrap().is_none());
    }

    #[test]
    fn a_failure_keeps_its_errno() {
        let failure = Failure::io("open", Some(Path::new("/x")), &io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(io::Error::from(failure.cause).kind(), io::ErrorKind::NotFound);
    }
}
