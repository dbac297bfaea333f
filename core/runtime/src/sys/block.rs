//! Calls about loop devices, which no safe crate has.
//!
//! The structures are those of `linux/loop.h`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const LOOP_GET_STATUS64: libc::Ioctl = 0x4C05;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;

/// Nothing is written to the file.
pub(crate) const READ_ONLY: u32 = 1;
/// The device forgets its file when nobody has it open or mounted any more.
pub(crate) const AUTOCLEAR: u32 = 4;
/// Past the page cache, where the file system below can.
pub(crate) const DIRECT_IO: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoopInfo {
    /// The device that the file is on.
    pub(crate) device: u64,
    /// The file's inode.
    pub(crate) inode: u64,
    raw_device: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    /// [`READ_ONLY`] and the like.
    pub(crate) flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    file: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

impl LoopInfo {
    fn with(flags: u32) -> Self {
        Self {
            device: 0,
            inode: 0,
            raw_device: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        }
    }
}

/// The number of a loop device that nobody uses at this moment.
pub(crate) fn free_loop(control: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: an open descriptor; this request takes no argument and touches no memory of ours.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    u32::try_from(number).map_err(|_| io::Error::last_os_error())
}

/// Makes a free loop device show `file`.
pub(crate) fn configure_loop(device: BorrowedFd<'_>, file: BorrowedFd<'_>, flags: u32) -> io::Result<()> {
    let config = LoopConfig {
        file: file.as_raw_fd().cast_unsigned(),
        block_size: 0,
        info: LoopInfo::with(flags),
        reserved: [0; 8],
    };
    // SAFETY: both descriptors are open, and `config` has the layout of `struct loop_config` and lives
    // through the call; the kernel only reads it.
    let code = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What a loop device shows; `ENXIO` when nothing.
pub(crate) fn loop_info(device: BorrowedFd<'_>) -> io::Result<LoopInfo> {
    let mut info = LoopInfo::with(0);
    // SAFETY: an open descriptor, and `info` has the layout of `struct loop_info64`, all of whose bit
    // patterns are valid; the kernel writes no more than that.
    let code = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) };
    if code == 0 { Ok(info) } else { Err(io::Error::last_os_error()) }
}

// What the kernel reads and writes.
const _: () = assert!(size_of::<LoopInfo>() == 232 && size_of::<LoopConfig>() == 304);
