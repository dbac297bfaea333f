//! A person's (or a script's) end of a connection: their streams, terminal and signals.
//!
//! One loop, which never waits in a read or a write: signals must get through while the container
//! reads nothing, or while the person's pager does not.

use std::{
    io::{self, Write},
    mem,
    os::fd::{AsFd, BorrowedFd},
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    stdio,
};

use super::{
    super::{
        frame::{Frame, Kind, MAX_DATA, encode},
        keys::{Typed, Watch},
        message::{Malformed, parse},
    },
    Connection, Ended, Exit, ForwardError, size_of, unexpected,
};
use crate::terminal::{RawMode, is_terminal};

/// A pipe or terminal that polls writable takes this much without making us wait.
const SURE_WRITE: usize = 4096;

/// The streams that a process's streams are connected with.
#[derive(Debug, Clone, Copy)]
pub struct Local<'fd> {
    /// Where input comes from.
    pub stdin: Option<BorrowedFd<'fd>>,
    /// Where standard output, or the terminal's, goes.
    pub stdout: BorrowedFd<'fd>,
    /// Where standard error goes.
    pub stderr: BorrowedFd<'fd>,
}

impl Local<'static> {
    /// This process's own streams.
    pub fn standard() -> Self {
        Self { stdin: Some(stdio::stdin()), stdout: stdio::stdout(), stderr: stdio::stderr() }
    }
}

impl Connection {
    /// Connects the process with `local` until it ends, the detach keys are typed, or a local output
    /// cannot take what the process writes because its reader has gone.
    ///
    /// When the process has a terminal and input comes from one, that one is in raw mode meanwhile.
    /// Without a terminal, signals go to the process if the options say so. Call it from a process
    /// whose other threads block all signals, or that has none.
    pub fn forward(self, local: Local<'_>) -> Result<Ended, ForwardError> {
        self.forward_reaping(local, |_| {})
    }

    /// Does what [`Connection::forward`] does, then `clean_up`, and then tells the monitor that
    /// `on_exit` is not needed (which only the connection of a `reap` attach may).
    pub fn forward_reaping(
        mut self,
        local: Local<'_>,
        clean_up: impl FnOnce(&Exit),
    ) -> Result<Ended, ForwardError> {
        let ended = self.session(local)?;
        if let Ended::Exited(exit) = &ended {
            clean_up(exit);
            if self.options.reap {
                self.acknowledge()?;
            }
        }
        Ok(ended)
    }

    fn session(&mut self, local: Local<'_>) -> Result<Ended, ForwardError> {
        self.socket.set_nonblocking(true).map_err(ForwardError::Socket)?;
        let input = local.stdin.filter(|_| self.options.stdin && self.hello.stdin);
        let terminal = input.filter(|&fd| self.hello.tty && is_terminal(fd));
        let raw = terminal.map(RawMode::enter).transpose();
        let raw = raw.map_err(|source| ForwardError::Local { stream: "terminal", source })?;
        let signals = Signals::block(match (&raw, self.hello.tty) {
            (Some(_), _) => Care::RawTerminal,
            (None, false) if self.options.sig_proxy => Care::Proxy,
            (None, _) => Care::SizeOnly,
        })
        .map_err(|source| ForwardError::Local { stream: "signals", source })?;
        let mut session = Session::new(self, local, input, raw, signals);
        session.resized();
        let ended = session.run();
        // The terminal first, the signals second: a deadly one strikes when the terminal is whole.
        let Session { raw, signals, deadly, .. } = session;
        drop(raw);
        drop(signals);
        if let Some(signal) = deadly {
            if let Ok(signal) = Signal::try_from(signal) {
                let _ = nix::sys::signal::raise(signal); // when it is ignored we go on and say so
            }
            return Err(ForwardError::Interrupted(signal));
        }
        ended.map(|ended| ended.unwrap_or(Ended::Detached))
    }
}

/// Which signals are read instead of striking.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// The new size of a terminal.
    SizeOnly,
    /// Everything deadly, so that the terminal can be restored first.
    RawTerminal,
    /// Everything that is passed on.
    Proxy,
}

/// Signals that are read from a descriptor; they strike again when this is dropped.
struct Signals {
    fd: SignalFd,
    care: Care,
    before: SigSet,
}

impl Signals {
    fn block(care: Care) -> io::Result<Self> {
        let mut set = SigSet::all();
        let never = [Signal::SIGCHLD, Signal::SIGPIPE, Signal::SIGURG];
        let stops = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];
        match care {
            Care::Proxy => never.into_iter().for_each(|signal| set.remove(signal)),
            Care::RawTerminal => never.into_iter().chain(stops).for_each(|signal| set.remove(signal)),
            Care::SizeOnly => set = SigSet::from_iter([Signal::SIGWINCH]),
        }
        let before = set.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
        match SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK) {
            Ok(fd) => Ok(Self { fd, care, before }),
            Err(err) => {
                let _ = before.thread_set_mask(); // as when this is dropped
                Err(err.into())
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask(); // a mask that was in force is a valid one
    }
}

/// Output that a local stream has not taken yet.
struct Pending {
    kind: Kind,
    bytes: Vec<u8>,
    written: usize,
}

struct Session<'a> {
    connection: &'a mut Connection,
    local: Local<'a>,
    /// Where input comes from, until it has ended.
    input: Option<BorrowedFd<'a>>,
    raw: Option<RawMode<'a>>,
    signals: Signals,
    watch: Option<Watch>,
    /// Frames for the monitor.
    outgoing: Vec<u8>,
    /// Input that the monitor has not acknowledged.
    ahead: usize,
    pending: Option<Pending>,
    deadly: Option<i32>,
}

impl<'a> Session<'a> {
    fn new(
        connection: &'a mut Connection,
        local: Local<'a>,
        input: Option<BorrowedFd<'a>>,
        raw: Option<RawMode<'a>>,
        signals: Signals,
    ) -> Self {
        let watch = connection.hello.tty.then(|| Watch::new(connection.options.detach_keys.clone()));
        Self {
            connection,
            local,
            input,
            raw,
            signals,
            watch,
            outgoing: Vec::new(),
            ahead: 0,
            pending: None,
            deadly: None,
        }
    }

    /// Until the process ends, or (`None`) the person or a deadly signal ends the session.
    fn run(&mut self) -> Result<Option<Ended>, ForwardError> {
        loop {
            if self.pending.is_none()
                && let Some(frame) = self.connection.decoder.next().map_err(Malformed::from)?
            {
                if let Some(exit) = self.take(frame)? {
                    return Ok(Some(Ended::Exited(exit)));
                }
                continue;
            }
            let ready = self.wait()?;
            if ready.signal && self.signal()? {
                return Ok(None);
            }
            if ready.to_monitor {
                self.flush()?;
            }
            if ready.output && !self.write()? {
                return Ok(Some(Ended::OutputGone));
            }
            if ready.from_monitor {
                self.receive()?;
            }
            if ready.input && self.read()? {
                return Ok(Some(Ended::Detached));
            }
        }
    }

    fn wait(&self) -> Result<Ready, ForwardError> {
        let socket = self.connection.socket.as_fd();
        // A stream that must not be looked at is represented by the signals, asked for nothing.
        let unused = self.signals.fd.as_fd();
        let wanted = |fd: Option<BorrowedFd<'a>>, flags| match fd {
            Some(fd) => (fd, flags),
            None => (unused, PollFlags::empty()),
        };
        let may_read = self.ahead < MAX_DATA && self.outgoing.len() < MAX_DATA;
        let output = self.pending.as_ref().map(|pending| self.stream(pending.kind));
        let (input_fd, input_flags) = wanted(self.input.filter(|_| may_read), PollFlags::IN);
        let (output_fd, output_flags) = wanted(output, PollFlags::OUT);
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.pending.is_none());
        flags.set(PollFlags::OUT, !self.outgoing.is_empty());
        // A socket that hung up polls ready also when it is asked for nothing: do not spin on it.
        let (socket_fd, flags) = if flags.is_empty() { (unused, flags) } else { (socket, flags) };
        let mut fds = [
            PollFd::from_borrowed_fd(unused, PollFlags::IN),
            PollFd::from_borrowed_fd(socket_fd, flags),
            PollFd::from_borrowed_fd(input_fd, input_flags),
            PollFd::from_borrowed_fd(output_fd, output_flags),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(err) => return Err(ForwardError::Socket(err.into())),
        }
        let broken = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        let is = |place: usize, wanted: PollFlags| fds[place].revents().intersects(wanted | broken);
        Ok(Ready {
            signal: fds[0].revents().contains(PollFlags::IN),
            from_monitor: flags.contains(PollFlags::IN) && is(1, PollFlags::IN),
            to_monitor: flags.contains(PollFlags::OUT) && is(1, PollFlags::OUT),
            input: !input_flags.is_empty() && is(2, PollFlags::IN),
            output: !output_flags.is_empty() && is(3, PollFlags::OUT),
        })
    }

    /// Acts on one message of the monitor; the exit when it was the last.
    fn take(&mut self, frame: Frame) -> Result<Option<Exit>, ForwardError> {
        match frame.kind {
            Kind::Stdout | Kind::Stderr if frame.payload.is_empty() => {}
            Kind::Stdout | Kind::Stderr => {
                self.pending = Some(Pending { kind: frame.kind, bytes: frame.payload, written: 0 });
            }
            Kind::StdinTaken => {
                self.ahead = self.ahead.saturating_sub(frame.number().unwrap_or_default() as usize);
            }
            Kind::StdinEnd => self.input = None,
            Kind::Exit => return Ok(Some(parse(&frame)?)),
            _ => return Err(unexpected(&frame)),
        }
        Ok(None)
    }

    fn receive(&mut self) -> Result<(), ForwardError> {
        match self.connection.fill() {
            Err(ForwardError::Socket(err)) if err.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// Sends frames as far as the monitor takes them.
    fn flush(&mut self) -> Result<(), ForwardError> {
        match (&self.connection.socket).write(&self.outgoing) {
            Ok(count) => drop(self.outgoing.drain(..count)),
            Err(err) if matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // It left; its last words may still be unread, and tell more than this error.
            Err(err) if err.kind() == io::ErrorKind::BrokenPipe => {
                self.outgoing.clear();
                self.input = None;
            }
            Err(err) => return Err(ForwardError::Socket(err)),
        }
        Ok(())
    }

    /// Writes as much of the pending output as certainly does not make us wait; false when nobody
    /// reads it any more.
    fn write(&mut self) -> Result<bool, ForwardError> {
        let Some(mut pending) = self.pending.take() else { return Ok(true) };
        let rest = &pending.bytes[pending.written..];
        match rustix::io::write(self.stream(pending.kind), &rest[..rest.len().min(SURE_WRITE)]) {
            Ok(count) => pending.written += count,
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::PIPE | Errno::IO) => return Ok(false),
            Err(err) => {
                let stream = if pending.kind == Kind::Stderr { "standard error" } else { "standard output" };
                return Err(ForwardError::Local { stream, source: err.into() });
            }
        }
        if pending.written < pending.bytes.len() {
            self.pending = Some(pending);
        }
        Ok(true)
    }

    /// Reads input and sends it; true when it was the detach keys.
    fn read(&mut self) -> Result<bool, ForwardError> {
        let Some(fd) = self.input else { return Ok(false) };
        let mut bytes = vec![0; (MAX_DATA - self.ahead).min(16 * 1024)];
        let count = match rustix::io::read(fd, &mut bytes) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(false),
            Err(Errno::IO) => 0, // the terminal has gone away
            Err(err) => return Err(ForwardError::Local { stream: "standard input", source: err.into() }),
        };
        if count == 0 {
            let held = self.watch.as_mut().map(Watch::ended).unwrap_or_default();
            self.send_input(&held);
            self.input = None;
            self.outgoing.extend(encode(Kind::StdinEnd, &[]));
            return Ok(false);
        }
        let typed = match &mut self.watch {
            Some(watch) => watch.typed(&bytes[..count]),
            None => Typed::Input(mem::take(&mut bytes).into_iter().take(count).collect()),
        };
        match typed {
            Typed::Input(input) => self.send_input(&input),
            Typed::Detach(input) => {
                self.send_input(&input);
                self.outgoing.extend(encode(Kind::Detach, &[]));
                self.flush()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn send_input(&mut self, input: &[u8]) {
        if !input.is_empty() {
            self.ahead += input.len();
            self.outgoing.extend(encode(Kind::Stdin, input));
        }
    }

    /// Acts on the signals that arrived; true when one of them ends this process.
    fn signal(&mut self) -> Result<bool, ForwardError> {
        let failed = |source: nix::Error| ForwardError::Local { stream: "signals", source: source.into() };
        while let Some(info) = self.signals.fd.read_signal().map_err(failed)? {
            let number = info.ssi_signo as i32;
            match self.signals.care {
                Care::Proxy => self.outgoing.extend(encode(Kind::Signal, &info.ssi_signo.to_be_bytes())),
                _ if number == libc::SIGWINCH => self.resized(),
                _ if number == libc::SIGCONT => self.continued(),
                _ => {
                    self.deadly = Some(number);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Tells the monitor how large our terminal is.
    fn resized(&mut self) {
        if self.connection.hello.tty
            && let Some(size) = size_of(self.local.stdout, self.local.stdin)
        {
            self.outgoing.extend(encode(Kind::Resize, &size.to_wire()));
        }
    }

    /// A shell may have used the terminal while we were stopped.
    fn continued(&mut self) {
        if let Some(raw) = &self.raw {
            let _ = raw.again(); // without it typing is ugly; with an error it would be over
        }
        self.resized();
    }

    fn stream(&self, kind: Kind) -> BorrowedFd<'a> {
        if kind == Kind::Stderr { self.local.stderr } else { self.local.stdout }
    }
}

/// What can be done without waiting.
struct Ready {
    signal: bool,
    from_monitor: bool,
    to_monitor: bool,
    input: bool,
    output: bool,
}
