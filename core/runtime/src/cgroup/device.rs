//! Which devices a v2 group may use: a small eBPF program, as v2 has no file for it.
//!
//! The last rule that fits decides, as on v1, so the program asks them from the last to the first;
//! what no rule fits is denied.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::sys::bpf::{Instruction, attach_device_program, load_device_program};

/// The kernel's numbers in `struct bpf_cgroup_dev_ctx`.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

/// Registers by what they hold.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// Filters the devices of the group at `path`. Without rules nothing is filtered.
pub(super) fn apply(path: &Path, rules: &[LinuxDeviceCgroup]) -> io::Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let group = File::open(path)?;
    let program = load_device_program(&assemble(rules)?)?;
    attach_device_program(group.as_fd(), program.as_fd())
}

fn assemble(rules: &[LinuxDeviceCgroup]) -> io::Result<Vec<Instruction>> {
    let mut program = vec![
        load(KIND, 0),
        copy(ACCESS, KIND),
        shift_right(ACCESS, 16),
        and(KIND, 0xffff),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        let part = assemble_rule(rule)?;
        let decides_all = !part.iter().any(|instruction| instruction.is_jump());
        program.extend(part);
        if decides_all {
            // The verifier refuses instructions that nothing leads to.
            return Ok(program);
        }
    }
    program.extend([set(ANSWER, 0), EXIT]);
    Ok(program)
}

/// The tests of one rule, each jumping behind its end when it does not fit.
fn assemble_rule(rule: &LinuxDeviceCgroup) -> io::Result<Vec<Instruction>> {
    let mut tests = Vec::new();
    match rule.typ().unwrap_or_default() {
        LinuxDeviceType::A => {}
        LinuxDeviceType::B => tests.push(unless_equal(KIND, BLOCK)),
        LinuxDeviceType::C | LinuxDeviceType::U => tests.push(unless_equal(KIND, CHARACTER)),
        LinuxDeviceType::P => return Err(io::Error::other("a FIFO is not a device")),
    }
    let access = access(rule.access().as_deref().unwrap_or("rwm"))?;
    if access != MKNOD | READ | WRITE {
        tests.extend([copy(SCRATCH, ACCESS), and(SCRATCH, access)]);
        // An allowance must cover all that is wanted, a denial any of it.
        tests.push(if rule.allow() { unless_same(SCRATCH, ACCESS) } else { if_equal(SCRATCH, 0) });
    }
    for (register, number) in [(MAJOR, rule.major()), (MINOR, rule.minor())] {
        if let Some(number) = number.filter(|number| *number >= 0) {
            let number =
                i32::try_from(number).map_err(|_| io::Error::other("a device number is too large"))?;
            tests.push(unless_equal(register, number));
        }
    }
    let end = tests.len() + 2;
    for (index, test) in tests.iter_mut().enumerate() {
        if test.is_jump() {
            test.offset = i16::try_from(end - index - 1).map_err(io::Error::other)?;
        }
    }
    tests.extend([set(ANSWER, i32::from(rule.allow())), EXIT]);
    Ok(tests)
}

fn access(letters: &str) -> io::Result<i32> {
    letters.chars().try_fold(0, |bits, letter| match letter {
        'r' => Ok(bits | READ),
        'w' => Ok(bits | WRITE),
        'm' => Ok(bits | MKNOD),
        other => Err(io::Error::other(format!("`{other}` is not one of r, w, m"))),
    })
}

const EXIT: Instruction = Instruction::new(0x95, 0, 0, 0, 0);

const fn load(into: u8, offset: i16) -> Instruction {
    Instruction::new(0x61, into, CONTEXT, offset, 0)
}

const fn copy(into: u8, from: u8) -> Instruction {
    Instruction::new(0xbc, into, from, 0, 0)
}

const fn set(register: u8, value: i32) -> Instruction {
    Instruction::new(0xb4, register, 0, 0, value)
}

const fn and(register: u8, value: i32) -> Instruction {
    Instruction::new(0x54, register, 0, 0, value)
}

const fn shift_right(register: u8, by: i32) -> Instruction {
    Instruction::new(0x74, register, 0, 0, by)
}

const fn unless_equal(register: u8, value: i32) -> Instruction {
    Instruction::new(0x55, register, 0, 0, value)
}

const fn if_equal(register: u8, value: i32) -> Instruction {
    Instruction::new(0x15, register, 0, 0, value)
}

const fn unless_same(register: u8, other: u8) -> Instruction {
    Instruction::new(0x5d, register, other, 0, 0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::cgroup::{Hierarchy, Kind};
    use crate::defaults;

    /// Whether `shell` succeeds in a v2 group with the default rules; `None` when this cannot be tried.
    fn succeeds(name: &str, shell: &str) -> Option<bool> {
        let v2 = Hierarchy::all().ok()?.into_iter().find(|one| one.kind == Kind::V2)?;
        let path = v2.mount.join(format!("wharf-device-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        apply(&path, &defaults::devices()).unwrap();
        let script = format!("echo 0 > {}/cgroup.procs; {shell}", path.display());
        let done = Command::new("sh").args(["-c", &script]).output().unwrap().status.success();
        while std::fs::remove_dir(&path).is_err_and(|err| err.raw_os_error() == Some(libc::EBUSY)) {}
        Some(done)
    }

    #[test]
    fn privileged_a_v2_group_opens_allowed_devices_only() {
        for (name, shell, expected) in [
            ("zero", "head -c1 /dev/zero >/dev/null", true),
            ("kmsg", "head -c1 /dev/kmsg >/dev/null", false),
            ("mknod", "n=$(mktemp -u) && mknod $n c 1 11 && rm $n", true),
        ] {
            match succeeds(name, shell) {
                Some(done) => assert_eq!(done, expected, "for {name}"),
                None => eprintln!("skipped: needs root and a cgroup2 tree"),
            }
        }
    }

    #[test]
    fn letters_are_access_bits() {
        for (letters, bits) in [("rwm", Some(7)), ("r", Some(2)), ("", Some(0)), ("x", None)] {
            assert_eq!(access(letters).ok(), bits, "for {letters:?}");
        }
    }
}
