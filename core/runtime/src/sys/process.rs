//! Calls that make a process, or change what it is allowed to do.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::thread::UnshareFlags;

/// libc's own constant is an `i32`, which has no room for this bit.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of [`fork`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The calling one, and the new one's number.
    Parent(libc::pid_t),
}

/// Makes a copy of this process that has the calling thread only.
///
/// The child must not rely on other threads and must end in `execve` or [`exit`].
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: `fork` takes no argument. glibc takes its own allocator's locks around it, so the child
    // may allocate also when this process has several threads; our child code uses no other lock
    // that another thread could hold (no standard streams, no environment), and never returns.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Makes a copy of this process, which has one thread only, in the control group that `group` is the
/// v2 directory of.
pub(crate) fn fork_in_group(group: BorrowedFd<'_>) -> io::Result<Fork> {
    // SAFETY: `clone_args` is plain numbers, for which all zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = group.as_raw_fd() as u64;
    // SAFETY: `args` is live and its size is given. Without `CLONE_VM` the child has its own copy of
    // the memory and goes on on its own copy of this stack; as there is no other thread, no lock of
    // the C library is held by anybody, so the child may allocate.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match libc::pid_t::try_from(pid) {
        Ok(0) => Ok(Fork::Child),
        Ok(pid) if pid > 0 => Ok(Fork::Parent(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends this process at once: no destructors of other threads, no exit handlers.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: `_exit` takes a number and does not return; it touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Moves the calling thread (or its future children) into new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only namespace flags come here, never `FILES`: no descriptor table is split under
    // somebody who relies on it.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Replaces this program. Returns only when it failed.
pub(crate) fn execve(path: &CStr, argv: &[CString], envp: &[CString]) -> Result<Infallible, io::Error> {
    let argv: Vec<_> = argv.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
    let envp: Vec<_> = envp.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
    // SAFETY: `path` is a live C string; both arrays are live, end in a null pointer and hold
    // pointers to C strings that the caller keeps borrowed for the whole call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// Closes descriptors `first` to `last`, both included.
///
/// Only for a process that is about to become another program, or has just become one: owners of
/// these descriptors are not told.
pub(crate) fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: numbers only. The caller is a child between fork and exec that never drops an owner
    // of a descriptor closed here (it ends in `exec` or `exit`), or a program that owns none yet.
    let code = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives every descriptor from `first` on the close-on-exec flag.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: numbers only; nothing is closed now.
    let code = unsafe { libc::syscall(libc::SYS_close_range, first, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives `signal` its default action. Numbers without a settable action are left alone.
///
/// Not by way of glibc, which keeps two signals for itself; a starter may have ignored them.
pub(crate) fn default_signal(signal: i32) {
    // The kernel's `struct sigaction`, at most four words on every architecture: all zero is `SIG_DFL`.
    let action = [0_u64; 4];
    // SAFETY: `action` is live and at least as large as the kernel's structure; the old one is not
    // asked for, and the set's size is that of the kernel's 64 signals.
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), std::ptr::null_mut::<u64>(), 8_usize)
    };
}

/// Blocks no signal.
pub(crate) fn unblock_signals() -> io::Result<()> {
    // SAFETY: a `sigset_t` is plain numbers, for which all zero is valid.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `none` is a live, writable set.
    unsafe { libc::sigemptyset(&raw mut none) };
    // SAFETY: `none` is a live set and the old one is not asked for.
    let code = unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the process a new session keyring without a name, so that it sees none of its starter's keys.
pub(crate) fn join_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; the kernel reads no memory.
    let id = unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    };
    if id >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Filters the calling thread's system calls from now on. `flags` are `SECCOMP_FILTER_FLAG_*`.
pub(crate) fn install_seccomp(program: &[seccompiler::sock_filter], flags: u32) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `program` points at `len` instructions that live as long as the borrow; both crates'
    // `sock_filter` are the kernel's `repr(C)` structure, and the kernel only reads them.
    let code =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes `terminal` the controlling terminal of this session.
pub(crate) fn set_controlling_terminal(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an open descriptor and a number; the kernel touches no memory of ours.
    let code = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes `number` another name of `fd`, not closed on exec.
pub(crate) fn duplicate_as(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: numbers only. `number` is 0, 1 or 2, which no owned descriptor of the child is.
    let code = unsafe { libc::dup2(fd.as_raw_fd(), number) };
    if code >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads the system call's own answer, which says `(unreachable)` outside of the process' root.
pub(crate) fn getcwd() -> io::Result<Vec<u8>> {
    let mut path = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: `path` is a live buffer of the length given; the kernel writes at most that much.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
    let Ok(length) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
    path.truncate(length.saturating_sub(1));
    Ok(path)
}
