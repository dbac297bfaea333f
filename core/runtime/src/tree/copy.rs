//! Copies a tree: the entries from the top down, then what the directories themselves are like, from
//! the bottom up, because every entry that is made in one changes its times.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::{Entry, TreeError, below, entries, open_below};

/// How much is copied by hand at a time.
const CHUNK: usize = 256 * 1024;

/// A copy being made.
pub(super) struct Copy<'a> {
    source: &'a Path,
    from: BorrowedFd<'a>,
    dest: &'a Path,
    to: BorrowedFd<'a>,
    /// Where a file with several names was put first.
    first_names: HashMap<(u64, u64), PathBuf>,
    /// Until the file system has said that it cannot.
    share_data: bool,
}

/// One directory, open on both sides.
struct Pair {
    path: PathBuf,
    from: OwnedFd,
    to: OwnedFd,
}

/// Which side an error is about.
enum Failed {
    Reading(Errno),
    Writing(Errno),
}

impl<'a> Copy<'a> {
    pub(super) fn new(source: &'a Path, from: BorrowedFd<'a>, dest: &'a Path, to: BorrowedFd<'a>) -> Self {
        Self { source, from, dest, to, first_names: HashMap::new(), share_data: true }
    }

    pub(super) fn run(mut self) -> Result<(), TreeError> {
        let mut found = vec![PathBuf::new()];
        let mut next = 0;
        while let Some(path) = found.get(next).cloned() {
            let pair = self.open(path)?;
            let names =
                entries(pair.from.as_fd()).map_err(|err| self.explain(&pair.path, Failed::Reading(err)))?;
            for entry in names {
                let name = below(&pair.path, &entry.name);
                let is_directory =
                    self.entry(&pair, &entry, &name).map_err(|failed| self.explain(&name, failed))?;
                if is_directory {
                    found.push(name);
                }
            }
            next += 1;
        }
        for path in found.into_iter().rev() {
            let pair = self.open(path)?;
            finish(&pair).map_err(|failed| self.explain(&pair.path, failed))?;
        }
        Ok(())
    }

    fn open(&self, path: PathBuf) -> Result<Pair, TreeError> {
        let from = open_below(self.from, &path).map_err(|err| self.explain(&path, Failed::Reading(err)))?;
        let to = open_below(self.to, &path).map_err(|err| self.explain(&path, Failed::Writing(err)))?;
        Ok(Pair { path, from, to })
    }

    fn explain(&self, path: &Path, failed: Failed) -> TreeError {
        match failed {
            Failed::Reading(Errno::XDEV) => TreeError::MountPoint { path: self.source.join(path) },
            Failed::Reading(err) => TreeError::Read { path: self.source.join(path), source: err.into() },
            Failed::Writing(err) => TreeError::Write { path: self.dest.join(path), source: err.into() },
        }
    }

    /// Copies one entry; answers whether it is a directory, of which only the name exists by then.
    fn entry(&mut self, pair: &Pair, entry: &Entry, path: &Path) -> Result<bool, Failed> {
        let name = entry.name.as_c_str();
        let stat =
            rustix::fs::statat(&pair.from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Failed::Reading)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            rustix::fs::mkdirat(&pair.to, name, Mode::RWXU).map_err(Failed::Writing)?;
            return Ok(true);
        }
        if stat.st_nlink > 1 && self.link_to_first(pair, name, &stat, path)? {
            return Ok(false);
        }
        match kind {
            FileType::RegularFile => self.file(pair, name, &stat)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&pair.from, name, Vec::new()).map_err(Failed::Reading)?;
                rustix::fs::symlinkat(target, &pair.to, name).map_err(Failed::Writing)?;
            }
            special => rustix::fs::mknodat(&pair.to, name, special, Mode::RUSR, stat.st_rdev)
                .map_err(Failed::Writing)?,
        }
        attributes(pair, name, &stat)?;
        Ok(false)
    }

    /// Whether this was another name of a file that is there already.
    fn link_to_first(&mut self, pair: &Pair, name: &CStr, stat: &Stat, path: &Path) -> Result<bool, Failed> {
        let Some(first) = self.first_names.get(&(stat.st_dev, stat.st_ino)) else {
            self.first_names.insert((stat.st_dev, stat.st_ino), path.to_owned());
            return Ok(false);
        };
        let above = first.parent().unwrap_or(Path::new(""));
        let first_name = first.file_name().unwrap_or_default();
        let directory = open_below(self.to, above).map_err(Failed::Writing)?;
        rustix::fs::linkat(&directory, first_name, &pair.to, name, AtFlags::empty())
            .map_err(Failed::Writing)?;
        Ok(true)
    }

    fn file(&mut self, pair: &Pair, name: &CStr, stat: &Stat) -> Result<(), Failed> {
        let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let from = rustix::fs::openat(&pair.from, name, read, Mode::empty()).map_err(Failed::Reading)?;
        let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to =
            rustix::fs::openat(&pair.to, name, write, Mode::RUSR | Mode::WUSR).map_err(Failed::Writing)?;
        if stat.st_size == 0 {
            return Ok(());
        }
        if self.share_data {
            match rustix::fs::ioctl_ficlone(&to, &from) {
                Ok(()) => return Ok(()),
                Err(_) => self.share_data = false,
            }
        }
        copy_data(from.as_fd(), to.as_fd(), u64::try_from(stat.st_size).unwrap_or(0))
    }
}

/// The content of one file: its blocks are shared where the file system can.
pub(super) fn content(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let length = u64::try_from(rustix::fs::fstat(from)?.st_size).unwrap_or(0);
    copy_data(from, to, length).map_err(|failed| match failed {
        Failed::Reading(err) | Failed::Writing(err) => err,
    })
}

/// Copies what is between the holes.
fn copy_data(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: u64) -> Result<(), Failed> {
    rustix::fs::ftruncate(to, length).map_err(Failed::Writing)?;
    let mut position = 0;
    while position < length {
        let start = match rustix::fs::seek(from, SeekFrom::Data(position)) {
            Err(Errno::NXIO) => break,
            start => start.map_err(Failed::Reading)?,
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start)).map_err(Failed::Reading)?.min(length);
        copy_range(from, to, start, end)?;
        position = end;
    }
    Ok(())
}

fn copy_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64) -> Result<(), Failed> {
    let (mut read, mut written) = (start, start);
    while read < end {
        let length = usize::try_from(end - read).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut written), length) {
            // It became shorter meanwhile.
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                return copy_by_hand(from, to, read, end);
            }
            Err(err) => return Err(Failed::Writing(err)),
        }
    }
    Ok(())
}

fn copy_by_hand(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64) -> Result<(), Failed> {
    let mut buffer = vec![0; CHUNK];
    let mut position = start;
    while position < end {
        let wanted = usize::try_from(end - position).map_or(CHUNK, |left| left.min(CHUNK));
        let length = rustix::io::pread(from, &mut buffer[..wanted], position).map_err(Failed::Reading)?;
        if length == 0 {
            break;
        }
        let mut done = 0;
        while done < length {
            let at = position + done as u64;
            done += rustix::io::pwrite(to, &buffer[done..length], at).map_err(Failed::Writing)?;
        }
        position += length as u64;
    }
    Ok(())
}

fn finish(pair: &Pair) -> Result<(), Failed> {
    let stat = rustix::fs::fstat(&pair.from).map_err(Failed::Reading)?;
    attributes(pair, c".", &stat)
}

/// The owner comes first, because changing it takes away setuid bits and capabilities; the times
/// last, because all else changes them.
fn attributes(pair: &Pair, name: &CStr, stat: &Stat) -> Result<(), Failed> {
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(&pair.to, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(Failed::Writing)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        let mode = Mode::from_raw_mode(stat.st_mode);
        rustix::fs::chmodat(&pair.to, name, mode, AtFlags::empty()).map_err(Failed::Writing)?;
    }
    extended_attributes(&beside(&pair.from, name), &beside(&pair.to, name))?;
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec.cast_signed() },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() },
    };
    rustix::fs::utimensat(&pair.to, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(Failed::Writing)
}

/// A path for the calls that take no descriptor of a directory.
fn beside(directory: &OwnedFd, name: &CStr) -> PathBuf {
    let name = std::ffi::OsStr::from_bytes(name.to_bytes());
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)
}

fn extended_attributes(from: &Path, to: &Path) -> Result<(), Failed> {
    let names = match list(from) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        names => names.map_err(Failed::Reading)?,
    };
    for name in names.split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(|_| Failed::Reading(Errno::INVAL))?;
        let value = value(from, name).map_err(Failed::Reading)?;
        match rustix::fs::lsetxattr(to, name, &value, XattrFlags::empty()) {
            // Labels are the business of the security module that made them.
            Err(Errno::OPNOTSUPP | Errno::PERM) if name == c"security.selinux" => {}
            set => set.map_err(Failed::Writing)?,
        }
    }
    Ok(())
}

fn list(path: &Path) -> rustix::io::Result<Vec<u8>> {
    let mut names = vec![0; rustix::fs::llistxattr_query(path)?];
    if !names.is_empty() {
        let length = rustix::fs::llistxattr(path, names.as_mut_slice())?;
        names.truncate(length);
    }
    Ok(names)
}

fn value(path: &Path, name: &CStr) -> rustix::io::Result<Vec<u8>> {
    let mut value = vec![0; rustix::fs::lgetxattr_query(path, name)?];
    if !value.is_empty() {
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice())?;
        value.truncate(length);
    }
    Ok(value)
}
