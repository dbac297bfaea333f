//! Reading, by whoever asks, while the container runs or long after.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
};

use super::{MAX_PIECE, Record, files};
use crate::monitor::{Stream, is_over};

/// How much is read at once.
const BLOCK: usize = 64 * 1024;
/// No object of ours is longer; what is, is not an object.
const MAX_OBJECT: usize = 1024 * 1024;
/// A line is handed out in parts when it is longer.
const MAX_LINE: usize = 1024 * 1024;
/// How long to wait for news before looking whether the monitor is still there.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Which lines, and whether to wait for more.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Wait for more lines until the container of this run directory ends.
    pub follow: Option<PathBuf>,
    /// Begin with the last so many lines.
    pub tail: Option<usize>,
    /// Leave out lines before this.
    pub since: Option<Timestamp>,
    /// Stop at the first line after this.
    pub until: Option<Timestamp>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where the container wrote it.
    pub stream: Stream,
    /// When it was read from the container (RFC 3339).
    pub time: String,
    /// The very bytes with their line end; only what a process left unfinished has none.
    pub line: Vec<u8>,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file is there but cannot be read.
    #[error("cannot read the log {path}", path = .path.display())]
    Read {
        /// The log.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// News about the file cannot be had.
    #[error("cannot watch the log {path}", path = .path.display())]
    Watch {
        /// The log.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

/// Reads the log of a container; one that never wrote has no lines.
pub fn read(data_dir: &Path, options: &ReadOptions) -> Result<Entries, LogError> {
    let path = super::path(data_dir);
    let failed = |source| LogError::Read { path: path.clone(), source };
    // Watch first, so that nothing happens between the first look and the first wait.
    let news = options.follow.is_some().then(|| watch(data_dir)).transpose();
    let news = news.map_err(|source| LogError::Watch { path: path.clone(), source })?;
    let mut later = files::newer(data_dir, None).map_err(failed)?;
    let (place, offset) = match options.tail {
        Some(lines) => tail(&later, lines).map_err(failed)?,
        None => (0, 0),
    };
    later.drain(..place);
    let (data_dir, options) = (data_dir.to_owned(), options.clone());
    Ok(Entries {
        data_dir,
        options,
        news,
        file: later.pop_front(),
        later,
        offset,
        used: 0,
        block: Vec::new(),
        unfinished: [None, None],
        done: false,
    })
}

fn watch(dir: &Path) -> io::Result<OwnedFd> {
    let news = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let what = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&news, dir, what)?;
    Ok(news)
}

/// The lines of a log, oldest first.
#[derive(Debug)]
pub struct Entries {
    data_dir: PathBuf,
    options: ReadOptions,
    news: Option<OwnedFd>,
    file: Option<File>,
    /// What comes after `file`, which is complete when there is anything.
    later: VecDeque<File>,
    /// Where `block` begins in the file, how much of it was handed out, and what was read.
    offset: u64,
    used: usize,
    block: Vec<u8>,
    /// Lines of which more pieces follow, standard output's and standard error's.
    unfinished: [Option<Entry>; 2],
    done: bool,
}

impl Iterator for Entries {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.line() {
                Ok(Some(entry)) if self.is_late(&entry) => self.done = true,
                Ok(Some(entry)) if self.is_early(&entry) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Ok(None) => self.done = true,
                Err(source) => {
                    self.done = true;
                    return Some(Err(LogError::Read { path: super::path(&self.data_dir), source }));
                }
            }
        }
        None
    }
}

impl Entries {
    /// The next line; `None` when there will be no more.
    fn line(&mut self) -> io::Result<Option<Entry>> {
        loop {
            while let Some(object) = self.object()? {
                if let Some(entry) = self.join(&object) {
                    return Ok(Some(entry));
                }
            }
            if !self.wait_for_more()? {
                let rest = self.unfinished.iter_mut().find_map(Option::take);
                return Ok(rest);
            }
        }
    }

    /// The next whole object of the file.
    fn object(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let unread = &self.block[self.used..];
            if let Some(end) = unread.iter().position(|&byte| byte == b'\n') {
                let object = unread[..=end].to_vec();
                self.used += object.len();
                return Ok(Some(object));
            }
            if unread.len() >= MAX_OBJECT {
                self.used = self.block.len();
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads on; false at the end of what is there. The writer may take half an object back, so half
    /// an object at the end is forgotten and read again.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(self.turn_over()) };
        self.block.drain(..self.used);
        self.offset += std::mem::take(&mut self.used) as u64;
        let before = self.block.len();
        self.block.resize(before + BLOCK, 0);
        let count = file.read_at(&mut self.block[before..], self.offset + before as u64)?;
        self.block.truncate(if count == 0 { 0 } else { before + count });
        Ok(count > 0 || self.turn_over())
    }

    /// Goes to the beginning of the next file; false when there is none.
    fn turn_over(&mut self) -> bool {
        let Some(next) = self.later.pop_front() else { return false };
        self.file = Some(next);
        self.offset = 0;
        true
    }

    /// Adds a piece to its line; the line when that was its last piece.
    fn join(&mut self, object: &[u8]) -> Option<Entry> {
        let record: Record<'_> = serde_json::from_slice(object).ok()?;
        let piece = record.piece();
        let more = is_continued(&piece);
        let unfinished = &mut self.unfinished[usize::from(record.stream == Stream::Stderr)];
        let entry = match unfinished.take() {
            Some(mut entry) => {
                entry.line.extend_from_slice(&piece);
                entry
            }
            None => Entry { stream: record.stream, time: record.time.into_owned(), line: piece },
        };
        if more && entry.line.len() < MAX_LINE {
            *unfinished = Some(entry);
            return None;
        }
        Some(entry)
    }

    /// Waits until there may be more; false when there will not.
    fn wait_for_more(&mut self) -> io::Result<bool> {
        let (Some(run_dir), Some(news)) = (&self.options.follow, &self.news) else { return Ok(false) };
        if self.options.until.is_some_and(|until| Timestamp::now() > until) {
            return Ok(false);
        }
        let over = is_over(run_dir, &self.data_dir);
        // What is found here makes this file complete; its rest is read before.
        self.later = files::newer(&self.data_dir, self.file.as_ref())?;
        if !self.later.is_empty() {
            return Ok(true);
        }
        if over {
            self.news = None; // one more look at the file: the last lines came before the end
            return Ok(true);
        }
        let pause = Timespec::try_from(LOOK_AGAIN).map_err(io::Error::other)?;
        poll(&mut [PollFd::new(news, PollFlags::IN)], Some(&pause)).or_else(interrupted)?;
        let mut unused = [0; 4096];
        while rustix::io::read(news, &mut unused).is_ok_and(|count| count > 0) {}
        Ok(true)
    }

    fn is_early(&self, entry: &Entry) -> bool {
        self.options.since.is_some_and(|since| moment(entry).is_some_and(|time| time < since))
    }

    fn is_late(&self, entry: &Entry) -> bool {
        self.options.until.is_some_and(|until| moment(entry).is_some_and(|time| time > until))
    }
}

fn interrupted(err: rustix::io::Errno) -> Result<usize, rustix::io::Errno> {
    if err == rustix::io::Errno::INTR { Ok(0) } else { Err(err) }
}

fn moment(entry: &Entry) -> Option<Timestamp> {
    entry.time.parse().ok()
}

/// Whether the line goes on in the next object of its stream.
fn is_continued(piece: &[u8]) -> bool {
    piece.len() >= MAX_PIECE && !piece.ends_with(b"\n")
}

/// Where the last whole object ends.
pub(super) fn whole_length(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    line_start(file, length)
}

/// Where the last `lines` lines begin: in which file, and where in it.
fn tail(files: &VecDeque<File>, lines: usize) -> io::Result<(usize, u64)> {
    let mut found = 0;
    for (place, file) in files.iter().enumerate().rev() {
        let mut start = whole_length(file)?;
        while start > 0 {
            let before = line_start(file, start - 1)?;
            let length = usize::try_from(start - before).unwrap_or(MAX_OBJECT).min(MAX_OBJECT);
            let mut object = vec![0; length];
            file.read_exact_at(&mut object, before)?;
            if ends_line(&object) {
                if found == lines {
                    return Ok((place, start));
                }
                found += 1;
            }
            start = before;
        }
    }
    Ok((0, 0))
}

fn ends_line(object: &[u8]) -> bool {
    serde_json::from_slice::<Record<'_>>(object).is_ok_and(|record| !is_continued(&record.piece()))
}

/// Where the line begins that holds the byte before `end`: behind the last `\n` before `end`.
fn line_start(file: &File, end: u64) -> io::Result<u64> {
    let mut end = end;
    let mut block = vec![0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let bytes = &mut block[..(end - start) as usize];
        file.read_exact_at(bytes, start)?;
        if let Some(place) = bytes.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{super::Writer, *};

    fn log(writes: &[(Stream, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path()).unwrap();
        for (stream, bytes) in writes {
            writer.write(*stream, bytes);
        }
        writer.finish();
        dir
    }

    fn lines(dir: &Path, options: &ReadOptions) -> Vec<Vec<u8>> {
        read(dir, options).unwrap().map(|entry| entry.unwrap().line).collect()
    }

    #[test]
    fn everything_comes_back_byte_for_byte() {
        let long = [vec![b'x'; 40_000], vec![b'\n']].concat();
        let dir = log(&[
            (Stream::Stdout, b"a\n"),
            (Stream::Stdout, &long[..20_000]),
            (Stream::Stderr, b"\xff\xfe\n"),
            (Stream::Stdout, &long[20_000..]),
            (Stream::Stdout, b"end"),
        ]);
        let entries: Vec<Entry> =
            read(dir.path(), &ReadOptions::default()).unwrap().map(Result::unwrap).collect();
        let got: Vec<_> = entries.iter().map(|entry| (entry.stream, entry.line.clone())).collect();
        assert_eq!(
            got,
            [
                (Stream::Stdout, b"a\n".to_vec()),
                (Stream::Stderr, b"\xff\xfe\n".to_vec()),
                (Stream::Stdout, long),
                (Stream::Stdout, b"end".to_vec()),
            ]
        );
    }

    #[test]
    fn tail_counts_lines_and_not_pieces() {
        let long = [vec![b'x'; 40_000], vec![b'\n']].concat();
        let dir = log(&[(Stream::Stdout, b"1\n2\n"), (Stream::Stdout, &long), (Stream::Stdout, b"4\n")]);
        for (tail, expected) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (9, 4)] {
            let got = lines(dir.path(), &ReadOptions { tail: Some(tail), ..Default::default() });
            assert_eq!(got.len(), expected, "the last {tail}");
        }
        let got = lines(dir.path(), &ReadOptions { tail: Some(2), ..Default::default() });
        assert_eq!(got, [long, b"4\n".to_vec()]);
    }

    /// Lines of 81 bytes or so, rotated after every third.
    fn rotating(dir: &Path) -> Writer {
        Writer::open(dir).unwrap().with_limit(260)
    }

    fn number(writer: &mut Writer, n: u32) {
        writer.write(Stream::Stdout, format!("{n}\n").as_bytes());
    }

    fn numbers(lines: impl IntoIterator<Item = Vec<u8>>) -> Vec<u32> {
        lines.into_iter().map(|line| str::from_utf8(&line).unwrap().trim().parse().unwrap()).collect()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn old_files_come_first_and_the_oldest_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = rotating(dir.path());
        (0..10).for_each(|n| number(&mut writer, n));
        assert_eq!(names(dir.path()), ["log.jsonl", "log.jsonl.1", "log.jsonl.2", "log.jsonl.3"]);
        assert_eq!(numbers(lines(dir.path(), &ReadOptions::default())), (0..10).collect::<Vec<_>>());
        (10..30).for_each(|n| number(&mut writer, n));
        assert_eq!(names(dir.path()).len(), 4);
        assert_eq!(numbers(lines(dir.path(), &ReadOptions::default())), (18..30).collect::<Vec<_>>());
        assert_eq!(writer.dropped(), 0);
    }

    #[test]
    fn tail_goes_back_through_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = rotating(dir.path());
        (0..10).for_each(|n| number(&mut writer, n));
        for tail in 0..12 {
            let got = lines(dir.path(), &ReadOptions { tail: Some(tail), ..Default::default() });
            let from = 10 - tail.min(10) as u32;
            assert_eq!(numbers(got), (from..10).collect::<Vec<_>>(), "the last {tail}");
        }
    }

    #[test]
    fn a_line_that_a_rotation_cuts_is_one_line() {
        let long = [vec![b'x'; 40_000], vec![b'\n']].concat();
        let dir = tempfile::tempdir().unwrap();
        let mut writer = rotating(dir.path());
        for part in long.chunks(MAX_PIECE) {
            writer.write(Stream::Stdout, part);
        }
        assert_eq!(names(dir.path()).len(), 3);
        for tail in [None, Some(1)] {
            let options = ReadOptions { tail, ..Default::default() };
            assert_eq!(lines(dir.path(), &options), std::slice::from_ref(&long), "the last {tail:?}");
        }
    }

    #[test]
    fn following_survives_rotations() {
        let dir = tempfile::tempdir().unwrap();
        let lock = crate::monitor::hold_lock(dir.path());
        let options = ReadOptions { follow: Some(dir.path().to_owned()), ..Default::default() };
        let mut writer = rotating(dir.path());
        number(&mut writer, 0);
        let mut entries = read(dir.path(), &options).unwrap();
        let mut got = vec![entries.next().unwrap().unwrap().line];
        // Behind by less than is kept: nothing is missing.
        (1..12).for_each(|n| number(&mut writer, n));
        got.extend(entries.by_ref().take(11).map(|entry| entry.unwrap().line));
        assert_eq!(numbers(got), (0..12).collect::<Vec<_>>());
        // Behind by more: it goes on with the oldest that is left, once it has read its own file.
        (12..40).for_each(|n| number(&mut writer, n));
        drop(lock);
        let rest = numbers(entries.map(|entry| entry.unwrap().line));
        assert_eq!(rest, (30..40).collect::<Vec<_>>());
    }

    #[test]
    fn a_follower_sees_every_line_once_while_files_change_places() {
        let dir = tempfile::tempdir().unwrap();
        let lock = crate::monitor::hold_lock(dir.path());
        let options = ReadOptions { follow: Some(dir.path().to_owned()), ..Default::default() };
        let path = dir.path().to_owned();
        let writer = std::thread::spawn(move || {
            let mut writer = rotating(&path);
            for n in 0..2000 {
                number(&mut writer, n);
                std::thread::sleep(Duration::from_micros(if n % 7 == 0 { 500 } else { 20 }));
            }
            drop(lock);
        });
        let got = numbers(read(dir.path(), &options).unwrap().map(|entry| entry.unwrap().line));
        writer.join().unwrap();
        assert!(got.is_sorted_by(|a, b| a < b), "nothing twice: {got:?}");
        assert_eq!(got.last(), Some(&1999));
    }

    #[test]
    fn since_and_until_bound_the_lines() {
        let dir = tempfile::tempdir().unwrap();
        let object = |n: u32| {
            format!("{{\"log\":\"{n}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-0{n}T00:00:00Z\"}}\n")
        };
        std::fs::write(super::super::path(dir.path()), (1..=5).map(object).collect::<String>()).unwrap();
        let at = |day: u32| Some(format!("2026-01-0{day}T00:00:00Z").parse().unwrap());
        let options = ReadOptions { since: at(2), until: at(4), ..Default::default() };
        assert_eq!(lines(dir.path(), &options), [b"2\n", b"3\n", b"4\n"]);
    }

    #[test]
    fn damage_costs_only_the_damaged_lines() {
        let dir = log(&[(Stream::Stdout, b"1\n2\n")]);
        let path = super::super::path(dir.path());
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole, &b"garbage\n{}\n"[..], &whole, b"{\"log\":\"half"].concat()).unwrap();
        assert_eq!(lines(dir.path(), &ReadOptions::default()).len(), 4);
        assert_eq!(lines(dir.path(), &ReadOptions { tail: Some(3), ..Default::default() }).len(), 3);
    }

    #[test]
    fn a_log_that_is_not_there_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert!(lines(dir.path(), &ReadOptions::default()).is_empty());
        let follow = ReadOptions { follow: Some(dir.path().to_owned()), ..Default::default() };
        assert!(lines(dir.path(), &follow).is_empty(), "nobody runs");
    }

    #[test]
    fn following_ends_with_the_container_and_misses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let lock = crate::monitor::hold_lock(dir.path());
        let options = ReadOptions { follow: Some(dir.path().to_owned()), ..Default::default() };
        let mut entries = read(dir.path(), &options).unwrap();
        let path = dir.path().to_owned();
        let writer = std::thread::spawn(move || {
            let mut writer = Writer::open(&path).unwrap();
            for n in 0..100 {
                writer.write(Stream::Stdout, format!("{n}\n").as_bytes());
                std::thread::sleep(Duration::from_micros(200));
            }
            drop(lock);
        });
        assert_eq!(entries.next().unwrap().unwrap().line, b"0\n");
        assert_eq!(entries.count(), 99);
        writer.join().unwrap();
    }
}
