//! What a container wrote, line by line.
//!
//! `<data_dir>/log.jsonl` holds one JSON object a line, as docker's `json-file` does, so that tools
//! for one read the other:
//!
//! ```text
//! {"log":"hello\n","stream":"stdout","time":"2026-11-23T19:00:00.123456789Z"}
//! {"log":"caf\ufffd\n","stream":"stderr","time":"...","bytes":"café\n"}
//! ```
//!
//! - `log` is a line with its `\n`. A line longer than 16 KiB comes as several objects, all but the
//!   last without `\n`; so does the rest when a process ends in the middle of a line.
//! - `bytes` is only there when the line is not UTF-8. `log` then has U+FFFD for what is wrong, and
//!   `bytes` has the very bytes, one character U+0000 to U+00FF for each. Readers here prefer it.
//! - A start of the container adds to what is there.
//! - An object is whole or absent: what a full disk cut short is taken back, and the line is counted
//!   as dropped instead of stopping the container.
//!
//! # How long it gets
//!
//! ```text
//! log.jsonl      what is written to, at most 16 MiB
//! log.jsonl.1    what was written before, and so on to
//! log.jsonl.3    the oldest
//! log.jsonl.new  the next log.jsonl, for the moment of a rotation
//! ```
//!
//! What would make `log.jsonl` larger goes to a new one: every file moves one number up, by rename,
//! and what was `log.jsonl.3` is gone. So a container that talks without end costs 64 MiB and not the
//! disk; docker's default keeps everything. Objects are never cut by a rotation, lines of several
//! objects may be.
//!
//! A file only ever moves to a higher number. Readers therefore open from `log.jsonl` upwards, know a
//! file by its inode, and keep it open: nothing is read twice, and a follower misses only what was
//! written and gone again before it came to the end of the file that it was reading.

mod files;
mod read;
mod write;

pub use read::{Entries, Entry, LogError, ReadOptions, read};
pub(crate) use write::Writer;

use std::{borrow::Cow, path::Path, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::monitor::Stream;

/// The longest piece of a line in one object.
const MAX_PIECE: usize = 16 * 1024;
/// The largest file, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// How many older files are kept.
const ROTATED: u32 = 3;

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("log.jsonl")
}

/// One object of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    stream: Stream,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    bytes: Option<Cow<'a, str>>,
}

impl<'a> Record<'a> {
    fn new(stream: Stream, time: &'a str, piece: &'a [u8]) -> Self {
        let log = String::from_utf8_lossy(piece);
        let bytes =
            matches!(log, Cow::Owned(_)).then(|| piece.iter().map(|&byte| char::from(byte)).collect());
        Self { log, stream, time: time.into(), bytes }
    }

    /// The piece that was written, byte for byte.
    fn piece(&self) -> Vec<u8> {
        let exact: Option<Result<Vec<u8>, _>> =
            self.bytes.as_ref().map(|bytes| bytes.chars().map(u8::try_from).collect());
        match exact {
            Some(Ok(bytes)) => bytes,
            _ => self.log.as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive_an_object() {
        let every: Vec<u8> = (0..=255).collect();
        for piece in [&b"hello\n"[..], b"", b"caf\xe9\n", "🦀\n".as_bytes(), &"🦀".as_bytes()[..2], &every]
        {
            let json = serde_json::to_string(&Record::new(Stream::Stdout, "t", piece)).unwrap();
            let record: Record<'_> = serde_json::from_str(&json).unwrap();
            assert_eq!(record.piece(), piece, "in {json}");
            assert_eq!(record.bytes.is_some(), str::from_utf8(piece).is_err());
        }
    }

    #[test]
    fn objects_of_docker_are_read() {
        let json =
            r#"{"log":"a\u0026b\r\n","stream":"stderr","time":"2026-01-01T00:00:00Z","attrs":{"x":"y"}}"#;
        let record: Record<'_> = serde_json::from_str(json).unwrap();
        assert_eq!((record.piece().as_slice(), record.stream), (&b"a&b\r\n"[..], Stream::Stderr));
    }
}
