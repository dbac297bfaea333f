//! Writing, in the monitor.

use std::{
    io::{self, Write},
    path::Path,
};

use jiff::Timestamp;

use super::{MAX_FILE, MAX_PIECE, Record, files::Newest};
use crate::monitor::Stream;

/// Cuts output into lines and appends them. Never fails: what cannot be written is counted.
#[derive(Debug)]
pub(crate) struct Writer<F = Newest> {
    file: F,
    /// Where the last whole object ends.
    end: u64,
    /// Where the file must end.
    limit: u64,
    /// The lines' beginnings that wait for their end, standard output's and standard error's.
    pending: [Vec<u8>; 2],
    dropped: u64,
}

/// What the log is kept in.
pub(crate) trait Store: Write {
    /// Takes everything behind `end` back.
    fn cut(&mut self, end: u64) -> io::Result<()>;
    /// Puts what there is aside and goes on with nothing.
    fn rotate(&mut self) -> io::Result<()>;
}

impl Writer {
    /// Continues the log of `data_dir`, from the end of its last whole object.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let mut file = Newest::open(data_dir)?;
        let end = super::read::whole_length(file.file())?;
        file.cut(end)?;
        Ok(Self::new(file, end))
    }

    /// Rotates earlier than usual.
    #[cfg(test)]
    pub(super) fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }
}

impl<F: Store> Writer<F> {
    fn new(file: F, end: u64) -> Self {
        Self { file, end, limit: MAX_FILE, pending: [Vec::new(), Vec::new()], dropped: 0 }
    }

    /// Logs what the process just wrote.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let mut pending = std::mem::take(self.pending_of(stream));
        let time = Timestamp::now().to_string();
        let mut objects = Vec::new();
        let mut lines = 0;
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let mut part = part;
            while !part.is_empty() {
                let (taken, rest) = part.split_at(part.len().min(MAX_PIECE - pending.len()));
                pending.extend_from_slice(taken);
                part = rest;
                if pending.len() == MAX_PIECE || pending.ends_with(b"\n") {
                    append(&mut objects, stream, &time, &pending);
                    lines += 1;
                    pending.clear();
                }
            }
        }
        if pending.is_empty() {
            pending = Vec::new();
        }
        *self.pending_of(stream) = pending;
        self.store(&objects, lines);
    }

    /// Logs what came without an end of line, because no more will come.
    pub(crate) fn finish(&mut self) {
        let time = Timestamp::now().to_string();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(self.pending_of(stream));
            if !rest.is_empty() {
                let mut object = Vec::new();
                append(&mut object, stream, &time, &rest);
                self.store(&object, 1);
            }
        }
    }

    /// How many lines could not be written.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn pending_of(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.pending[0],
            Stream::Stderr => &mut self.pending[1],
        }
    }

    /// Appends all of `objects` or nothing, to a new file when this one has no room for them.
    fn store(&mut self, objects: &[u8], lines: u64) {
        let length = objects.len() as u64;
        if self.end > 0 && self.end + length > self.limit {
            if self.file.rotate().is_err() {
                self.dropped += lines; // rather than growing without end
                return;
            }
            self.end = 0;
        }
        match self.file.write_all(objects) {
            Ok(()) => self.end += length,
            Err(_) => {
                self.dropped += lines;
                // Shortening needs no space. Should it fail all the same, readers skip half an object.
                let _ = self.file.cut(self.end);
            }
        }
    }
}

fn append(objects: &mut Vec<u8>, stream: Stream, time: &str, piece: &[u8]) {
    // Writing strings to memory cannot fail.
    let _ = serde_json::to_writer(&mut *objects, &Record::new(stream, time, piece));
    objects.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Small {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room - self.bytes.len());
            if fits == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Store for Small {
        fn cut(&mut self, end: u64) -> io::Result<()> {
            self.bytes.truncate(end as usize);
            Ok(())
        }

        fn rotate(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    fn pieces(bytes: &[u8]) -> Vec<Vec<u8>> {
        let lines = bytes.split_inclusive(|&byte| byte == b'\n');
        lines.map(|line| serde_json::from_slice::<Record<'_>>(line).unwrap().piece()).collect()
    }

    #[test]
    fn output_is_cut_at_line_ends_and_at_16_kib() {
        let long = vec![b'x'; 2 * MAX_PIECE + 10];
        for (writes, expected) in [
            (vec![&b"a\nb\n"[..]], vec![b"a\n".to_vec(), b"b\n".to_vec()]),
            (vec![b"he", b"llo", b"\n\n"], vec![b"hello\n".to_vec(), b"\n".to_vec()]),
            (vec![b"no end"], vec![b"no end".to_vec()]),
            (vec![b"", b"a\r\n"], vec![b"a\r\n".to_vec()]),
            (
                vec![&long, b"\n"],
                vec![vec![b'x'; MAX_PIECE], vec![b'x'; MAX_PIECE], b"xxxxxxxxxx\n".to_vec()],
            ),
        ] {
            let mut writer = Writer::new(Small { bytes: vec![], room: usize::MAX }, 0);
            for bytes in writes {
                writer.write(Stream::Stdout, bytes);
            }
            writer.finish();
            assert_eq!(pieces(&writer.file.bytes), expected);
        }
    }

    #[test]
    fn streams_do_not_cut_each_others_lines() {
        let mut writer = Writer::new(Small { bytes: vec![], room: usize::MAX }, 0);
        writer.write(Stream::Stdout, b"out");
        writer.write(Stream::Stderr, b"err\n");
        writer.write(Stream::Stdout, b"put\n");
        assert_eq!(pieces(&writer.file.bytes), [b"err\n".to_vec(), b"output\n".to_vec()]);
    }

    #[test]
    fn a_full_disk_drops_lines_and_leaves_whole_objects() {
        let mut writer = Writer::new(Small { bytes: vec![], room: 100 }, 0);
        for _ in 0..3 {
            writer.write(Stream::Stdout, b"hello\n");
        }
        assert_eq!(pieces(&writer.file.bytes), [b"hello\n".to_vec()]);
        assert_eq!(writer.dropped(), 2);
        writer.file.room = 10_000;
        writer.write(Stream::Stderr, b"again\n");
        assert_eq!(pieces(&writer.file.bytes), [b"hello\n".to_vec(), b"again\n".to_vec()]);
    }

    #[test]
    fn a_log_that_cannot_be_rotated_does_not_grow() {
        let mut writer = Writer::new(Small { bytes: vec![], room: usize::MAX }, 0);
        writer.limit = 100;
        for _ in 0..3 {
            writer.write(Stream::Stdout, b"hello\n");
        }
        assert_eq!(pieces(&writer.file.bytes), [b"hello\n".to_vec()]);
        assert_eq!(writer.dropped(), 2);
    }

    #[test]
    fn what_a_rotation_left_half_done_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log.jsonl.new"), b"x").unwrap();
        let mut writer = Writer::open(dir.path()).unwrap().with_limit(100);
        writer.write(Stream::Stdout, b"1\n");
        writer.write(Stream::Stdout, b"2\n");
        let read = |name| pieces(&std::fs::read(dir.path().join(name)).unwrap());
        assert_eq!(read("log.jsonl.1"), [b"1\n".to_vec()]);
        assert_eq!(read("log.jsonl"), [b"2\n".to_vec()]);
        assert!(!dir.path().join("log.jsonl.new").exists());
    }

    #[test]
    fn half_an_object_of_a_power_cut_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = super::super::path(dir.path());
        std::fs::write(&path, b"{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"t\"}\n{\"log\":\"b")
            .unwrap();
        Writer::open(dir.path()).unwrap().write(Stream::Stdout, b"c\n");
        assert_eq!(pieces(&std::fs::read(path).unwrap()), [b"a\n".to_vec(), b"c\n".to_vec()]);
    }
}
