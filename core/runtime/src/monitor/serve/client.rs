//! One connection, seen from the monitor.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use super::super::{
    Stream,
    frame::{Decoder, Frame, Garbage, Kind, header},
};

/// How much may wait for a client before its process is not read any further.
const FULL: usize = 128 * 1024;
/// How long a client may take nothing while its process waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// A socket that polls readable is read so far before others have their turn.
const TURN: usize = 16 * 1024;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It has not said so yet.
    New,
    /// The streams of a process.
    Attached(Attachment),
    /// The end of the container.
    Waiting,
    /// Everything is said; it goes when it has read it.
    Leaving,
    /// Everything is said; it goes when it has cleaned up.
    Reaping,
}

/// Which streams of which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) pid: i32,
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) reap: bool,
}

impl Attachment {
    fn wants(&self, pid: i32, stream: Stream) -> bool {
        self.pid == pid && if stream == Stream::Stdout { self.stdout } else { self.stderr }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    socket: UnixStream,
    decoder: Decoder,
    pub(super) role: Role,
    /// Whether it may be as slow as it likes.
    patient: bool,
    queue: Vec<u8>,
    sent: usize,
    /// Since when the queue has been full without moving.
    stuck: Option<Instant>,
    /// Whether the connection is of no more use.
    gone: bool,
}

impl Client {
    pub(super) fn new(socket: UnixStream, patient: bool) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            decoder: Decoder::default(),
            role: Role::New,
            patient,
            queue: Vec::new(),
            sent: 0,
            stuck: None,
            gone: false,
        })
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads what has come.
    pub(super) fn receive(&mut self) {
        let mut bytes = [0; TURN];
        match self.socket.read(&mut bytes) {
            Ok(0) => self.gone = true,
            Ok(count) => self.decoder.push(&bytes[..count]),
            Err(err) if is_passing(&err) => {}
            Err(_) => self.gone = true,
        }
    }

    /// The next message that has come whole.
    pub(super) fn frame(&mut self) -> Result<Option<Frame>, Garbage> {
        self.decoder.next()
    }

    /// Queues a message, and sends what goes at once.
    pub(super) fn send(&mut self, kind: Kind, payload: &[u8]) {
        if self.gone {
            return;
        }
        self.queue.extend_from_slice(&header(kind, payload.len()));
        self.queue.extend_from_slice(payload);
        self.flush();
    }

    /// Sends what goes.
    pub(super) fn flush(&mut self) {
        while self.sent < self.queue.len() && !self.gone {
            match self.socket.write(&self.queue[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    self.stuck = None;
                }
                Err(err) if is_passing(&err) => break,
                Err(_) => self.gone = true,
            }
        }
        if self.sent == self.queue.len() {
            self.queue = Vec::new();
            self.sent = 0;
        } else if self.sent >= FULL {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
        if self.is_full() && self.stuck.is_none() {
            self.stuck = Some(Instant::now());
        }
    }

    /// Whether something waits for the client.
    pub(super) fn has_queue(&self) -> bool {
        self.sent < self.queue.len()
    }

    fn is_full(&self) -> bool {
        self.queue.len() - self.sent >= FULL
    }

    /// Whether `stream` of the process `pid` must not be read because of this client.
    pub(super) fn holds_up(&self, pid: i32, stream: Stream) -> bool {
        self.is_full() && self.receives(pid, stream)
    }

    /// Whether this client gets `stream` of the process `pid`.
    pub(super) fn receives(&self, pid: i32, stream: Stream) -> bool {
        !self.gone && matches!(&self.role, Role::Attached(attachment) if attachment.wants(pid, stream))
    }

    /// When this client has been waited for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.stuck.filter(|_| !self.patient).map(|since| since + PATIENCE)
    }

    /// Drops a client that has been waited for long enough.
    pub(super) fn lose_patience(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.gone = true;
        }
    }

    /// From now on only what is queued is sent; if it does not move, patience begins to run.
    pub(super) fn leave(&mut self, role: Role) {
        self.role = role;
        if self.has_queue() {
            self.stuck.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn drop_connection(&mut self) {
        self.gone = true;
    }

    /// Whether nothing more is to be done for this client.
    pub(super) fn is_done(&self) -> bool {
        self.gone || (self.role == Role::Leaving && !self.has_queue())
    }
}

fn is_passing(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(patient: bool) -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Client::new(ours, patient).unwrap(), theirs)
    }

    fn fill(client: &mut Client) {
        while !client.is_full() {
            client.send(Kind::Stdout, &[0; 32 * 1024]);
        }
    }

    #[test]
    fn a_client_that_reads_nothing_is_dropped_after_a_while_unless_it_is_patient() {
        for patient in [false, true] {
            let (mut client, _theirs) = pair(patient);
            fill(&mut client);
            let soon = Instant::now();
            client.lose_patience(soon);
            assert!(!client.is_done());
            client.lose_patience(soon + PATIENCE + Duration::from_secs(1));
            assert_eq!(client.is_done(), !patient);
        }
    }

    #[test]
    fn a_client_that_reads_again_is_waited_for_anew() {
        let (mut client, mut theirs) = pair(false);
        fill(&mut client);
        assert!(client.deadline().is_some());
        let mut bytes = vec![0; 256 * 1024];
        theirs.set_nonblocking(true).unwrap();
        while theirs.read(&mut bytes).is_ok_and(|count| count > 0) {
            client.flush();
        }
        assert!(client.deadline().is_none() && !client.has_queue());
        assert!(client.queue.capacity() == 0, "memory is given back");
    }

    #[test]
    fn a_vanished_client_is_noticed_and_takes_nothing_more() {
        let (mut client, theirs) = pair(true);
        drop(theirs);
        client.send(Kind::Stdout, b"x");
        client.send(Kind::Stdout, b"y");
        assert!(client.is_done() && !client.is_full());
    }
}
