//! gzip on all processors.
//!
//! What is written is cut into pieces of one length. Each becomes a member of its own, and members that
//! follow each other are one file (RFC 1952, 2.2). So the bytes depend on the content alone, and not on
//! how many processors there are.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::session::locked;

/// Bytes of a piece; with another number, every layer becomes another blob.
const PIECE: usize = 1 << 20;
/// As fast as it goes without giving up much; the same holds for it.
const LEVEL: u32 = 4;
/// More would only wait for the disk.
const MOST: usize = 8;

type Numbered = (usize, Vec<u8>);

/// Compresses what `fill` writes into `out`, which comes back.
///
/// # Errors
/// Those of `out` in the outer result, those of `fill` in the inner one.
pub(super) fn gzip<W: Write + Send, E>(
    out: W,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> io::Result<Result<W, E>> {
    let count = thread::available_parallelism().map_or(1, usize::from).min(MOST);
    let (jobs, work) = sync_channel::<Numbered>(count);
    let (done, results) = channel::<Numbered>();
    let work = Arc::new(Mutex::new(work));
    thread::scope(|scope| {
        for _ in 0..count {
            let (work, done) = (Arc::clone(&work), done.clone());
            scope.spawn(move || compress(&work, &done));
        }
        // Whoever hands pieces on to nobody hears of it only so.
        drop((work, done));
        let writer = scope.spawn(move || collect(out, &results));
        let mut pieces = Pieces { jobs, piece: Vec::with_capacity(PIECE), count: 0 };
        let filled = fill(&mut pieces).map(|()| pieces.finish());
        drop(pieces);
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("compression broke off")));
        Ok(filled.and(Ok(written?)))
    })
}

fn compress(work: &Mutex<Receiver<Numbered>>, done: &Sender<Numbered>) {
    loop {
        // The lock is free again once there is a piece.
        let next = locked(work).recv();
        let Ok((number, piece)) = next else { return };
        let mut encoder = GzEncoder::new(Vec::with_capacity(piece.len() / 2), Compression::new(LEVEL));
        // Memory takes everything.
        let packed = encoder.write_all(&piece).and_then(|()| encoder.finish());
        if !packed.is_ok_and(|packed| done.send((number, packed)).is_ok()) {
            return;
        }
    }
}

/// Writes members in the order of their pieces.
fn collect<W: Write>(mut out: W, results: &Receiver<Numbered>) -> io::Result<W> {
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    for (number, packed) in results {
        waiting.insert(number, packed);
        while let Some(packed) = waiting.remove(&next) {
            out.write_all(&packed)?;
            next += 1;
        }
    }
    Ok(out)
}

/// Cuts what is written into pieces.
struct Pieces {
    jobs: SyncSender<Numbered>,
    piece: Vec<u8>,
    count: usize,
}

impl Pieces {
    fn hand_on(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.count += 1;
        // Nobody takes it any more when the output has failed, which is the error that is told.
        self.jobs.send((self.count - 1, piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Nothing at all is one empty member.
    fn finish(&mut self) {
        if !self.piece.is_empty() || self.count == 0 {
            let _ = self.hand_on();
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE {
            self.hand_on()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        gzip(Vec::new(), |out| out.write_all(plain)).unwrap().unwrap()
    }

    #[test]
    fn what_was_packed_comes_back_and_is_always_the_same() {
        let long: Vec<u8> = (0..5_000_000_u32).map(|number| (number / 7 % 251) as u8).collect();
        for plain in [&b""[..], b"hello", &long[..PIECE], &long] {
            let bytes = packed(plain);
            assert_eq!(bytes, packed(plain));
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut back).unwrap();
            assert!(back == plain, "{} bytes", plain.len());
        }
    }

    #[test]
    fn errors_of_both_ends_are_told() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let full = gzip(Full, |out| out.write_all(&vec![7; 64 << 20]));
        assert_eq!(full.err().unwrap().kind(), io::ErrorKind::StorageFull);
        let broken = gzip(Vec::new(), |out| out.write_all(b"half").and(Err(io::Error::other("no more"))));
        assert_eq!(broken.unwrap().unwrap_err().to_string(), "no more");
    }
}
