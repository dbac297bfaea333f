//! The loop that connects processes and clients.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    super::{
        Exit, Stream,
        frame::{Frame, Kind, MAX_DATA},
        message::{Attach, Exec, Hello, Request, Size, StartFailure, parse},
    },
    client::{Attachment, Client, Role},
    orders,
    task::{Output, Read, Streams, Task},
};
use crate::{cgroup::Cgroup, log::Writer, process};

/// How much is read from a process at once; one frame holds it.
const BUFFER: usize = 32 * 1024;
/// How long a terminal without a process rests before it is looked at again.
const REST: Duration = Duration::from_millis(200);

/// What an `exec` needs to know of the container.
pub(super) struct Context {
    pub(super) orders: File,
    pub(super) cgroup: Cgroup,
    pub(super) stdin_once: bool,
}

/// All processes and clients of one container.
pub(super) struct Hub {
    /// The container's own process first.
    tasks: Vec<Task>,
    clients: BTreeMap<u32, Client>,
    next_client: u32,
    listener: Option<UnixListener>,
    log: Option<Writer>,
    context: Context,
    buffer: Vec<u8>,
    /// The client whose leaving ends the container.
    leash: Option<u32>,
    /// Until when the terminal's output is left alone, because nobody has it open.
    rest: Option<Instant>,
    /// Whether a client has done what `on_exit` would do.
    pub(super) reaped: bool,
}

/// Something that poll looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Listener,
    Client(u32),
    Input(usize),
    Output(usize, Stream),
    End(usize),
}

impl Hub {
    pub(super) fn new(
        main: Task,
        listener: UnixListener,
        log: Option<Writer>,
        context: Context,
    ) -> io::Result<Self> {
        Ok(Self {
            tasks: vec![main],
            clients: BTreeMap::new(),
            next_client: 0,
            listener: Some(listener),
            log,
            context,
            buffer: vec![0; BUFFER],
            leash: None,
            rest: None,
            reaped: false,
        })
    }

    /// The container's own process.
    pub(super) fn main(&self) -> &Task {
        &self.tasks[0]
    }

    /// Takes the connection of the starter, whose request has already come.
    pub(super) fn welcome_starter(&mut self, socket: UnixStream, leash: bool) -> io::Result<()> {
        let id = self.welcome(socket, true)?;
        self.leash = leash.then_some(id);
        self.hear(id);
        Ok(())
    }

    fn welcome(&mut self, socket: UnixStream, patient: bool) -> io::Result<u32> {
        let id = self.next_client;
        self.next_client += 1;
        self.clients.insert(id, Client::new(socket, patient)?);
        Ok(id)
    }

    /// Serves everybody until the container's own process ends.
    pub(super) fn run(&mut self) -> Exit {
        loop {
            for source in self.ready() {
                match source {
                    Source::Listener => self.accept(),
                    Source::Client(id) => self.serve(id),
                    Source::Input(task) => self.feed(task),
                    Source::Output(task, stream) => self.pump(task, stream),
                    Source::End(_) => {}
                }
            }
            self.end_tasks();
            if let Some(exit) = self.main().reap() {
                return exit;
            }
            self.drop_clients();
        }
    }

    /// Serves clients only, until all have gone.
    pub(super) fn linger(&mut self, mut on_change: impl FnMut(&Self)) {
        self.drop_clients();
        while !self.clients.is_empty() {
            for source in self.ready() {
                if let Source::Client(id) = source {
                    self.serve(id);
                }
            }
            self.drop_clients();
            on_change(self);
        }
    }

    /// Waits for something to do. Clients come first, so that whoever asked for output gets it.
    fn ready(&self) -> Vec<Source> {
        let wanted = self.wanted();
        let mut fds: Vec<_> =
            wanted.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        // A time that does not fit means waiting for ever, which is right for a time that far away.
        let pause = self.pause().and_then(|pause| Timespec::try_from(pause).ok());
        if poll(&mut fds, pause.as_ref()).is_err() {
            return Vec::new(); // interrupted: look again
        }
        let ready = wanted.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        ready.map(|((source, ..), _)| *source).collect()
    }

    fn wanted(&self) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        let mut wanted = Vec::new();
        for (&id, client) in &self.clients {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, client.has_queue());
            wanted.push((Source::Client(id), client.socket(), flags));
        }
        if let Some(listener) = &self.listener {
            wanted.push((Source::Listener, listener.as_fd(), PollFlags::IN));
        }
        for (place, task) in self.tasks.iter().enumerate() {
            if let Some(fd) = task.input.waiting() {
                wanted.push((Source::Input(place), fd, PollFlags::OUT));
            }
            let rests = task.tty() && self.rest.is_some_and(|until| Instant::now() < until);
            let outputs =
                task.outputs.iter().filter(|output| !rests && !self.is_held_up(task, output.stream));
            for Output { stream, fd } in outputs {
                wanted.push((Source::Output(place, *stream), fd.as_fd(), PollFlags::IN));
            }
            wanted.push((Source::End(place), task.pidfd(), PollFlags::IN));
        }
        wanted
    }

    /// How long to wait at most.
    fn pause(&self) -> Option<Duration> {
        let deadlines = self.clients.values().filter_map(Client::deadline).chain(self.rest);
        let now = Instant::now();
        deadlines.min().map(|deadline| deadline.saturating_duration_since(now) + Duration::from_millis(1))
    }

    fn is_held_up(&self, task: &Task, stream: Stream) -> bool {
        self.clients.values().any(|client| client.holds_up(task.pid(), stream))
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        match listener.accept() {
            // A client that cannot be taken in sees its connection close.
            Ok((socket, _)) => drop(self.welcome(socket, false)),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors, most likely: it passes, and must not make us spin.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }

    fn serve(&mut self, id: u32) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.flush();
        }
        self.hear(id);
    }

    /// Reads what a client sends and acts on it.
    fn hear(&mut self, id: u32) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.receive();
        }
        while let Some(client) = self.clients.get_mut(&id) {
            match client.frame() {
                Ok(Some(frame)) => self.obey(id, frame),
                Ok(None) => break,
                Err(_) => {
                    client.drop_connection();
                    break;
                }
            }
        }
    }

    /// Acts on one message; a client that says what its role does not allow is dropped.
    fn obey(&mut self, id: u32, frame: Frame) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let obeyed = match (client.role, frame.kind) {
            (Role::New, Kind::Request) => self.grant(id, &frame),
            (Role::Attached(attachment), _) => self.command(id, attachment, frame),
            (Role::Reaping, Kind::Reaped) => {
                self.reaped = true;
                client.drop_connection();
                Some(())
            }
            // What was sent before our last word was read.
            (Role::Leaving | Role::Reaping, _) => Some(()),
            _ => None,
        };
        if obeyed.is_none()
            && let Some(client) = self.clients.get_mut(&id)
        {
            client.drop_connection();
        }
    }

    fn grant(&mut self, id: u32, frame: &Frame) -> Option<()> {
        match parse(frame).ok()? {
            Request::Attach(Attach { stdin, stdout, stderr, reap, size }) => {
                let main = self.main();
                if let Some(size) = size {
                    main.resize(size);
                }
                let pid = main.pid();
                self.greet(id, 0, Role::Attached(Attachment { pid, stdin, stdout, stderr, reap }));
            }
            Request::Wait => self.greet(id, 0, Role::Waiting),
            Request::Resize(size) => {
                self.main().resize(size);
                self.greet(id, 0, Role::Leaving);
            }
            Request::Exec(exec) => self.exec(id, *exec),
        }
        Some(())
    }

    fn greet(&mut self, id: u32, task: usize, role: Role) {
        let task = &self.tasks[task];
        let hello = Hello { pid: task.pid(), tty: task.tty(), stdin: task.input.is_open() };
        if let Some(client) = self.clients.get_mut(&id) {
            client.send(Kind::Hello, &serde_json::to_vec(&hello).unwrap_or_default());
            client.leave(role);
        }
    }

    fn exec(&mut self, id: u32, exec: Exec) {
        let detach = exec.detach;
        match self.begin_exec(exec) {
            Ok(task) => {
                let pid = task.pid();
                self.tasks.push(task);
                let all = Attachment { pid, stdin: true, stdout: true, stderr: true, reap: false };
                let role = if detach { Role::Leaving } else { Role::Attached(all) };
                self.greet(id, self.tasks.len() - 1, role);
            }
            Err(failure) => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.send(Kind::Refusal, &serde_json::to_vec(&failure).unwrap_or_default());
                    client.leave(Role::Leaving);
                }
            }
        }
    }

    fn begin_exec(&self, exec: Exec) -> Result<Task, StartFailure> {
        let Exec { process, open_stdin, detach, size } = exec;
        if self.context.cgroup.is_frozen() {
            // Its new process would be held still, and with it whoever waits for that: we.
            return Err(StartFailure::Other { code: 125, reason: "the container is paused".into() });
        }
        let terminal = process.terminal().unwrap_or(false);
        let streams = if detach && !terminal {
            Streams::nowhere()
        } else {
            Streams::open(&process, open_stdin && !detach)
        };
        let (streams, io) = streams.map_err(super::other("open its streams"))?;
        let launch =
            orders::read(&self.context.orders).map_err(super::other("read the container's orders"))?;
        let seccomp = launch.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let child = process::enter(self.main().pidfd(), &process, io, &self.context.cgroup, seccomp)
            .map_err(|err| super::failure(err.exit_code(), &err))?;
        Task::start(child, streams, size)
    }

    /// Acts on what an attached client sends.
    fn command(&mut self, id: u32, attachment: Attachment, frame: Frame) -> Option<()> {
        let place = self.tasks.iter().position(|task| task.pid() == attachment.pid)?;
        let task = &mut self.tasks[place];
        match frame.kind {
            Kind::Stdin if attachment.stdin => return self.input(id, place, frame.payload),
            Kind::StdinEnd if attachment.stdin => self.end_input(place),
            // Nothing is lost: it did not promise any input.
            Kind::StdinEnd => {}
            Kind::Resize => task.resize(Size::from_wire(&frame.payload)?),
            Kind::Signal => task.signal(i32::try_from(frame.number()?).ok()?),
            Kind::Detach => {
                let client = self.clients.get_mut(&id)?;
                client.role = Role::Leaving;
                client.drop_connection();
            }
            _ => return None,
        }
        Some(())
    }

    fn input(&mut self, id: u32, place: usize, bytes: Vec<u8>) -> Option<()> {
        let input = &mut self.tasks[place].input;
        if !input.is_open() {
            let client = self.clients.get_mut(&id)?;
            client.send(Kind::StdinTaken, &u32::try_from(bytes.len()).ok()?.to_be_bytes());
            client.send(Kind::StdinEnd, &[]);
            return Some(());
        }
        if input.ahead(id) + bytes.len() > MAX_DATA {
            return None;
        }
        input.push(id, bytes);
        self.feed(place);
        Some(())
    }

    /// A client has no more input. A terminal has no end: there, the end is a key.
    fn end_input(&mut self, place: usize) {
        let once = place > 0 || self.context.stdin_once;
        let task = &mut self.tasks[place];
        if once && !task.tty() {
            task.input.end();
        }
    }

    /// Writes waiting input to a process and tells those it came from.
    fn feed(&mut self, place: usize) {
        let input = &mut self.tasks[place].input;
        let taken = input.write();
        let closed = !input.is_open();
        for part in taken {
            let Some(client) = self.clients.get_mut(&part.client) else { continue };
            client.send(Kind::StdinTaken, &u32::try_from(part.bytes).unwrap_or(u32::MAX).to_be_bytes());
            if closed {
                client.send(Kind::StdinEnd, &[]);
            }
        }
    }

    /// Reads once from a process and hands it to the log and to clients.
    fn pump(&mut self, place: usize, stream: Stream) {
        let Some(output) = self.tasks[place].outputs.iter().position(|output| output.stream == stream) else {
            return;
        };
        match self.tasks[place].outputs[output].read(&mut self.buffer) {
            Read::Bytes(count) => self.publish(place, stream, count),
            Read::Nothing => {}
            // A process may open its terminal again.
            Read::Ended if self.tasks[place].tty() => self.rest = Some(Instant::now() + REST),
            Read::Ended => drop(self.tasks[place].outputs.remove(output)),
        }
    }

    fn publish(&mut self, place: usize, stream: Stream, count: usize) {
        let bytes = &self.buffer[..count];
        if place == 0
            && let Some(log) = &mut self.log
        {
            log.write(stream, bytes);
        }
        let kind = if stream == Stream::Stdout { Kind::Stdout } else { Kind::Stderr };
        let pid = self.tasks[place].pid();
        for client in self.clients.values_mut().filter(|client| client.receives(pid, stream)) {
            client.send(kind, bytes);
        }
    }

    /// Reads what is left of a process that has ended, at most until `until`: others may hold its
    /// outputs open for ever. True when there is no more to come.
    pub(super) fn drain(&mut self, place: usize, until: Instant) {
        let tty = self.tasks[place].tty();
        while !self.tasks[place].outputs.is_empty() {
            let mut moved = false;
            let outputs = &self.tasks[place].outputs;
            for stream in outputs.iter().map(|output| output.stream).collect::<Vec<_>>() {
                let Some(output) = self.tasks[place].outputs.iter().position(|o| o.stream == stream) else {
                    continue;
                };
                match self.tasks[place].outputs[output].read(&mut self.buffer) {
                    Read::Bytes(count) => {
                        moved = true;
                        self.publish(place, stream, count);
                    }
                    Read::Nothing => {}
                    Read::Ended => drop(self.tasks[place].outputs.remove(output)),
                }
            }
            if !moved && (tty || Instant::now() >= until) {
                break;
            }
            if !moved {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }

    /// Tells what became of processes of `exec` that have ended.
    pub(super) fn end_tasks(&mut self) -> usize {
        let before = self.tasks.len();
        let mut place = 1;
        while place < self.tasks.len() {
            let Some(exit) = self.tasks[place].reap() else {
                place += 1;
                continue;
            };
            self.drain(place, Instant::now());
            let pid = self.tasks[place].pid();
            self.tasks.remove(place);
            let text = serde_json::to_vec(&exit).unwrap_or_default();
            for client in self.clients.values_mut() {
                if matches!(client.role, Role::Attached(attachment) if attachment.pid == pid) {
                    client.send(Kind::Exit, &text);
                    client.leave(Role::Leaving);
                }
            }
        }
        if self.tasks.len() < before {
            super::become_small();
        }
        self.tasks.len() - 1
    }

    /// Tells everybody who is still there how the container ended. True when one of them promised to
    /// clean up.
    pub(super) fn announce(&mut self, exit: &Exit) -> bool {
        let text = serde_json::to_vec(exit).unwrap_or_default();
        let mut promised = false;
        for client in self.clients.values_mut() {
            let reap = matches!(client.role, Role::Attached(Attachment { reap: true, .. }));
            if matches!(client.role, Role::Attached(_) | Role::Waiting) {
                client.send(Kind::Exit, &text);
            }
            if !matches!(client.role, Role::Reaping) {
                client.leave(if reap { Role::Reaping } else { Role::Leaving });
            }
            promised |= reap && !client.is_done();
        }
        promised
    }

    /// Whether a client is there that promised to clean up.
    pub(super) fn has_promise(&self) -> bool {
        let promised = |role| matches!(role, Role::Reaping | Role::Attached(Attachment { reap: true, .. }));
        self.clients.values().any(|client| !client.is_done() && promised(client.role))
    }

    /// Finishes the log; how many lines it lacks.
    pub(super) fn finish_log(&mut self) -> u64 {
        self.log.take().map_or(0, |mut log| {
            log.finish();
            log.dropped()
        })
    }

    /// Nobody can connect any more.
    pub(super) fn close_door(&mut self) {
        self.listener = None;
        self.buffer = Vec::new();
    }

    /// Forgets the processes, which have all ended.
    pub(super) fn forget_tasks(&mut self) {
        self.tasks.clear();
    }

    /// Forgets clients that are done, with what follows from their leaving.
    fn drop_clients(&mut self) {
        if self.rest.is_some_and(|until| until <= Instant::now()) {
            self.rest = None;
        }
        let now = Instant::now();
        let mut left = Vec::new();
        self.clients.retain(|&id, client| {
            client.lose_patience(now);
            if client.is_done() {
                left.push((id, client.role));
            }
            !client.is_done()
        });
        for (id, role) in left {
            if let Role::Attached(Attachment { pid, stdin: true, .. }) = role
                && let Some(place) = self.tasks.iter().position(|task| task.pid() == pid)
            {
                self.end_input(place);
            }
            if self.leash == Some(id)
                && let Some(main) = self.tasks.first()
            {
                main.signal(libc::SIGKILL);
            }
        }
    }
}
