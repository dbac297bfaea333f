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

/// Gives freed memory back to the kernel.
pub(crate) fn trim_heap() {
    // SAFETY: takes a number; it locks and walks the allocator's own structures only.
    unsafe { libc::malloc_trim(0) };
}
