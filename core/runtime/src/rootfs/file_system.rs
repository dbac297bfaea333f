//! New mounts, which belong to no namespace until they are placed.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};

use super::options::Recursive;

/// A new file system of `kind`; `attributes` are `MOUNT_ATTR_*`.
pub(crate) fn create(kind: &str, data: &[&str], attributes: u64) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What `/proc/mounts` shows in the first column.
    fsconfig_set_string(&context, "source", kind)?;
    for option in data {
        match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&context, key, value),
            None => fsconfig_set_flag(&context, *option),
        }
        .map_err(|err| io::Error::new(io::Error::from(err).kind(), format!("option `{option}`: {err}")))?;
    }
    fsconfig_create(&context)?;
    let attributes = u32::try_from(attributes).map_err(io::Error::other)?;
    Ok(fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(attributes))?)
}

/// A copy of the mount at `path` of this namespace.
pub(crate) fn copy(path: &Path, recursive: Recursive) -> rustix::io::Result<OwnedFd> {
    let below = match recursive {
        Recursive::Yes => OpenTreeFlags::AT_RECURSIVE,
        Recursive::No => OpenTreeFlags::empty(),
    };
    open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | below)
}

/// A copy of what `fd` is, as a mount.
pub(crate) fn copy_of(fd: BorrowedFd<'_>, recursive: Recursive) -> rustix::io::Result<OwnedFd> {
    let below = match recursive {
        Recursive::Yes => OpenTreeFlags::AT_RECURSIVE,
        Recursive::No => OpenTreeFlags::empty(),
    };
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(fd, "", flags | below)
}
