//! What an answer holds: a document, a part of a file, or a layer that is being made.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::header::HeaderValue;
use tokio::sync::mpsc;

use crate::registry::payload::Part;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

const CHUNK: usize = 128 << 10;
/// Pieces of a layer that may wait to be sent.
const AHEAD: usize = 8;

/// The body of an answer.
pub(super) enum Content {
    Nothing,
    Bytes(Bytes),
    Part(Part),
    Made { pieces: mpsc::Receiver<io::Result<Bytes>>, left: u64 },
}

impl Content {
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self::Bytes(text.into())
    }

    /// Bytes from `first` on, `length` of them, of what `make` writes in a thread of its own.
    pub(super) fn made(
        first: u64,
        length: u64,
        make: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let (to, pieces) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            let mut pieces = Pieces { skip: first, left: length, buffer: Vec::new(), to };
            let made = make(&mut pieces).and_then(|()| pieces.flush());
            if let Err(error) = made.and_then(|()| pieces.all()) {
                // Nobody may wait any more; then nobody needs to know.
                let _ = pieces.to.blocking_send(Err(error));
            }
        });
        Self::Made { pieces, left: length }
    }

    /// An answer to HEAD says how much there is, and no more.
    pub(super) fn leave_out(&mut self) {
        *self = Self::Nothing;
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Nothing => Poll::Ready(None),
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Nothing;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Part(part) => Pin::new(part).poll_frame(context),
            Self::Made { pieces, left } => pieces.poll_recv(context).map(|piece| {
                let piece = piece?;
                if let Ok(bytes) = &piece {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                Some(piece.map(Frame::data))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Part(part) => part.is_end_stream(),
            Self::Made { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Part(part) => part.size_hint(),
            Self::Made { left, .. } => SizeHint::with_exact(*left),
        }
    }
}

/// What is written goes on in pieces, but for the bytes before and after those that are wanted.
struct Pieces {
    skip: u64,
    left: u64,
    buffer: Vec<u8>,
    to: mpsc::Sender<io::Result<Bytes>>,
}

impl Pieces {
    fn all(&self) -> io::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        Err(io::Error::other(format!("the layer ended {} bytes early", self.left)))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len());
        let skipped = fits(self.skip);
        self.skip -= skipped as u64;
        let end = bytes.len().min(skipped.saturating_add(fits(self.left)));
        let wanted = &bytes[skipped..end];
        self.left -= wanted.len() as u64;
        self.buffer.extend_from_slice(wanted);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.to.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
