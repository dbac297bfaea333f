//! A netlink socket: requests go out, the kernel's answers come back before the next request.
//!
//! A message is a header of 16 bytes in the machine's byte order (length, kind, flags, sequence
//! number, sender), then a body, padded to four bytes. The kernel has queued every answer by the
//! time `send` returns, so nothing here ever waits for long. A socket stays in the network
//! namespace of the thread that opened it, whoever uses it later.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::netlink::NETFILTER;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType,
};

const HEADER: usize = 16;
/// The kernel fills at most 32 KiB at once.
const LARGEST_DATAGRAM: usize = 64 * 1024;
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;

pub(super) const REQUEST: u16 = 0x1;
pub(super) const ACK: u16 = 0x4;
pub(super) const DUMP: u16 = 0x300;
pub(super) const EXCLUSIVE: u16 = 0x200;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;

/// A netlink socket.
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// One message that the kernel sent.
pub(super) struct Message {
    pub(super) kind: u16,
    pub(super) sequence: u32,
    pub(super) body: Vec<u8>,
}

/// What a message means for the request it answers.
pub(super) enum Answer {
    Data,
    Done,
    Failed(io::Error),
}

impl Socket {
    /// For links, addresses and routes: netlink's protocol 0.
    pub(super) fn route() -> io::Result<Self> {
        Self::open(None)
    }

    /// For nftables.
    pub(super) fn netfilter() -> io::Result<Self> {
        Self::open(Some(NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        Ok(Self { fd, sequence: 0, buffer: vec![0; LARGEST_DATAGRAM] })
    }

    /// A number that no earlier request of this socket had.
    pub(super) fn next_sequence(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }

    /// Has the kernel close the socket in a thread of its own. Closing a netfilter socket waits, after
    /// a deletion, for a grace period of all processors (some 20 ms), which nobody needs to see.
    ///
    /// A pair of Unix sockets that only its own queue refers to is garbage, and so is what else is in
    /// that queue; since Linux 6.10 the collector is a kernel thread. An older kernel, or one where a
    /// step fails, closes it here and now.
    pub(super) fn close_later(self) {
        let _closed_now = self.discard();
    }

    fn discard(self) -> rustix::io::Result<()> {
        let flags = SocketFlags::CLOEXEC;
        let (sender, garbage) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        let fds = [self.fd.as_fd(), garbage.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        rustix::net::sendmsg(&sender, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())?;
        // The collector starts with the last of these: by then the queue must be the only owner.
        drop(self.fd);
        drop(garbage);
        drop(sender);
        Ok(())
    }

    pub(super) fn send(&self, messages: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.fd, messages, SendFlags::empty())?;
        Ok(())
    }

    /// One datagram's messages; `WouldBlock` when there is none.
    pub(super) fn receive(&mut self) -> io::Result<Vec<Message>> {
        let (length, _) = rustix::net::recv(&self.fd, self.buffer.as_mut_slice(), RecvFlags::DONTWAIT)?;
        Ok(split(&self.buffer[..length]))
    }

    /// Sends one request and gathers what the kernel answers, until it says that this was all.
    pub(super) fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Message>> {
        let sequence = self.next_sequence();
        self.send(&message(kind, flags | REQUEST, sequence, body))?;
        let mut answers = Vec::new();
        loop {
            for message in self.receive()? {
                if message.sequence != sequence {
                    continue;
                }
                match message.answer() {
                    Answer::Data => answers.push(message),
                    Answer::Done => return Ok(answers),
                    Answer::Failed(err) => return Err(err),
                }
            }
        }
    }
}

impl Message {
    pub(super) fn answer(&self) -> Answer {
        if self.kind != KIND_ERROR && self.kind != KIND_DONE {
            return Answer::Data;
        }
        match self.body.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code)) {
            Some(code @ ..0) => Answer::Failed(io::Error::from_raw_os_error(-code)),
            _ => Answer::Done,
        }
    }
}

/// One message, padded.
pub(super) fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + body.len() + 3);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn split(mut datagram: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((header, _)) = datagram.split_first_chunk::<HEADER>() {
        let [l0, l1, l2, l3, k0, k1, _, _, s0, s1, s2, s3, ..] = *header;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let Some(body) = datagram.get(HEADER..length) else { break };
        messages.push(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            body: body.to_vec(),
        });
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_split_where_they_were_joined() {
        let mut datagram = message(16, ACK, 7, b"abcde");
        datagram.extend(message(KIND_ERROR, 0, 8, &(-2_i32).to_ne_bytes()));
        datagram.extend(message(KIND_DONE, 0, 9, &[]));
        let messages = split(&datagram);
        assert_eq!(messages[0].body, b"abcde");
        assert_eq!((messages[0].kind, messages[0].sequence), (16, 7));
        assert!(matches!(messages[0].answer(), Answer::Data));
        assert!(matches!(messages[1].answer(), Answer::Failed(err) if err.raw_os_error() == Some(2)));
        assert!(matches!(messages[2].answer(), Answer::Done));
    }

    #[test]
    fn privileged_a_socket_that_is_closed_later_is_closed_soon() {
        let socket = Socket::netfilter().unwrap();
        socket.send(&message(KIND_DONE, 0, 1, &[])).unwrap(); // it is listed once it has an address
        let inode = rustix::fs::fstat(&socket.fd).unwrap().st_ino.to_string();
        let is_open = || {
            let list = std::fs::read_to_string("/proc/self/net/netlink").unwrap();
            list.lines().any(|line| line.split_whitespace().last() == Some(&inode))
        };
        assert!(is_open());
        socket.close_later();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while is_open() && std::time::Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(!is_open());
    }

    #[test]
    fn a_cut_or_lying_datagram_ends_the_list() {
        let whole = message(16, 0, 1, b"abcd");
        assert!(split(&whole[..17]).is_empty());
        assert!(split(&[0; 16]).is_empty());
        assert!(split(&[1, 2, 3]).is_empty());
    }
}
