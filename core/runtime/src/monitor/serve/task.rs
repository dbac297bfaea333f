//! One process and its streams: the container's own, or one of an `exec`.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use jiff::Timestamp;
use oci_spec::runtime::Process;
use rustix::{
    fs::{OFlags, fchown, fcntl_getfl, fcntl_setfl},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{Uid, WaitId, WaitIdOptions, waitid},
    termios::{Winsize, tcsetwinsize},
};

use super::super::{
    Exit, Stream,
    message::{Size, StartFailure},
};
use crate::{
    process::{Child, ExecError, Running, Stdio},
    sys::monitor::pidfd_signal,
};

/// Our ends of a process's streams, before it runs.
#[derive(Default)]
pub(super) struct Streams {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// Whether a terminal takes input (its outputs and inputs are made when it is there).
    terminal_input: bool,
}

impl Streams {
    /// Pipes, or nothing yet when the process gets a terminal; and the process's ends.
    pub(super) fn open(process: &Process, open_stdin: bool) -> io::Result<(Self, Stdio)> {
        if process.terminal().unwrap_or(false) {
            return Ok((Self { terminal_input: open_stdin, ..Self::default() }, Stdio::Terminal));
        }
        // The process must be able to open `/dev/stdout` again whoever it runs as.
        let owner = Some(Uid::from_raw(process.user().uid()));
        let (stdin, ours) = if open_stdin {
            let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            (theirs, Some(ours))
        } else {
            (File::open("/dev/null")?.into(), None)
        };
        let (out, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (err, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        for pipe in [Some(&stdout), Some(&stderr), ours.as_ref()].into_iter().flatten() {
            fchown(pipe, owner, None)?;
        }
        for ours in [Some(&out), Some(&err), ours.as_ref()].into_iter().flatten() {
            never_wait(ours.as_fd())?;
        }
        let streams = Self { stdin: ours, stdout: Some(out), stderr: Some(err), terminal_input: false };
        Ok((streams, Stdio::Pipes { stdin, stdout, stderr }))
    }

    /// Nothing at all: output goes nowhere, there is no input.
    pub(super) fn nowhere() -> io::Result<(Self, Stdio)> {
        let null = || File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
        Ok((Self::default(), Stdio::Pipes { stdin: null()?, stdout: null()?, stderr: null()? }))
    }
}

fn never_wait(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?)
}

/// A process that was executed.
pub(super) struct Task {
    running: Running,
    terminal: Option<OwnedFd>,
    pub(super) input: Input,
    pub(super) outputs: Vec<Output>,
}

/// Something the process writes to.
pub(super) struct Output {
    pub(super) stream: Stream,
    pub(super) fd: OwnedFd,
}

impl Task {
    /// Executes `child`'s program.
    pub(super) fn start(
        mut child: Child,
        streams: Streams,
        size: Option<Size>,
    ) -> Result<Self, StartFailure> {
        let terminal = child.take_terminal();
        let task = (|| {
            let (input, outputs) = match &terminal {
                Some(terminal) => {
                    never_wait(terminal.as_fd())?;
                    let input = streams.terminal_input.then(|| terminal.try_clone()).transpose()?;
                    (input, vec![Output { stream: Stream::Stdout, fd: terminal.try_clone()? }])
                }
                None => {
                    let out = streams.stdout.map(|fd| Output { stream: Stream::Stdout, fd });
                    let err = streams.stderr.map(|fd| Output { stream: Stream::Stderr, fd });
                    (streams.stdin, out.into_iter().chain(err).collect())
                }
            };
            Ok((input, outputs))
        })();
        let (input, outputs) = task.map_err(super::other("open its terminal"))?;
        if let (Some(terminal), Some(size)) = (&terminal, size) {
            set_size(terminal.as_fd(), size).map_err(super::other("set its terminal's size"))?;
        }
        let running = child.start().map_err(not_executed)?;
        Ok(Self { running, terminal, input: Input::new(input), outputs })
    }

    pub(super) fn pid(&self) -> i32 {
        self.running.pid
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.running.pidfd.as_fd()
    }

    pub(super) fn tty(&self) -> bool {
        self.terminal.is_some()
    }

    /// Sends a signal; one that has no process any more, or does not exist, is no one's concern.
    pub(super) fn signal(&self, signal: i32) {
        let _ = pidfd_signal(self.pidfd(), signal);
    }

    pub(super) fn resize(&self, size: Size) {
        if let Some(terminal) = &self.terminal {
            let _ = set_size(terminal.as_fd(), size); // as above
        }
    }

    /// How the process ended, once; `None` as long as it has not. It is reaped by this.
    pub(super) fn reap(&self) -> Option<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(self.pidfd()), options).ok()??;
        let signal = status.terminating_signal();
        let code = match signal {
            Some(signal) => 128 + signal,
            None => status.exit_status().unwrap_or_default(),
        };
        let finished_at = Timestamp::now();
        let code = u8::try_from(code).unwrap_or(u8::MAX);
        Some(Exit { code, signal, oom_killed: false, finished_at, log_lines_dropped: 0 })
    }
}

fn set_size(terminal: BorrowedFd<'_>, size: Size) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

fn not_executed(err: ExecError) -> StartFailure {
    match err {
        ExecError::NotFound { path, source } => {
            StartFailure::NotFound { path, reason: super::chain(&source) }
        }
        ExecError::NotExecutable { path, source } => {
            StartFailure::NotExecutable { path, reason: super::chain(&source) }
        }
        other => super::failure(other.exit_code(), &other),
    }
}

/// What a read from an output gave.
pub(super) enum Read {
    Bytes(usize),
    Nothing,
    Ended,
}

impl Output {
    pub(super) fn read(&self, buffer: &mut [u8]) -> Read {
        match rustix::io::read(&self.fd, buffer) {
            Ok(0) => Read::Ended,
            Ok(count) => Read::Bytes(count),
            Err(Errno::AGAIN | Errno::INTR) => Read::Nothing,
            // A terminal says so when nobody has its other side open.
            Err(_) => Read::Ended,
        }
    }
}

/// What waits to be read by the process.
pub(super) struct Input {
    fd: Option<OwnedFd>,
    queue: VecDeque<Chunk>,
    /// Close when the queue is empty.
    ending: bool,
}

struct Chunk {
    client: u32,
    bytes: Vec<u8>,
    written: usize,
}

/// So many bytes of a client were taken.
pub(super) struct Taken {
    pub(super) client: u32,
    pub(super) bytes: usize,
}

impl Input {
    fn new(fd: Option<OwnedFd>) -> Self {
        Self { fd, queue: VecDeque::new(), ending: false }
    }

    /// Whether the process can still be written to.
    pub(super) fn is_open(&self) -> bool {
        self.fd.is_some() && !self.ending
    }

    /// What to poll while something waits.
    pub(super) fn waiting(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| !self.queue.is_empty()).map(AsFd::as_fd)
    }

    /// How much of `client` waits.
    pub(super) fn ahead(&self, client: u32) -> usize {
        let of_client = self.queue.iter().filter(|chunk| chunk.client == client);
        of_client.map(|chunk| chunk.bytes.len() - chunk.written).sum()
    }

    pub(super) fn push(&mut self, client: u32, bytes: Vec<u8>) {
        self.queue.push_back(Chunk { client, bytes, written: 0 });
    }

    /// No more input: the process reads the end when it has read the rest.
    pub(super) fn end(&mut self) {
        self.ending = true;
        self.close_when_empty();
    }

    /// Writes as much as goes. When the process does not read any more, everything counts as taken.
    pub(super) fn write(&mut self) -> Vec<Taken> {
        let mut taken = Vec::new();
        while let (Some(fd), Some(chunk)) = (&self.fd, self.queue.front_mut()) {
            match rustix::io::write(fd, &chunk.bytes[chunk.written..]) {
                Ok(count) => {
                    chunk.written += count;
                    taken.push(Taken { client: chunk.client, bytes: count });
                    if chunk.written == chunk.bytes.len() {
                        self.queue.pop_front();
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(_) => {
                    self.fd = None;
                    let rest = self.queue.drain(..);
                    taken.extend(rest.map(|chunk| Taken {
                        client: chunk.client,
                        bytes: chunk.bytes.len() - chunk.written,
                    }));
                }
            }
        }
        self.close_when_empty();
        taken
    }

    fn close_when_empty(&mut self) {
        if self.ending && self.queue.is_empty() {
            self.fd = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> (Input, OwnedFd) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        never_wait(write.as_fd()).unwrap();
        (Input::new(Some(write)), read)
    }

    #[test]
    fn input_that_nobody_reads_waits_and_is_not_acknowledged() {
        let (mut input, read) = input();
        for _ in 0..3 {
            input.push(1, vec![b'x'; 40_000]);
        }
        let taken: usize = input.write().iter().map(|taken| taken.bytes).sum();
        assert!(taken > 60_000 && taken < 120_000, "what a pipe holds");
        assert_eq!(input.ahead(1), 120_000 - taken);
        assert!(input.waiting().is_some());
        drop(read);
        let rest: usize = input.write().iter().map(|taken| taken.bytes).sum();
        assert_eq!(taken + rest, 120_000, "a closed pipe takes everything");
        assert!(!input.is_open());
    }

    #[test]
    fn the_end_comes_after_what_was_sent_before() {
        let (mut input, read) = input();
        input.push(1, b"last".to_vec());
        input.end();
        assert!(!input.is_open());
        input.write();
        let mut buffer = [0; 16];
        assert_eq!(rustix::io::read(&read, &mut buffer).unwrap(), 4);
        assert_eq!(rustix::io::read(&read, &mut buffer).unwrap(), 0);
    }
}
