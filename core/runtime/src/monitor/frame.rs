//! One message on a monitor's socket.
//!
//! ```text
//! byte 0     kind (see `Kind`)
//! byte 1..5  length of the payload, big endian
//! byte 5..   payload
//! ```
//!
//! A frame that names an unknown kind, or that is longer than its kind may be, makes the whole
//! connection worthless: whoever reads it closes it. So a peer can make us hold at most one frame
//! of the longest kind, never more.

/// Bytes before the payload.
pub(crate) const HEADER: usize = 5;
/// The longest payload that carries bytes of a stream.
pub(crate) const MAX_DATA: usize = 64 * 1024;
/// The longest request: an `exec` with its arguments and its environment.
const MAX_REQUEST: usize = 4 * 1024 * 1024;

/// What a frame means. The numbers are the wire's and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Client: what this connection is for; always the first frame (JSON).
    Request = 1,
    /// Monitor: the request is granted (JSON).
    Hello = 2,
    /// Monitor: the request is refused (JSON); the connection ends.
    Refusal = 3,
    /// Monitor: the process has ended and all its output was sent (JSON).
    Exit = 4,
    /// Client: bytes for the process.
    Stdin = 5,
    /// Client: no more bytes. Monitor: the process takes no more.
    StdinEnd = 6,
    /// Monitor: so many bytes of `Stdin` were taken (u32); see "Flow" in the module above.
    StdinTaken = 7,
    /// Client: the terminal has a new size (u16 rows, u16 columns).
    Resize = 8,
    /// Client: send this signal to the process (u32).
    Signal = 9,
    /// Monitor: bytes the process wrote to its standard output, or to its terminal.
    Stdout = 10,
    /// Monitor: bytes the process wrote to its standard error.
    Stderr = 11,
    /// Client: goes away on purpose; standard input stays open.
    Detach = 12,
    /// Client: everything that `on_exit` would do is done.
    Reaped = 13,
}

impl Kind {
    fn from_wire(byte: u8) -> Option<Self> {
        const ALL: [Kind; 13] = [
            Kind::Request,
            Kind::Hello,
            Kind::Refusal,
            Kind::Exit,
            Kind::Stdin,
            Kind::StdinEnd,
            Kind::StdinTaken,
            Kind::Resize,
            Kind::Signal,
            Kind::Stdout,
            Kind::Stderr,
            Kind::Detach,
            Kind::Reaped,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    fn longest(self) -> usize {
        match self {
            Self::Request => MAX_REQUEST,
            Self::Hello | Self::Refusal | Self::Exit => MAX_DATA,
            Self::Stdin | Self::Stdout | Self::Stderr => MAX_DATA,
            Self::StdinTaken | Self::Resize | Self::Signal => 4,
            Self::StdinEnd | Self::Detach | Self::Reaped => 0,
        }
    }
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The payload as a number, for the kinds that carry one.
    pub(crate) fn number(&self) -> Option<u32> {
        self.payload.as_slice().try_into().ok().map(u32::from_be_bytes)
    }
}

/// The peer does not speak our protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Garbage {
    #[error("unknown kind of message {0}")]
    Kind(u8),
    #[error("message of kind {kind:?} with {length} bytes")]
    Length { kind: Kind, length: usize },
}

/// The five bytes that announce `length` bytes of `kind`.
pub(crate) fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    debug_assert!(length <= kind.longest());
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [kind as u8, a, b, c, d]
}

/// `payload` with its header.
pub(crate) fn encode(kind: Kind, payload: &[u8]) -> Vec<u8> {
    [&header(kind, payload.len()), payload].concat()
}

/// Puts the pieces that a socket delivers together again.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Adds what was just read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if all of it has arrived.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Garbage> {
        let Some((header, rest)) = self.bytes[self.start..].split_first_chunk::<HEADER>() else {
            self.forget_read();
            return Ok(None);
        };
        let [kind, length @ ..] = *header;
        let kind = Kind::from_wire(kind).ok_or(Garbage::Kind(kind))?;
        let length = u32::from_be_bytes(length) as usize;
        if length > kind.longest() {
            return Err(Garbage::Length { kind, length });
        }
        let Some(payload) = rest.get(..length) else {
            self.forget_read();
            return Ok(None);
        };
        let payload = payload.to_vec();
        self.start += HEADER + length;
        Ok(Some(Frame { kind, payload }))
    }

    /// Gives the memory of frames that were handed out back.
    fn forget_read(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(decoder: &mut Decoder) -> Result<Vec<Frame>, Garbage> {
        std::iter::from_fn(|| decoder.next().transpose()).collect()
    }

    #[test]
    fn frames_survive_any_split() {
        let wire = [
            encode(Kind::Stdout, b"hello"),
            encode(Kind::StdinEnd, b""),
            encode(Kind::Signal, &15_u32.to_be_bytes()),
        ]
        .concat();
        for piece in 1..=wire.len() {
            let mut decoder = Decoder::default();
            let mut frames = Vec::new();
            for bytes in wire.chunks(piece) {
                decoder.push(bytes);
                frames.extend(all(&mut decoder).unwrap());
            }
            assert_eq!(frames.len(), 3, "pieces of {piece}");
            assert_eq!(frames[0].payload, b"hello");
            assert_eq!(frames[1].kind, Kind::StdinEnd);
            assert_eq!(frames[2].number(), Some(15));
            assert!(decoder.bytes.is_empty());
        }
    }

    #[test]
    fn garbage_is_refused_before_its_payload_arrives() {
        for (wire, expected) in [
            (&[0, 0, 0, 0, 0][..], Garbage::Kind(0)),
            (&[200, 0, 0, 0, 1], Garbage::Kind(200)),
            (&[Kind::Stdin as u8, 0, 1, 0, 1], Garbage::Length { kind: Kind::Stdin, length: MAX_DATA + 1 }),
            (
                &[Kind::Request as u8, 255, 255, 255, 255],
                Garbage::Length { kind: Kind::Request, length: 0xffff_ffff },
            ),
            (&[Kind::Reaped as u8, 0, 0, 0, 1], Garbage::Length { kind: Kind::Reaped, length: 1 }),
        ] {
            let mut decoder = Decoder::default();
            decoder.push(wire);
            assert_eq!(decoder.next(), Err(expected), "for {wire:?}");
        }
    }

    #[test]
    fn every_kind_comes_back_from_the_wire() {
        for byte in 0..=255 {
            if let Some(kind) = Kind::from_wire(byte) {
                assert_eq!(kind as u8, byte);
            }
        }
        assert!(Kind::from_wire(13).is_some() && Kind::from_wire(14).is_none());
    }
}
