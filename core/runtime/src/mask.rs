//! Paths that a container must not see, and paths that it must not change.
//!
//! A masked file becomes our own `/dev/null` (opened in the file system we made, and looked at), a
//! masked directory an empty read-only one. Both sit on the descriptor that the path led to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use libc::MOUNT_ATTR_RDONLY;
use rustix::io::Errno;

use crate::message::{Failure, Named};
use crate::rootfs::file_system;
use crate::rootfs::options::Recursive;
use crate::rootfs::target::{Kind, Root, place};
use crate::sys::mount::{MountChange, change_mount};

/// Hides `paths`; those that are not there need no hiding.
pub(crate) fn hide(root: &Root, paths: &[String], null: BorrowedFd<'_>) -> Result<(), Failure> {
    let step = "mask a path";
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let Some(target) = find(root, path).at(step, path)? else { continue };
        let mount = match (Kind::of(target.as_fd()).at(step, path)?, &empty) {
            (Kind::File, _) => read_only_copy(null, Recursive::No).at(step, path)?,
            // One empty file system for all: a processor's or two hundred's.
            (Kind::Directory, Some(empty)) => {
                file_system::copy_of(empty.as_fd(), Recursive::No).at(step, path)?
            }
            (Kind::Directory, None) => {
                let data = ["size=4k", "nr_inodes=2", "mode=555"];
                file_system::create("tmpfs", &data, MOUNT_ATTR_RDONLY).at(step, path)?
            }
        };
        place(mount.as_fd(), target.as_fd()).at(step, path)?;
        if Kind::of(mount.as_fd()).at(step, path)? == Kind::Directory {
            empty.get_or_insert(mount);
        }
    }
    Ok(())
}

/// Lets nobody write below `paths`.
pub(crate) fn freeze(root: &Root, paths: &[String]) -> Result<(), Failure> {
    let step = "make a path read-only";
    for path in paths {
        let Some(target) = find(root, path).at(step, path)? else { continue };
        let mount = read_only_copy(target.as_fd(), Recursive::Yes).at(step, path)?;
        place(mount.as_fd(), target.as_fd()).at(step, path)?;
    }
    Ok(())
}

fn read_only_copy(of: BorrowedFd<'_>, recursive: Recursive) -> std::io::Result<OwnedFd> {
    let mount = file_system::copy_of(of, recursive)?;
    let recursive = recursive == Recursive::Yes;
    change_mount(mount.as_fd(), MountChange { set: MOUNT_ATTR_RDONLY, recursive, ..MountChange::default() })?;
    Ok(mount)
}

fn find(root: &Root, path: &str) -> Result<Option<OwnedFd>, Errno> {
    match root.open(Path::new(path)) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(err) => Err(err),
    }
}
