//! The `bpf` call: a program that says which devices a control group may use.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// The kernel's `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u8,
    registers: u8,
    /// How many instructions a jump passes over.
    pub(crate) offset: i16,
    value: i32,
}

impl Instruction {
    /// Destination and source registers share a byte; which nibble is which depends on the machine.
    pub(crate) const fn new(code: u8, into: u8, from: u8, offset: i16, value: i32) -> Self {
        let registers = if cfg!(target_endian = "little") { from << 4 | into } else { into << 4 | from };
        Self { code, registers, offset, value }
    }

    /// Whether it is a conditional jump.
    pub(crate) fn is_jump(self) -> bool {
        self.code & 0x07 == 0x05 && self.code & 0xf0 != 0x90
    }
}

/// The head of the kernel's `union bpf_attr` for loading; what is not set is zero.
#[repr(C)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

/// The head of the kernel's `union bpf_attr` for attaching.
#[repr(C)]
struct Attach {
    target: RawFd,
    program: RawFd,
    kind: u32,
    flags: u32,
}

/// Loads a device program, which the kernel's verifier checks.
pub(crate) fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let count = u32::try_from(program.len()).map_err(io::Error::other)?;
    let attr = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        count,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
    };
    // SAFETY: `attr` is a live `repr(C)` structure whose size is given; it points at `count` live
    // instructions and at a C string, which the kernel only reads.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const attr, size_of::<Load>()) };
    match RawFd::try_from(fd) {
        // SAFETY: the kernel just made this descriptor (close-on-exec), and nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets a device program decide for the group whose directory is `group`.
pub(crate) fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let attr = Attach {
        target: group.as_raw_fd(),
        program: program.as_raw_fd(),
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: `attr` is a live `repr(C)` structure of plain numbers whose size is given.
    let code = unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attr, size_of::<Attach>()) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
