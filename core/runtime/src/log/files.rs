//! The files of a log, and how they change places.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{ROTATED, path, write::Store};

/// `log.jsonl.<number>`.
fn rotated(data_dir: &Path, number: u32) -> PathBuf {
    data_dir.join(format!("log.jsonl.{number}"))
}

/// Opens `path` if it is there.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Which file it is, as long as somebody has it open.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The files that are newer than `known`, or all; the oldest first. All but the last are complete.
///
/// A rotation meanwhile shows the same file again under its next number, and hides none.
pub(super) fn newer(data_dir: &Path, known: Option<&File>) -> io::Result<VecDeque<File>> {
    let mut seen = Vec::new();
    let known = known.map(identity).transpose()?;
    let mut files = VecDeque::new();
    let older = (1..=ROTATED).map(|number| rotated(data_dir, number));
    for path in std::iter::once(path(data_dir)).chain(older) {
        let Some(file) = open(&path)? else { continue };
        let identity = identity(&file)?;
        if Some(identity) == known {
            break;
        }
        if !seen.contains(&identity) {
            seen.push(identity);
            files.push_front(file);
        }
    }
    Ok(files)
}

/// `log.jsonl`, open for appending.
#[derive(Debug)]
pub(crate) struct Newest {
    file: File,
    data_dir: PathBuf,
}

impl Newest {
    /// Opens the one of `data_dir`, or makes it.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path(data_dir))?;
        Ok(Self { file, data_dir: data_dir.to_owned() })
    }

    /// To look at what is there already.
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Write for Newest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Store for Newest {
    fn cut(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)
    }

    /// The new file comes first: on a full disk nothing is moved.
    fn rotate(&mut self) -> io::Result<()> {
        let new = self.data_dir.join("log.jsonl.new");
        match fs::remove_file(&new) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {} // left by a monitor that was killed
        }
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&new)?;
        for number in (1..ROTATED).rev() {
            rename(&rotated(&self.data_dir, number), &rotated(&self.data_dir, number + 1))?;
        }
        rename(&path(&self.data_dir), &rotated(&self.data_dir, 1))?;
        fs::rename(&new, path(&self.data_dir))?;
        self.file = file;
        Ok(())
    }
}

/// Renames what may not be there.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}
