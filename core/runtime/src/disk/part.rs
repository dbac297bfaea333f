//! One directory of a mount, as a mount of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags};

use crate::mount::own_mount_namespace;

/// Any directory that every host has.
const PLACE: &str = "/sys";

/// The directory `path` of the detached mount `whole`; made when it is missing.
pub(super) fn of(whole: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    make(whole, path)?;
    match copy(whole, path) {
        // Before Linux 6.15, only what is part of a namespace can be copied.
        Err(Errno::INVAL) => of_placed(whole, path),
        copied => Ok(copied?),
    }
}

fn make(whole: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let mut made = std::path::PathBuf::new();
    for part in path {
        made.push(part);
        match rustix::fs::mkdirat(whole, &made, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            // Then it has to be there: opening it tells.
            Err(Errno::ROFS) => return Ok(()),
            Err(err) => return Err(err.into()),
        }
    }
    Ok(())
}

fn copy(whole: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let directory = rustix::fs::openat2(whole, path, flags, Mode::empty(), resolve)?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(&directory, "", flags)
}

/// On a thread that has a namespace of its own, which goes with it.
fn of_placed(whole: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    thread::scope(|scope| {
        let made = scope.spawn(|| {
            own_mount_namespace()?;
            rustix::mount::move_mount(whole, "", CWD, PLACE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let placed = rustix::fs::open(PLACE, flags, Mode::empty())?;
            Ok(copy(placed.as_fd(), path)?)
        });
        made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
