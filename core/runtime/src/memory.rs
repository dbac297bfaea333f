//! Files and sockets that touch no disk: what a program sees for a while, and nobody else.
//!
//! Each [`Memory`] is a small file system that is part of no namespace. Whoever holds its descriptor
//! works below it; it is gone with the last one who holds it and the last container that shows it. Where
//! the kernel can (6.4), it is never swapped out.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

use crate::rootfs::file_system;

/// Whose something is, and who else may what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A file system in memory.
#[derive(Debug)]
pub struct Memory {
    mount: OwnedFd,
}

impl Memory {
    /// An empty one for at most this many bytes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(size: u64) -> io::Result<Self> {
        let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
        // A page for each of the directories and names, on top of what is asked for.
        let size = format!("size={}", size + (64 << 10));
        let options = ["mode=755", &size, "noswap"];
        let mount = file_system::create("tmpfs", &options, attributes)
            .or_else(|_| file_system::create("tmpfs", &options[..2], attributes))?;
        Ok(Self { mount })
    }

    /// Makes a file in it.
    ///
    /// # Errors
    /// When there is one of that name, or no room.
    pub fn file(&self, name: &str, content: &[u8], access: Access) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.mount, name, flags, Mode::from_raw_mode(0o600))?;
        File::from(file).write_all(content)?;
        self.give(name, access)
    }

    /// Makes a socket in it.
    ///
    /// # Errors
    /// When there is something of that name.
    pub fn socket(&self, name: &str, access: Access) -> io::Result<UnixListener> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.mount.as_raw_fd())).join(name);
        let listener = UnixListener::bind(path)?;
        self.give(name, access)?;
        Ok(listener)
    }

    /// The owner first, as changing it takes bits away.
    fn give(&self, name: &str, access: Access) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(access.uid), Gid::from_raw(access.gid));
        rustix::fs::chownat(&self.mount, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(access.mode & 0o7777);
        Ok(rustix::fs::chmodat(&self.mount, name, mode, AtFlags::empty())?)
    }

    /// To be shown to a container.
    pub fn into_mount(self) -> OwnedFd {
        self.mount
    }
}
