//! Places in the container's root where something gets mounted.
//!
//! Every path of a spec is resolved by the kernel inside the root (`openat2` with
//! `RESOLVE_IN_ROOT`), and mounts go onto the descriptor that came out, never onto a path: a link in
//! the image, or one that somebody exchanges in the meantime, leads to nowhere else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};

use crate::message::{Cause, Failure, Named};

/// `PROC_SUPER_MAGIC`.
const PROC: rustix::fs::FsWord = 0x9fa0;

/// Files of procfs that a bind may replace: what lxcfs shows of the container's own limits.
const REPLACEABLE: [&str; 9] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
];

/// What a target is when it has to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory.
    Directory,
    /// Anything else; an empty file is made.
    File,
}

impl Kind {
    /// What `fd` is.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let stat = rustix::fs::fstat(fd)?;
        Ok(if is_directory(&stat) { Self::Directory } else { Self::File })
    }
}

/// The root that paths are resolved in.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl Root {
    /// Takes a directory descriptor.
    pub(crate) fn new(directory: OwnedFd) -> Self {
        Self(directory)
    }

    /// What is at `path`, links followed inside the root.
    pub(crate) fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.resolve(path, ResolveFlags::empty())
    }

    /// What is at `path`; a link anywhere in it is `ELOOP`.
    pub(crate) fn open_without_links(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.resolve(path, ResolveFlags::NO_SYMLINKS)
    }

    fn resolve(&self, path: &Path, more: ResolveFlags) -> Result<OwnedFd, Errno> {
        let flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        loop {
            // AGAIN: somebody renames directories below the root just now.
            match rustix::fs::openat2(&self.0, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// What is at `path`; made, with its parents, when missing.
    pub(crate) fn open_or_make(&self, path: &Path, kind: Kind) -> Result<OwnedFd, Errno> {
        match self.open(path) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL) };
        let parent = self.open_or_make(parent, Kind::Directory)?;
        let made = match kind {
            Kind::Directory => rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)),
            Kind::File => {
                let flags =
                    OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
            }
        };
        match made {
            // A link that leads to nothing, or somebody else was faster: the kernel says what it is.
            Ok(()) | Err(Errno::EXIST) => self.open(path),
            Err(err) => Err(err),
        }
    }

    /// The place for a mount of `kind` at `path`, which is cleaned of `.` and `..` first.
    pub(crate) fn target(&self, path: &Path, kind: Kind) -> Result<Target, Failure> {
        let step = "find the place of a mount";
        let path = clean(path);
        let fd = self.open_or_make(&path, kind).at(step, &path)?;
        if self.is(fd.as_fd()).at(step, &path)? {
            return Err(Failure::text(step, Some(&path), "it is the root of the container"));
        }
        let on_proc = rustix::fs::fstatfs(&fd).at(step, &path)?.f_type == PROC;
        if on_proc && !REPLACEABLE.iter().any(|file| Path::new(file) == path) {
            return Err(Failure::text(step, Some(&path), "it is in the container's /proc"));
        }
        if Kind::of(fd.as_fd()).at(step, &path)? != kind {
            return Err(Failure { step: step.to_owned(), path: Some(path), cause: Cause::WrongKind });
        }
        Ok(Target { fd, path })
    }

    /// The place for a kernel file system, whose path no link may be part of.
    pub(crate) fn plain_target(&self, path: &Path) -> Result<Target, Failure> {
        let path = clean(path);
        let step = "find the place of a kernel file system";
        self.open_or_make(&path, Kind::Directory).at(step, &path)?;
        let fd = self.open_without_links(&path).at(step, &path)?;
        if self.is(fd.as_fd()).at(step, &path)? {
            return Err(Failure::text(step, Some(&path), "it is the root of the container"));
        }
        Ok(Target { fd, path })
    }

    fn is(&self, fd: BorrowedFd<'_>) -> rustix::io::Result<bool> {
        let (one, other) = (rustix::fs::fstat(&self.0)?, rustix::fs::fstat(fd)?);
        Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A place inside the root.
#[derive(Debug)]
pub(crate) struct Target {
    fd: OwnedFd,
    path: PathBuf,
}

impl Target {
    /// Puts a detached mount here.
    pub(crate) fn place(&self, mount: BorrowedFd<'_>) -> Result<(), Failure> {
        place(mount, self.fd.as_fd()).at("mount", &self.path)
    }

    /// Where, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Puts a detached mount onto the file or directory that `target` is.
pub(crate) fn place(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}

/// The same place without `.` and `..`; they are not the kernel's to resolve, as docker's are not.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// Whether it is a character device with these numbers.
pub(crate) fn is_device(fd: BorrowedFd<'_>, major: u32, minor: u32) -> io::Result<bool> {
    let stat = rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)?;
    let numbers = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && numbers == (major, minor))
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(path: &Path) -> Root {
        Root::new(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap())
    }

    #[test]
    fn paths_are_cleaned_inside_the_root() {
        for (path, expected) in [("/a/../b", "/b"), ("../../etc", "/etc"), ("/", "/"), ("a/./b/", "/a/b")] {
            assert_eq!(clean(Path::new(path)), Path::new(expected));
        }
    }

    #[test]
    fn missing_targets_are_made_and_links_stay_inside() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        symlink(outside.path(), inside.path().join("escape")).unwrap();
        let root = root(inside.path());

        let target = root.target(Path::new("/escape/dir"), Kind::Directory);

        assert!(target.is_err(), "a link to nothing inside the root is no place");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        root.target(Path::new("/a/b/file"), Kind::File).unwrap();
        assert!(inside.path().join("a/b/file").is_file());
        assert!(root.target(Path::new("/a/b/file"), Kind::Directory).is_err());
        assert!(root.target(Path::new("/a/.."), Kind::Directory).is_err());
    }
}
