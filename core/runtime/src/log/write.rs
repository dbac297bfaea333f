//! Writing, in the monitor.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use jiff::Timestamp;

use super::{MAX_PIECE, Record};
use crate::monitor::Stream;

/// Cuts output into lines and appends them. Never fails: what cannot be written is counted.
#[derive(Debug)]
pub(crate) struct Writer<F = File> {
    file: F,
    /// Where the last whole object ends.
    end: u64,
    /// The lines' beginnings that wait for their end, standard output's and standard error's.
    pending: [Vec<u8>; 2],
    dropped: u64,
}

/// What the log is kept in.
pub(crate) trait Store: Write {
    /// Takes everything behind `end` back.
    fn cut(&mut self, end: u64) -> io::Result<()>;
}

impl Store for File {
    fn cut(&mut self, end: u64) -> io::Result<()> {
        self.set_len(end)
    }
}

impl Writer {
    /// Continues the log of `data_dir`, from the end of its last whole object.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = super::path(data_dir);
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let end = super::read::whole_length(&file)?;
        file.set_len(end)?;
        Ok(Self::new(file, end))
    }
}

impl<F: Store> Writer<F> {
    fn new(file: F, end: u64) -> Self {
        Self { file, end, pending: [Vec::new(), Vec::new()], dropped: 0 }
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

    /// Appends all of `objects` or nothing.
    fn store(&mut self, objects: &[u8], lines: u64) {
        match self.file.write_all(objects) {
            Ok(()) => self.end += objects.len() as u64,
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
    fn half_an_object_of_a_power_cut_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = super::super::path(dir.path());
        std::fs::write(&path, b"{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"t\"}\n{\"log\":\"b")
            .unwrap();
        Writer::open(dir.path()).unwrap().write(Stream::Stdout, b"c\n");
        assert_eq!(pieces(&std::fs::read(path).unwrap()), [b"a\n".to_vec(), b"c\n".to_vec()]);
    }
}
