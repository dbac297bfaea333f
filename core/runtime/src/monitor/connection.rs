//! A client's end of a connection to a process.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use super::{
    AttachOptions, Exit, Stream,
    control::refused,
    frame::{Decoder, Frame, Kind, encode},
    launch::StartError,
    message::{Hello, Malformed, Size, StartFailure, parse},
};
use crate::terminal;

mod forward;

pub use forward::Local;

/// A connection to a process in a container.
///
/// Dropping it leaves the process alone, unless the container was started to die with this client.
#[derive(Debug)]
pub struct Connection {
    socket: UnixStream,
    decoder: Decoder,
    hello: Hello,
    options: AttachOptions,
}

/// Ends a process whose [`Connection`] is in use, which sees it end as by any other signal.
#[derive(Debug)]
pub struct Killer {
    socket: UnixStream,
}

impl Killer {
    /// Kills it. One that has ended already, or whose monitor has, stays as it is.
    pub fn kill(&self) {
        let _ = (&self.socket).write_all(&encode(Kind::Signal, &(libc::SIGKILL as u32).to_be_bytes()));
    }
}

/// How a person's connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The process has ended.
    Exited(Exit),
    /// The detach keys were typed; the process goes on.
    Detached,
    /// Nobody reads our output any more, as in `run ... | head -1`; the process goes on. What a
    /// `reap` attach promised falls back to the monitor.
    OutputGone,
}

/// How a process with a time limit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    /// How it ended.
    pub exit: Exit,
    /// Whether it was killed because its time was up.
    pub timed_out: bool,
}

/// Why a connection broke off.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The monitor is gone, and with it the news of the end.
    #[error("the container's monitor is gone")]
    MonitorGone,
    /// The connection does not work.
    #[error("the connection to the container's monitor broke")]
    Socket(#[source] io::Error),
    /// The monitor does not speak our language.
    #[error("the container's monitor sent something that is no message")]
    Garbage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The monitor did not grant the request.
    #[error(transparent)]
    Refused(Box<StartError>),
    /// Our own terminal or stream does not work.
    #[error("cannot use the {stream}")]
    Local {
        /// Which.
        stream: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// A signal asked this process to end.
    #[error("interrupted by signal {0}")]
    Interrupted(i32),
}

impl From<Malformed> for ForwardError {
    fn from(err: Malformed) -> Self {
        Self::Garbage(err.into())
    }
}

impl Connection {
    /// Waits for the monitor's answer to the request that was sent over `socket`.
    pub(super) fn greeted(socket: UnixStream, options: AttachOptions) -> Result<Self, ForwardError> {
        let none = Hello { pid: 0, tty: false, stdin: false };
        let mut connection = Self { socket, decoder: Decoder::default(), hello: none, options };
        let frame = connection.frame()?;
        match frame.kind {
            Kind::Hello => connection.hello = parse(&frame)?,
            Kind::Refusal => {
                let failure: StartFailure = parse(&frame)?;
                return Err(ForwardError::Refused(refused(failure).into()));
            }
            _ => return Err(unexpected(&frame)),
        }
        Ok(connection)
    }

    /// Whether the process has a terminal.
    pub fn tty(&self) -> bool {
        self.hello.tty
    }

    /// The process, as the host sees it.
    pub fn pid(&self) -> i32 {
        self.hello.pid
    }

    /// A way to end the process while another thread waits for it here.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn killer(&self) -> io::Result<Killer> {
        Ok(Killer { socket: self.socket.try_clone()? })
    }

    /// Hands the process's output to `sink` until it ends.
    pub fn stream(mut self, sink: &mut dyn FnMut(Stream, &[u8])) -> Result<Exit, ForwardError> {
        self.end_input()?;
        loop {
            let frame = self.frame()?;
            if let Some(exit) = deliver(&frame, sink)? {
                return Ok(exit);
            }
        }
    }

    /// Does what [`Connection::stream`] does, and kills the process when it takes longer than `limit`.
    pub fn stream_for(
        mut self,
        limit: Duration,
        sink: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Timed, ForwardError> {
        self.end_input()?;
        let until = Instant::now() + limit;
        let mut timed_out = false;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if !timed_out && left.is_zero() {
                timed_out = true;
                self.send(Kind::Signal, &(libc::SIGKILL as u32).to_be_bytes())?;
            }
            self.socket.set_read_timeout((!timed_out).then_some(left)).map_err(ForwardError::Socket)?;
            let frame = match self.frame() {
                Err(ForwardError::Socket(err)) if is_timeout(&err) => continue,
                other => other?,
            };
            if let Some(exit) = deliver(&frame, sink)? {
                return Ok(Timed { exit, timed_out });
            }
        }
    }

    /// Waits for nothing but the end.
    pub(super) fn exit(mut self) -> Result<Exit, ForwardError> {
        loop {
            let frame = self.frame()?;
            if let Some(exit) = deliver(&frame, &mut |_, _| {})? {
                return Ok(exit);
            }
        }
    }

    /// Limits how long a read may take; reads then fail with [`ForwardError::Socket`].
    pub(super) fn limit(&self, limit: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(limit))
    }

    fn end_input(&mut self) -> Result<(), ForwardError> {
        if self.hello.stdin { self.send(Kind::StdinEnd, &[]) } else { Ok(()) }
    }

    fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), ForwardError> {
        match self.socket.write_all(&encode(kind, payload)) {
            // The monitor may have left after its last word, which can still be read.
            Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(ForwardError::Socket),
        }
    }

    /// The next frame, waiting for it.
    fn frame(&mut self) -> Result<Frame, ForwardError> {
        loop {
            if let Some(frame) = self.decoder.next().map_err(Malformed::from)? {
                return Ok(frame);
            }
            self.fill()?;
        }
    }

    /// Reads what there is, waiting if the socket does.
    fn fill(&mut self) -> Result<(), ForwardError> {
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(0) => Err(ForwardError::MonitorGone),
            Ok(count) => {
                self.decoder.push(&bytes[..count]);
                Ok(())
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(err) if err.kind() == io::ErrorKind::ConnectionReset => Err(ForwardError::MonitorGone),
            Err(err) => Err(ForwardError::Socket(err)),
        }
    }

    /// Tells the monitor that its `on_exit` is not needed.
    fn acknowledge(mut self) -> Result<(), ForwardError> {
        self.socket.set_nonblocking(false).map_err(ForwardError::Socket)?;
        self.send(Kind::Reaped, &[])?;
        // Our half only: closing with something unread would tear our last word down.
        let _ = self.socket.shutdown(Shutdown::Write);
        Ok(())
    }
}

/// Hands output on; the exit when `frame` is the last.
fn deliver(frame: &Frame, sink: &mut dyn FnMut(Stream, &[u8])) -> Result<Option<Exit>, ForwardError> {
    match frame.kind {
        Kind::Stdout => sink(Stream::Stdout, &frame.payload),
        Kind::Stderr => sink(Stream::Stderr, &frame.payload),
        Kind::Exit => return Ok(Some(parse(frame)?)),
        Kind::StdinTaken | Kind::StdinEnd => {}
        _ => return Err(unexpected(frame)),
    }
    Ok(None)
}

fn unexpected(frame: &Frame) -> ForwardError {
    ForwardError::Garbage(format!("unexpected message of kind {:?}", frame.kind).into())
}

pub(super) fn is_timeout(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The size of the terminal that this process's user looks at, if there is one.
pub(super) fn local_size() -> Option<Size> {
    let (output, input) = (io::stdout(), io::stdin());
    size_of(output.as_fd(), Some(input.as_fd()))
}

fn size_of(output: BorrowedFd<'_>, input: Option<BorrowedFd<'_>>) -> Option<Size> {
    terminal::size(output).or_else(|| input.and_then(terminal::size)).map(Size::from)
}
