//! Making what one entry of a tar describes.
//!
//! A file is always a new file: what had its name is removed first, so nothing is written
//! through a symbolic or a hard link. Owner, then mode, then attributes: a change of owner
//! clears set-uid bits and capabilities. Times of directories are set at the end, when nothing
//! is put into them any more.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;

use super::apply::ApplyError;
use super::entry::{Entry, Kind, Sparse, normalised, shown};
use super::place::{self, Place, kind_of, open_below, split};
use super::{Limits, attributes};

const BUFFER: usize = 256 * 1024;
/// Bytes of the smallest piece that is worth a hole.
const HOLE: usize = 64 * 1024;

/// Puts entries below one root.
pub(crate) struct Putter<'a> {
    pub(crate) place: Place<'a>,
    limits: &'a Limits,
    times: HashMap<Vec<u8>, (i64, u32)>,
    buffer: Vec<u8>,
    /// Bytes in files so far.
    pub(crate) size: u64,
}

impl<'a> Putter<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>, limits: &'a Limits) -> Self {
        let (times, buffer) = (HashMap::new(), vec![0; BUFFER]);
        Self { place: Place::new(root), limits, times, buffer, size: 0 }
    }

    /// Makes `path`, which is normalised. `data` is the entry's.
    pub(crate) fn put(&mut self, entry: &Entry, path: &[u8], data: &mut impl Read) -> Result<(), ApplyError> {
        let failed = |source| ApplyError::Entry { path: shown(path), source };
        let owner = owner(entry)?;
        if path.is_empty() {
            return self.put_root(entry, owner);
        }
        let (parent, name) = split(path);
        let dir = self.place.directory(parent).map_err(|errno| failed(errno.into()))?;
        let dir = dir.as_fd();
        if self.clear(dir, name, entry.kind).map_err(|errno| failed(errno.into()))? {
            self.place.forget();
        }
        if entry.kind != Kind::Directory {
            self.times.remove(path);
        }
        match entry.kind {
            Kind::File => self.put_file(entry, dir, name, data).map_err(failed)?,
            Kind::HardLink => {
                self.put_link(entry, path, dir, name)?;
                return describe_link(entry, owner, dir, name).map_err(failed);
            }
            Kind::Symlink => put_symlink(entry, dir, name).map_err(|errno| failed(errno.into()))?,
            Kind::Directory => {
                make_directory(dir, name).map_err(|errno| failed(errno.into()))?;
                self.times.insert(path.to_vec(), entry.mtime);
            }
            Kind::Char(major, minor) => {
                put_node(dir, name, FileType::CharacterDevice, (major, minor)).map_err(failed)?;
            }
            Kind::Block(major, minor) => {
                put_node(dir, name, FileType::BlockDevice, (major, minor)).map_err(failed)?;
            }
            Kind::Fifo => put_node(dir, name, FileType::Fifo, (0, 0)).map_err(failed)?,
        }
        describe(entry, owner, dir, name).map_err(failed)
    }

    /// Sets the times of directories. Those that were only implied are as old as can be, so
    /// that the result does not depend on the clock.
    pub(crate) fn finish(mut self) -> Result<u64, ApplyError> {
        for path in std::mem::take(&mut self.place.implied) {
            self.times.entry(path).or_insert((0, 0));
        }
        for (path, time) in &self.times {
            let failed = |errno: Errno| ApplyError::Entry { path: shown(path), source: errno.into() };
            let (parent, name) = split(path);
            let name = if name.is_empty() { b"." } else { name };
            match open_below(self.place.root, parent, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(dir) => match set_time(dir.as_fd(), name, *time) {
                    // It went with a directory that a later entry replaced.
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(failed(errno)),
                },
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(self.size)
    }

    fn put_root(&mut self, entry: &Entry, owner: (Uid, Gid)) -> Result<(), ApplyError> {
        let failed = |source| ApplyError::Entry { path: "./".into(), source };
        if entry.kind != Kind::Directory {
            return Err(ApplyError::Refused { path: "./".into(), reason: "the root is not a directory" });
        }
        self.times.insert(Vec::new(), entry.mtime);
        describe(entry, owner, self.place.root, b".").map_err(failed)
    }

    /// Makes room for an entry. A directory that stays a directory keeps its content.
    fn clear(&self, dir: BorrowedFd<'_>, name: &[u8], kind: Kind) -> Result<bool, Errno> {
        match kind_of(dir, name)? {
            None => Ok(false),
            Some(FileType::Directory) if kind == Kind::Directory => Ok(false),
            Some(_) => place::remove(dir, name),
        }
    }

    fn put_file(
        &mut self,
        entry: &Entry,
        dir: BorrowedFd<'_>,
        name: &[u8],
        data: &mut impl Read,
    ) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(dir, name, flags, Mode::from(0o600))?);
        match &entry.sparse {
            Some(sparse) => self.copy_sparse(sparse, data, &mut file)?,
            None => {
                self.copy(entry.size, data, &mut file)?;
                if file.stream_position()? > file.metadata()?.len() {
                    file.set_len(entry.size)?;
                }
            }
        }
        self.size += entry.file_size();
        Ok(())
    }

    /// A piece of nothing but zeros is left out, as a tar holds a file with holes whole. Whoever wants the length
    /// sets it.
    fn copy(&mut self, mut left: u64, data: &mut impl Read, file: &mut File) -> io::Result<()> {
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let count = match data.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            let piece = &self.buffer[..count];
            if count >= HOLE && is_zero(piece) {
                file.seek(SeekFrom::Current(i64::try_from(count).map_err(io::Error::other)?))?;
            } else {
                file.write_all(piece)?;
            }
            left -= count as u64;
        }
        Ok(())
    }

    fn copy_sparse(&mut self, sparse: &Sparse, data: &mut impl Read, file: &mut File) -> io::Result<()> {
        for (offset, length) in &sparse.pieces {
            file.seek(SeekFrom::Start(*offset))?;
            self.copy(*length, data, file)?;
        }
        file.set_len(sparse.size)
    }

    /// The target is a path in the archive. What it names must be here: a layer's directory
    /// does not hold the files of the layers below.
    fn put_link(
        &mut self,
        entry: &Entry,
        path: &[u8],
        dir: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), ApplyError> {
        let refused = |reason| ApplyError::Refused { path: shown(path), reason };
        let failed = |errno: Errno| match errno {
            Errno::NOENT | Errno::NOTDIR => {
                ApplyError::LinkTarget { path: shown(path), target: shown(&entry.target) }
            }
            errno => ApplyError::Entry { path: shown(path), source: errno.into() },
        };
        let target = normalised(&entry.target, self.limits).map_err(refused)?;
        if target == path {
            return Err(refused("it is a hard link to itself"));
        }
        let (parent, target_name) = split(&target);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let from = open_below(self.place.root, parent, flags).map_err(failed)?;
        if kind_of(from.as_fd(), target_name).map_err(failed)? == Some(FileType::Directory) {
            return Err(refused("it is a hard link to a directory"));
        }
        rustix::fs::linkat(&from, target_name, dir, name, AtFlags::empty()).map_err(failed)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

/// `u32::MAX` would mean "leave it" to the kernel.
fn owner(entry: &Entry) -> Result<(Uid, Gid), ApplyError> {
    let fits = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    match (fits(entry.uid), fits(entry.gid)) {
        (Some(uid), Some(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
        _ => Err(ApplyError::Refused {
            path: shown(&entry.path),
            reason: "its owner or group is not a number from 0 to 4294967294",
        }),
    }
}

fn put_symlink(entry: &Entry, dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::symlinkat(&*entry.target, dir, name)
}

fn put_node(dir: BorrowedFd<'_>, name: &[u8], kind: FileType, device: (u32, u32)) -> io::Result<()> {
    let device = rustix::fs::makedev(device.0, device.1);
    Ok(rustix::fs::mknodat(dir, name, kind, Mode::from(0o600), device)?)
}

fn make_directory(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::mkdirat(dir, name, Mode::from(0o700)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn describe(entry: &Entry, (uid, gid): (Uid, Gid), dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if entry.kind != Kind::Symlink {
        // Nobody else is in this directory, so `name` is what was made above and no link.
        rustix::fs::chmodat(dir, name, Mode::from(entry.mode), AtFlags::empty())?;
    }
    attributes::set(dir, name, &entry.xattrs).map_err(|(key, errno)| {
        let source: io::Error = errno.into();
        io::Error::new(source.kind(), format!("extended attribute {}: {source}", shown(&key)))
    })?;
    if entry.kind != Kind::Directory {
        set_time(dir, name, entry.mtime)?;
    }
    Ok(())
}

/// A further name of a file describes the file anew: the last header wins, as in docker and
/// containerd. Where it says nothing new nothing is done, as a change of owner would drop the
/// capabilities that only the first header may tell. A link to a symbolic link has an owner only.
fn describe_link(entry: &Entry, owner: (Uid, Gid), dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let same_owner = (stat.st_uid, stat.st_gid) == (owner.0.as_raw(), owner.1.as_raw());
    let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    if same_owner && (is_link || stat.st_mode & 0o7777 == entry.mode) {
        return Ok(());
    }
    if !is_link {
        return describe(entry, owner, dir, name);
    }
    Ok(rustix::fs::chownat(dir, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Sets the time of the last change, of a symbolic link itself.
pub(crate) fn set_time(dir: BorrowedFd<'_>, name: &[u8], (seconds, nanos): (i64, u32)) -> Result<(), Errno> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos.into() },
    };
    rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}
