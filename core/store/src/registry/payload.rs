//! What is sent with a request, as often as it has to be sent.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::Body;

use super::error::RegistryError;

const CHUNK: usize = 128 << 10;

/// A request's body.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    None,
    Bytes(Bytes),
    /// A part of a file.
    File {
        path: PathBuf,
        from: u64,
        length: u64,
        sent: Arc<AtomicU64>,
    },
}

impl Payload {
    /// Begins to send it.
    pub(super) fn open(&self) -> Result<Option<Body>, RegistryError> {
        match self {
            Self::None => Ok(None),
            Self::Bytes(bytes) => Ok(Some(bytes.clone().into())),
            Self::File { path, from, length, sent } => {
                let failed = |source| RegistryError::Keep { path: path.clone(), source };
                let mut file = File::open(path).map_err(failed)?;
                file.seek(SeekFrom::Start(*from)).map_err(failed)?;
                sent.store(*from, Ordering::Relaxed);
                Ok(Some(Body::wrap(Part::new(file, *length, Arc::clone(sent)))))
            }
        }
    }
}

/// A file that is sent piece by piece.
pub(super) struct Part {
    file: File,
    left: u64,
    sent: Arc<AtomicU64>,
}

impl Part {
    /// So many bytes from where the file stands; what was sent is counted.
    pub(super) fn new(file: File, length: u64, sent: Arc<AtomicU64>) -> Self {
        Self { file, left: length, sent }
    }
}

impl http_body::Body for Part {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        let mut buffer = vec![0; most];
        let read = match self.file.read(&mut buffer) {
            Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        Poll::Ready(Some(read.map(|count| {
            buffer.truncate(count);
            self.left -= count as u64;
            self.sent.fetch_add(count as u64, Ordering::Relaxed);
            Frame::data(Bytes::from(buffer))
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
