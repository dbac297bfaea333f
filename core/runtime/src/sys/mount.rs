//! Calls about mounts that no safe crate has.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What to change of a mount, and whether of those below it too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MountChange {
    /// `MOUNT_ATTR_*` to set.
    pub(crate) set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub(crate) clear: u64,
    /// `MS_PRIVATE` and the like; 0 leaves it.
    pub(crate) propagation: u64,
    /// Also all mounts below.
    pub(crate) recursive: bool,
}

/// Changes the mount that `mount` is the root of.
pub(crate) fn change_mount(mount: BorrowedFd<'_>, change: MountChange) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if change.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: an open descriptor, an empty C string, and a live structure whose size is given; the
    // kernel only reads.
    let code = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
