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

/// Lets go of the pages of this program's own code and constants; the kernel reads those that are
/// used again from the file, which everybody's page cache has.
///
/// Whoever starts touches much more of them than it needs while it waits.
pub(crate) fn forget_code() -> io::Result<()> {
    let here = forget_code as *const () as usize;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let maps: Vec<_> = maps.lines().filter_map(Mapping::parse).collect();
    let Some(code) = maps.iter().find(|map| map.range.contains(&here) && map.permissions == "r-xp") else {
        return Ok(());
    };
    // Constants are before the code, from the file's first byte on; what is behind it was written to
    // when addresses were filled in.
    let before = maps.iter().find(|map| map.range.end == code.range.start);
    let constants = before.filter(|map| map.permissions == "r--p" && map.offset == 0);
    let start = constants.map_or(code.range.start, |map| map.range.start);
    let length = code.range.end - start;
    // SAFETY: whole mappings of a file, which this process can not write to and has not written to,
    // so that what comes back from the file is what was there.
    let code = unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A line of `/proc/self/maps`.
struct Mapping<'a> {
    range: std::ops::Range<usize>,
    permissions: &'a str,
    offset: u64,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let mut rest = rest.split_ascii_whitespace();
        let (permissions, offset) = (rest.next()?, u64::from_str_radix(rest.next()?, 16).ok()?);
        Some(Self { range: address(start)?..address(end)?, permissions, offset })
    }
}

/// Gives freed memory back to the kernel.
pub(crate) fn trim_heap() {
    // SAFETY: takes a number; it locks and walks the allocator's own structures only.
    unsafe { libc::malloc_trim(0) };
}
