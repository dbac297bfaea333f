//! The journal: lines that are only ever added, kept in a few files of bounded size.
//!
//! ```text
//! events/now.jsonl             0600, in a directory that is 0700: being appended to
//! events/<nanoseconds>.jsonl   full; named by the time it was put aside
//! ```
//!
//! An append is one `write(2)` with `O_APPEND`, so lines of several processes never mix. It begins
//! with a line break: what a full disk or a power cut broke off spoils nothing that follows, and a
//! reader skips it. A file of [`LIMIT`] bytes is put aside, and the oldest of more than [`KEPT`] is
//! removed. Nothing is synced: after a power cut the last seconds may be missing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;

use crate::Store;

/// Bytes after which a file is put aside.
pub const LIMIT: u64 = 4 << 20;
/// How many full files are kept.
pub const KEPT: usize = 7;

const CURRENT: &str = "now.jsonl";

impl Store {
    /// The journal of what was done here.
    pub fn journal(&self) -> Journal {
        Journal { directory: self.root().join("events") }
    }
}

/// The journal of one store.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
}

impl Journal {
    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Adds lines, each without its line break, at once.
    ///
    /// # Errors
    /// When the file can not be opened or written.
    pub fn append<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let mut text = String::new();
        for line in lines {
            text.push('\n');
            text.push_str(line);
        }
        if text.is_empty() {
            return Ok(());
        }
        text.push('\n');
        let mut file = self.open()?;
        file.write_all(text.as_bytes())?;
        if file.metadata()?.len() >= LIMIT { self.put_aside(&file) } else { Ok(()) }
    }

    /// Makes the directory if it is not there.
    ///
    /// # Errors
    /// When it can not be made.
    pub fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)
    }

    /// The lines since a time in nanoseconds since 1970, and those that are still to come. Lines of
    /// the same file that are older come, too.
    pub fn tail(&self, since: i64) -> Tail {
        Tail { journal: self.clone(), since, files: Vec::new() }
    }

    fn open(&self) -> io::Result<File> {
        let path = self.directory.join(CURRENT);
        let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make().and_then(|()| open()),
            opened => opened,
        }
    }

    /// Of several writers that meet a full file, one moves it.
    fn put_aside(&self, full: &File) -> io::Result<()> {
        let directory = File::open(&self.directory)?;
        rustix::fs::flock(&directory, FlockOperation::LockExclusive)?;
        let path = self.directory.join(CURRENT);
        match fs::metadata(&path) {
            Ok(current) if current.ino() == full.metadata()?.ino() => {}
            Ok(_) => return Ok(()),
            // Another writer moved it, and nobody has written since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        fs::rename(&path, self.directory.join(format!("{now}.jsonl")))?;
        let aside = self.aside()?;
        for (_, oldest) in aside.iter().take(aside.len().saturating_sub(KEPT)) {
            fs::remove_file(oldest)?;
        }
        Ok(())
    }

    /// Full files, oldest first, with the time they were put aside.
    fn aside(&self) -> io::Result<Vec<(i64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let time = name.to_str().and_then(|name| name.strip_suffix(".jsonl")?.parse().ok());
            files.extend(time.map(|time| (time, self.directory.join(&name))));
        }
        files.sort();
        Ok(files)
    }
}

/// A reader of a journal that can be asked again and again for what is new.
#[derive(Debug)]
pub struct Tail {
    journal: Journal,
    since: i64,
    /// Oldest first. Each stays open as long as it has a name: a writer may have opened it just
    /// before it was put aside, and an inode that is held is not given to another file.
    files: Vec<Opened>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    inode: u64,
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
}

impl Tail {
    /// Hands over each whole line that was not handed over before.
    ///
    /// # Errors
    /// When a file can not be read, or `each` fails.
    pub fn read(&mut self, each: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        let named = self.open_new()?;
        for opened in &mut self.files {
            opened.drain(each)?;
        }
        self.files.retain(|opened| named.contains(&opened.inode));
        Ok(())
    }

    /// Gives the inodes of files that have a name. A file that is put aside between the two looks is
    /// seen by the next call.
    fn open_new(&mut self) -> io::Result<Vec<u64>> {
        let mut named = Vec::new();
        let aside = match self.journal.aside() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(named),
            aside => aside?,
        };
        let recent = aside.into_iter().filter(|(time, _)| *time >= self.since).map(|(_, path)| path);
        for path in recent.chain([self.journal.directory.join(CURRENT)]) {
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let inode = file.metadata()?.ino();
            named.push(inode);
            if self.files.iter().all(|opened| opened.inode != inode) {
                self.files.push(Opened { file, inode, rest: Vec::new() });
            }
        }
        Ok(named)
    }
}

impl Opened {
    /// What comes after the last line break waits for the next time.
    fn drain(&mut self, each: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            let read = self.file.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            self.rest.extend_from_slice(&chunk[..read]);
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let whole: Vec<u8> = self.rest.drain(..=end).collect();
            for line in whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                if let Ok(line) = str::from_utf8(line) {
                    each(line)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn all(tail: &mut Tail) -> Vec<String> {
        let mut lines = Vec::new();
        tail.read(&mut |line| {
            lines.push(line.to_owned());
            Ok(())
        })
        .unwrap();
        lines
    }

    fn journal(dir: &tempfile::TempDir) -> Journal {
        Store::open(dir.path()).unwrap().journal()
    }

    #[test]
    fn lines_come_back_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(&dir);
        let mut tail = journal.tail(0);
        assert!(all(&mut tail).is_empty());
        journal.append(["a", "b"]).unwrap();
        assert_eq!(all(&mut tail), ["a", "b"]);
        journal.append(["c"]).unwrap();
        assert_eq!(all(&mut tail), ["c"]);
        assert!(all(&mut tail).is_empty());
        let mode = fs::metadata(journal.directory().join(CURRENT)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::metadata(journal.directory()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_line_that_broke_off_spoils_nothing_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(&dir);
        journal.append(["first"]).unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(journal.directory().join(CURRENT))
            .and_then(|mut file| file.write_all(b"\nbroken o"))
            .unwrap();
        journal.append(["last"]).unwrap();
        assert_eq!(all(&mut journal.tail(0)), ["first", "broken o", "last"]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_readers_go_on_over_the_edge() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(&dir);
        let mut tail = journal.tail(0);
        let long = "x".repeat(usize::try_from(LIMIT).unwrap() / 2);
        for number in 0..2 * (KEPT + 3) {
            journal.append([format!("{number} {long}").as_str()]).unwrap();
            let new = all(&mut tail);
            assert_eq!(new.len(), 1);
            assert!(new[0].starts_with(&format!("{number} ")));
        }
        let sizes = fs::read_dir(journal.directory()).unwrap();
        let bytes: u64 = sizes.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes <= (KEPT as u64 + 1) * (LIMIT + 4096), "{bytes}");
        assert_eq!(all(&mut journal.tail(0)).len(), 2 * KEPT);
        assert!(all(&mut journal.tail(i64::MAX)).len() < 2, "old files are not read");
    }

    #[test]
    fn writers_do_not_mix_lines() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(&dir);
        std::thread::scope(|scope| {
            for writer in ["a", "b", "c", "d"] {
                let journal = &journal;
                scope.spawn(move || {
                    let line = writer.repeat(3000);
                    (0..500).for_each(|_| journal.append([line.as_str()]).unwrap());
                });
            }
        });
        let lines = all(&mut journal.tail(0));
        assert_eq!(lines.len(), 2000);
        assert!(
            lines
                .iter()
                .all(|line| line.len() == 3000 && line.bytes().all(|byte| byte == line.as_bytes()[0]))
        );
    }
}
