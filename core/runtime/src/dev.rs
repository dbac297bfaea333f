//! `/dev` of a container: a file system of its own with the few devices everybody may use, and
//! pseudo terminals that nobody else sees.
//!
//! Where the kernel does not let us make device nodes (`EPERM` in a user namespace or on a `nodev`
//! mount), the host's nodes are bound instead, after a look that they are what they should be.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::message::{Failure, Named};
use crate::rootfs::file_system;
use crate::rootfs::options::Recursive;
use crate::rootfs::target::{is_device, place};

const STEP: &str = "make a device";
const READ_WRITE: u32 = 0o666;

/// Character devices that every container has.
const CHARACTER: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Names of what `/proc` and the pseudo terminals already have.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Kernels may be built without it.
const KCORE: &str = "/proc/kcore";

/// Fills `dev`, the root of a new file system that is already placed.
pub(crate) fn populate(dev: BorrowedFd<'_>, more: &[LinuxDevice]) -> Result<(), Failure> {
    for (name, major, minor) in CHARACTER {
        let node = Node { kind: FileType::CharacterDevice, major, minor, mode: READ_WRITE };
        node.make(dev, OsStr::new(name), Path::new(name))?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, dev, name).at(STEP, name)?;
    }
    if Path::new(KCORE).exists() {
        rustix::fs::symlinkat(KCORE, dev, "core").at(STEP, "core")?;
    }
    more.iter().try_for_each(|device| add(dev, device))
}

/// The container's own `/dev/null`, by which files are masked (CVE-2025-31133: it must be the real one).
pub(crate) fn null(dev: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let step = "open our /dev/null";
    let fd = open_node(dev, OsStr::new("null")).step(step)?;
    if is_device(fd.as_fd(), 1, 3).step(step)? {
        Ok(fd)
    } else {
        Err(Failure::text(step, None, "it is not the null device"))
    }
}

struct Node {
    kind: FileType,
    major: u32,
    minor: u32,
    mode: u32,
}

impl Node {
    fn make(&self, directory: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), Failure> {
        let device = rustix::fs::makedev(self.major, self.minor);
        match rustix::fs::mknodat(directory, name, self.kind, Mode::from_raw_mode(self.mode), device) {
            Err(Errno::PERM) => self.bind(directory, name, path),
            other => other.at(STEP, path),
        }
    }

    fn bind(&self, directory: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), Failure> {
        let host = Path::new("/dev").join(path);
        let mount = file_system::copy(&host, Recursive::No).at(STEP, &host)?;
        if !is_device(mount.as_fd(), self.major, self.minor).at(STEP, &host)? {
            return Err(Failure::text(STEP, Some(&host), "the host's is another device"));
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(directory, name, flags, Mode::empty()).at(STEP, path)?;
        let place_of = open_node(directory, name).at(STEP, path)?;
        place(mount.as_fd(), place_of.as_fd()).at(STEP, path)
    }
}

fn open_node(directory: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Adds a device of the spec; a default one is replaced by the node that was asked for.
fn add(dev: BorrowedFd<'_>, device: &LinuxDevice) -> Result<(), Failure> {
    let path = device.path();
    let below = path.strip_prefix("/dev").unwrap_or(Path::new(""));
    let plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    let (Some(name), true) = (below.file_name(), plain) else {
        return Err(Failure::text(STEP, Some(path), "it is not below /dev"));
    };
    let directory = make_directories(dev, below.parent().unwrap_or(Path::new(""))).at(STEP, path)?;
    match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(err) => return Err(Failure::io(STEP, Some(path), &err.into())),
    }
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::C | LinuxDeviceType::U | LinuxDeviceType::A => FileType::CharacterDevice,
    };
    let number = |number: i64| u32::try_from(number).unwrap_or(0);
    let mode = device.file_mode().unwrap_or(READ_WRITE) & 0o7777;
    let node = Node { kind, major: number(device.major()), minor: number(device.minor()), mode };
    node.make(directory.as_fd(), name, below)?;
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    if (uid, gid) != (0, 0) {
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(&directory, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).at(STEP, path)?;
    }
    Ok(())
}

fn make_directories(dev: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut directory = rustix::fs::openat(dev, ".", flags, Mode::empty())?;
    for name in path {
        match rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(err) => return Err(err),
        }
        directory = rustix::fs::openat(&directory, name, flags, Mode::empty())?;
    }
    Ok(directory)
}

/// Both ends of a pseudo terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// The monitor's.
    pub(crate) master: OwnedFd,
    /// The process'.
    pub(crate) slave: OwnedFd,
}

impl Terminal {
    /// Opens one in `pts`, a devpts file system, for user `uid`.
    pub(crate) fn open(pts: BorrowedFd<'_>, uid: u32, size: Option<Winsize>) -> Result<Self, Failure> {
        let step = "open a terminal";
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let master = rustix::fs::openat(pts, "ptmx", flags, Mode::empty()).step(step)?;
        if !is_device(master.as_fd(), 5, 2).step(step)? {
            return Err(Failure::text(step, None, "/dev/pts/ptmx is not the terminal multiplexer"));
        }
        rustix::pty::unlockpt(&master).step(step)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).step(step)?;
        if uid != 0 {
            // Ours: it was made two lines above.
            rustix::fs::fchown(&slave, Some(Uid::from_raw(uid)), None).step(step)?;
        }
        if let Some(size) = size {
            rustix::termios::tcsetwinsize(&slave, size).step(step)?;
        }
        Ok(Self { master, slave })
    }

    /// Makes `/dev/console` another name of it, for programs that look for that.
    pub(crate) fn bind_console(&self, dev: BorrowedFd<'_>) -> Result<(), Failure> {
        let step = "bind /dev/console";
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(dev, "console", flags, Mode::from_raw_mode(0o600)).step(step)?;
        let file = open_node(dev, OsStr::new("console")).step(step)?;
        let mount = file_system::copy_of(self.slave.as_fd(), Recursive::No).step(step)?;
        place(mount.as_fd(), file.as_fd()).step(step)
    }
}
