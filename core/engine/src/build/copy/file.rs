//! Copying one file, link, pipe or device.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, SeekFrom, Stat, copy_file_range, fstat, ftruncate, ioctl_ficlone,
    mknodat, openat, readlinkat, seek, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::build::resolve::{file_type, open_entry};
use crate::build::source::{Entry, Kind, SourceError};

use super::CopyError;
use super::metadata::Metadata;

const BUFFER_SIZE: usize = 256 << 10;
/// No more than the buffer holds.
const SMALL: u64 = 256 << 10;

/// Which side of a copy failed.
#[derive(Debug)]
pub(super) enum Failure {
    Read(io::Error),
    Write(io::Error),
    IsDirectory,
}

impl Failure {
    pub(super) fn at(self, from: &Path, to: &Path) -> CopyError {
        match self {
            Self::Read(error) => SourceError::read(from, error).into(),
            Self::Write(error) => CopyError::write(to, error),
            Self::IsDirectory => CopyError::IsDirectory(to.display().to_string()),
        }
    }
}

/// Copies `entry`, which is no directory, to `name` in `dir`. What is there is replaced, unless
/// it is a directory.
pub(super) fn copy(
    entry: &Entry<'_>,
    dir: BorrowedFd<'_>,
    name: &OsStr,
    metadata: &Metadata<'_>,
) -> Result<(), Failure> {
    match entry.kind {
        Kind::File => regular(entry, dir, name, metadata),
        Kind::Symlink => {
            let target = readlinkat(entry.dir, entry.name, Vec::new()).map_err(reading)?;
            in_place(dir, name, || Ok(symlinkat(&target, dir, name)?))?;
            metadata.source.copied(entry.stat);
            metadata.apply_at(dir, name, entry.stat, entry.kind).map_err(Failure::Write)
        }
        Kind::Special | Kind::Directory => {
            let stat = entry.stat;
            let make = || Ok(mknodat(dir, name, file_type(stat), Mode::from(0o600), stat.st_rdev)?);
            in_place(dir, name, make)?;
            metadata.apply_at(dir, name, stat, entry.kind).map_err(Failure::Write)
        }
    }
}

/// Makes something called `name`; what is in the way is removed. Mostly there is nothing.
fn in_place<T>(dir: BorrowedFd<'_>, name: &OsStr, make: impl Fn() -> io::Result<T>) -> Result<T, Failure> {
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            clear(dir, name)?;
            make().map_err(Failure::Write)
        }
        made => made.map_err(Failure::Write),
    }
}

fn reading(error: Errno) -> Failure {
    Failure::Read(error.into())
}

fn writing(error: Errno) -> Failure {
    Failure::Write(error.into())
}

/// Removes what is in the way of a file.
pub(super) fn clear(dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Failure> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Err(Failure::IsDirectory),
        Err(error) => Err(writing(error)),
    }
}

/// A new, empty file that nobody else may open yet.
pub(super) fn create(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(dir, name, flags, Mode::from(0o600))?.into())
}

fn regular(
    entry: &Entry<'_>,
    dir: BorrowedFd<'_>,
    name: &OsStr,
    metadata: &Metadata<'_>,
) -> Result<(), Failure> {
    let from = File::from(open_entry(entry.dir, entry.name).map_err(Failure::Read)?);
    let attributes = metadata.source.attributes(from.as_fd()).map_err(Failure::Read)?;
    let to = in_place(dir, name, || create(dir, name))?;
    content(&from, &to, entry.stat)?;
    metadata.source.copied(&fstat(&from).map_err(reading)?);
    metadata.apply(to.as_fd(), entry.stat, entry.kind, &attributes).map_err(Failure::Write)
}

/// For a small file without holes, reading and writing is what costs least.
fn content(from: &File, to: &File, stat: &Stat) -> Result<(), Failure> {
    let size = stat.st_size.cast_unsigned();
    if size <= SMALL && stat.st_blocks.cast_unsigned() * 512 >= size {
        return small(from, to, size);
    }
    large(from, to).map_err(Failure::Write)
}

thread_local!(static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_SIZE]));

fn small(mut from: &File, mut to: &File, size: u64) -> Result<(), Failure> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut done = 0;
        while done < size {
            match from.read(buffer) {
                Ok(0) => break,
                Ok(length) => {
                    to.write_all(&buffer[..length]).map_err(Failure::Write)?;
                    done += length as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Read(error)),
            }
        }
        Ok(())
    })
}

/// Shares the blocks where the file system can, and else copies what is not a hole.
fn large(from: &File, to: &File) -> io::Result<()> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let size = fstat(from)?.st_size.cast_unsigned();
    let mut at = 0;
    while let Some((start, end)) = data(from, at)? {
        extent(from, to, start, end)?;
        at = end;
    }
    Ok(ftruncate(to, size)?)
}

/// The next stretch of data at or behind `at`.
fn data(file: &File, at: u64) -> io::Result<Option<(u64, u64)>> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(start) => Ok(Some((start, seek(file, SeekFrom::Hole(start))?))),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn extent(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let wanted = usize::try_from(end - read_at).unwrap_or(usize::MAX).min(1 << 30);
        match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), wanted) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return by_buffer(from, to, read_at, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn by_buffer(from: &File, to: &File, mut at: u64, end: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    BUFFER.with_borrow_mut(|buffer| {
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let length = from.read_at(&mut buffer[..wanted], at)?;
            if length == 0 {
                return Ok(());
            }
            to.write_all_at(&buffer[..length], at)?;
            at += length as u64;
        }
        Ok(())
    })
}

/// Whether an entry may share its content with others.
pub(super) fn has_links(entry: &Entry<'_>) -> bool {
    entry.stat.st_nlink > 1 && file_type(entry.stat) == FileType::RegularFile
}
