//! The files of a log, and how they change places.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{ROTATED, path, write::Store};

/// `log.jsonl`, or `log.jsonl.<number>` of those that were put aside.
fn place(data_dir: &Path, number: u32) -> PathBuf {
    match number {
        0 => path(data_dir),
        _ => data_dir.join(format!("log.jsonl.{number}")),
    }
}

/// Opens `path` if it is there.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Device and inode: which file it is, as long as somebody has it open.
type Identity = (u64, u64);

fn identity(file: &File) -> io::Result<Identity> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The files that are newer than `known`, or all; the oldest first. All but the last are complete.
///
/// They are opened one by one while the monitor may rename them. Within one rotation a file shows again
/// under its next number, which is noticed; when one ended meanwhile they are out of order, and all of
/// them are looked at again.
pub(super) fn newer(data_dir: &Path, known: Option<&File>) -> io::Result<VecDeque<File>> {
    newer_by(data_dir, known, open)
}

fn newer_by(
    data_dir: &Path,
    known: Option<&File>,
    mut open: impl FnMut(&Path) -> io::Result<Option<File>>,
) -> io::Result<VecDeque<File>> {
    let known = known.map(identity).transpose()?;
    loop {
        let files = look(data_dir, known, &mut open)?;
        if files.len() < 2 || newest(data_dir)? == files.back().map(identity).transpose()? {
            return Ok(files);
        }
    }
}

/// One look at all files that are newer than `known`, the oldest first.
fn look(
    data_dir: &Path,
    known: Option<Identity>,
    mut open: impl FnMut(&Path) -> io::Result<Option<File>>,
) -> io::Result<VecDeque<File>> {
    let mut seen = Vec::new();
    let mut files = VecDeque::new();
    for number in 0..=ROTATED {
        let Some(file) = open(&place(data_dir, number))? else { continue };
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

/// The newest file; in the middle of a rotation that is the one that was just put aside.
fn newest(data_dir: &Path) -> io::Result<Option<Identity>> {
    for number in 0..=ROTATED {
        if let Some(file) = open(&place(data_dir, number))? {
            return identity(&file).map(Some);
        }
    }
    Ok(None)
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
        for number in (0..ROTATED).rev() {
            rename(&place(&self.data_dir, number), &place(&self.data_dir, number + 1))?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_holds_when_files_change_places_meanwhile() {
        for rotations in 0..=2 * ROTATED {
            let dir = tempfile::tempdir().unwrap();
            let mut newest = Newest::open(dir.path()).unwrap();
            let mut names = 0..;
            let mut rotate = |times| {
                for _ in 0..times {
                    write!(newest, "{:03}", names.next().unwrap()).unwrap();
                    newest.rotate().unwrap();
                }
            };
            rotate(ROTATED + 1);
            let mut opened = 0;
            let files = newer_by(dir.path(), None, |path| {
                let file = open(path);
                opened += 1;
                rotate(if opened == 1 { rotations } else { 0 });
                file
            });
            let text = |file: File| io::read_to_string(file).unwrap();
            let got: Vec<_> = files.unwrap().into_iter().map(text).collect();
            let last = ROTATED + rotations;
            let mut expected: Vec<_> =
                (last - ROTATED + 1..=last).map(|number| format!("{number:03}")).collect();
            expected.push(String::new());
            assert_eq!(got, expected, "after {rotations} rotations");
        }
    }
}
