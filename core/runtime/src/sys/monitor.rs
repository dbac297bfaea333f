//! Calls that only monitors and those who talk to them need.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sends `signal`, real-time signals too, to the process that `pidfd` names.
pub(crate) fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: numbers only, and a null pointer where the kernel takes one to mean "as kill(2) would".
    let code = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets go of the pages of this program's own code; the kernel reads those that are used again from
/// the file, which everybody's page cache has.
///
/// Whoever starts touches much more code than it needs while it waits.
pub(crate) fn forget_code() -> io::Result<()> {
    let here = forget_code as *const () as usize;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let code = maps.lines().filter_map(Mapping::parse).find(|mapping| mapping.range.contains(&here));
    let Some(Mapping { range, .. }) = code.filter(|mapping| mapping.permissions == "r-xp") else {
        return Ok(());
    };
    // SAFETY: the range is a whole mapping of a file, which this process can not write to and has not
    // written to (`r-xp`), so that what comes back from the file is what was there.
    let code = unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), libc::MADV_DONTNEED) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A line of `/proc/self/maps`.
struct Mapping<'a> {
    range: std::ops::Range<usize>,
    permissions: &'a str,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(Self { range: address(start)?..address(end)?, permissions: rest.get(..4)? })
    }
}

/// Gives freed memory back to the kernel.
pub(crate) fn trim_heap() {
    // SAFETY: takes a number; it locks and walks the allocator's own structures only.
    unsafe { libc::malloc_trim(0) };
}
