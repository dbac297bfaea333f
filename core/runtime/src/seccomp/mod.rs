//! System call filters: an OCI seccomp section becomes one BPF program.
//!
//! ```text
//! architecture of the call -> its own tree, or the process is killed
//! tree: binary search over ranges of numbers with the same answer
//! leaf: an answer, or rules on the arguments, the first that fits
//! ```
//!
//! The rules on arguments are translated by `seccompiler`. Its whole-filter translation is a linear
//! list of all calls for one architecture and one answer; ours answers differently per rule (`clone3`
//! is `ENOSYS`), knows 32-bit programs, and is a tenth of the size, which the kernel pays for at each
//! start of a container. x32 calls (bit 30) are above all numbers we know: the default answer.

mod numbers;
mod profile;
#[cfg(test)]
mod simulator;

use std::collections::BTreeMap;
use std::io;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
    LinuxSyscall,
};
use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule, sock_filter};

use crate::sys;
use numbers::Machine;
pub use profile::default_profile;

/// `SECCOMP_RET_KILL_PROCESS`.
const KILL: u32 = 0x8000_0000;
/// The kernel takes no longer programs.
const LONGEST: usize = 4096;

/// Where `struct seccomp_data` has the number and the architecture.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// Why a profile makes no filter.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// It asks for what needs a program that listens.
    #[error("seccomp action {0:?} is not supported")]
    Action(LinuxSeccompAction),
    /// Or for a flag that does.
    #[error("seccomp flag {0:?} is not supported")]
    Flag(LinuxSeccompFilterFlag),
    /// There is no table of numbers for any of its architectures.
    #[error("no architecture of the seccomp profile is known here")]
    Architecture,
    /// An argument that no call has.
    #[error("the rule for {name} is not usable: {source}")]
    Rule {
        /// The first call it is about.
        name: String,
        /// Why.
        source: seccompiler::BackendError,
    },
    /// More than the kernel takes.
    #[error("the seccomp filter has {0} instructions, the kernel takes {LONGEST}")]
    TooLong(usize),
}

/// A program for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    program: BpfProgram,
    flags: u32,
}

impl Filter {
    /// Filters the calling thread from now on.
    pub(crate) fn install(&self) -> io::Result<()> {
        sys::process::install_seccomp(&self.program, self.flags)
    }
}

/// Makes a program of a profile.
///
/// # Errors
/// When the profile asks for something this runtime or the kernel does not have.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter, SeccompError> {
    let default = answer(profile.default_action(), profile.default_errno_ret())?;
    let machines = machines(profile.architectures().as_deref().unwrap_or(&[Arch::ScmpArchNative]));
    if machines.is_empty() {
        return Err(SeccompError::Architecture);
    }
    let mut program = vec![load(ARCHITECTURE)];
    for machine in machines {
        let mut body = vec![load(NUMBER)];
        body.extend(tree(&segments(machine, profile.syscalls().as_deref().unwrap_or_default(), default)?));
        program.push(jump_if_equal(machine.audit(), 1, 0));
        program.push(jump(body.len()));
        program.extend(body);
    }
    program.push(give(KILL));
    if program.len() > LONGEST {
        return Err(SeccompError::TooLong(program.len()));
    }
    let flags = profile.flags().iter().flatten().try_fold(0, |bits, flag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => Ok(bits | libc::SECCOMP_FILTER_FLAG_LOG as u32),
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => {
            Ok(bits | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32)
        }
        // There is one thread.
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => Ok(bits),
        other => Err(SeccompError::Flag(*other)),
    })?;
    Ok(Filter { program, flags })
}

/// Those that we have a table for; a program for another one is killed.
fn machines(architectures: &[Arch]) -> Vec<Machine> {
    let native = if cfg!(target_arch = "x86_64") { Machine::X86_64 } else { Machine::Aarch64 };
    let mut machines = Vec::new();
    for architecture in architectures {
        let machine = match architecture {
            Arch::ScmpArchNative => native,
            Arch::ScmpArchX86_64 | Arch::ScmpArchX32 => Machine::X86_64,
            Arch::ScmpArchX86 => Machine::I386,
            Arch::ScmpArchAarch64 => Machine::Aarch64,
            _ => continue,
        };
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    machines
}

fn answer(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, SeccompError> {
    match action {
        LinuxSeccompAction::ScmpActNotify => Err(SeccompError::Action(action)),
        _ => Ok(action.as_u32(errno)),
    }
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    /// The same whatever its arguments.
    Always(u32),
    /// The answer of the first rule that fits, or else the last field.
    First(Vec<(SeccompRule, u32)>, u32),
}

/// From this number on, up to the next segment.
#[derive(Debug)]
struct Segment {
    from: u32,
    decision: Decision,
}

/// All numbers, in as few segments as possible.
fn segments(machine: Machine, rules: &[LinuxSyscall], default: u32) -> Result<Vec<Segment>, SeccompError> {
    let mut decisions: BTreeMap<u32, Decision> = BTreeMap::new();
    for rule in rules {
        let action = answer(rule.action(), rule.errno_ret())?;
        let conditions = conditions(rule)?;
        for number in rule.names().iter().filter_map(|name| machine.number(name)) {
            let decision = decisions.entry(number).or_insert_with(|| Decision::First(Vec::new(), default));
            decision.add(&conditions, action);
        }
    }
    let mut segments = vec![Segment { from: 0, decision: Decision::Always(default) }];
    let mut next = 0;
    for (number, decision) in decisions {
        if number > next {
            extend(&mut segments, next, Decision::Always(default));
        }
        extend(&mut segments, number, decision);
        next = number + 1;
    }
    extend(&mut segments, next, Decision::Always(default));
    Ok(segments)
}

impl Decision {
    /// Adds a rule behind those that are there; behind one without conditions nothing counts.
    fn add(&mut self, conditions: &[SeccompRule], action: u32) {
        let Self::First(rules, otherwise) = self else { return };
        if !conditions.is_empty() {
            rules.extend(conditions.iter().map(|rule| (rule.clone(), action)));
        } else if rules.is_empty() {
            *self = Self::Always(action);
        } else {
            *otherwise = action;
        }
    }
}

fn extend(segments: &mut Vec<Segment>, from: u32, decision: Decision) {
    match segments.last_mut() {
        Some(last) if last.decision == decision => {}
        Some(last) if last.from == from => last.decision = decision,
        _ => segments.push(Segment { from, decision }),
    }
}

/// The conditions of a rule: all must hold. Two about the same argument are alternatives, as in
/// libseccomp's reading of the OCI spec by runc.
fn conditions(rule: &LinuxSyscall) -> Result<Vec<SeccompRule>, SeccompError> {
    let fail =
        |source| SeccompError::Rule { name: rule.names().first().cloned().unwrap_or_default(), source };
    let args = rule.args().as_deref().unwrap_or_default();
    let conditions = args.iter().map(condition).collect::<Result<Vec<_>, _>>().map_err(fail)?;
    let twice =
        args.iter().enumerate().any(|(at, arg)| args[..at].iter().any(|other| other.index() == arg.index()));
    if conditions.is_empty() {
        Ok(Vec::new())
    } else if twice {
        conditions.into_iter().map(|one| SeccompRule::new(vec![one]).map_err(fail)).collect()
    } else {
        Ok(vec![SeccompRule::new(conditions).map_err(fail)?])
    }
}

fn condition(arg: &LinuxSeccompArg) -> Result<SeccompCondition, seccompiler::BackendError> {
    let (op, value) = match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => (SeccompCmpOp::Ne, arg.value()),
        LinuxSeccompOperator::ScmpCmpLt => (SeccompCmpOp::Lt, arg.value()),
        LinuxSeccompOperator::ScmpCmpLe => (SeccompCmpOp::Le, arg.value()),
        LinuxSeccompOperator::ScmpCmpEq => (SeccompCmpOp::Eq, arg.value()),
        LinuxSeccompOperator::ScmpCmpGe => (SeccompCmpOp::Ge, arg.value()),
        LinuxSeccompOperator::ScmpCmpGt => (SeccompCmpOp::Gt, arg.value()),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (SeccompCmpOp::MaskedEq(arg.value()), arg.value_two().unwrap_or_default())
        }
    };
    let index = u8::try_from(arg.index()).unwrap_or(u8::MAX);
    SeccompCondition::new(index, SeccompCmpArgLen::Qword, op, value)
}

/// Searches the segment of the number that is loaded.
fn tree(segments: &[Segment]) -> BpfProgram {
    if let [only] = segments {
        return leaf(&only.decision);
    }
    let (low, high) = segments.split_at(segments.len() / 2);
    let below = tree(low);
    let mut program = vec![jump_if_at_least(high[0].from), jump(below.len())];
    program.extend(below);
    program.extend(tree(high));
    program
}

fn leaf(decision: &Decision) -> BpfProgram {
    match decision {
        Decision::Always(answer) => vec![give(*answer)],
        Decision::First(rules, otherwise) => {
            let mut program = Vec::new();
            for (rule, answer) in rules {
                // A rule that does not fit jumps over the one instruction behind it.
                program.extend(BpfProgram::from(rule.clone()));
                program.push(give(*answer));
            }
            program.push(give(*otherwise));
            program
        }
    }
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn give(answer: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: answer }
}

/// Passes over `count` instructions, of which there are at most [`LONGEST`].
fn jump(count: usize) -> sock_filter {
    let k = u32::try_from(count).unwrap_or(u32::MAX);
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JA) as u16, jt: 0, jf: 0, k }
}

fn jump_if_equal(k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k }
}

/// Takes the next instruction when the number is at least `k`, the one behind it otherwise.
fn jump_if_at_least(k: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16, jt: 0, jf: 1, k }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use oci_spec::runtime::Capability;

    use super::simulator::{Call, run};
    use super::*;
    use crate::caps;

    const ALLOW: u32 = 0x7fff_0000;
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;

    fn default_answer(capabilities: &[Capability], machine: Machine, name: &str, args: [u64; 6]) -> u32 {
        let filter =
            compile(&default_profile(&capabilities.iter().copied().collect::<HashSet<_>>())).unwrap();
        let number = machine.number(name).unwrap();
        run(&filter.program, Call { number, architecture: machine.audit(), args })
    }

    #[test]
    fn the_default_profile_answers_as_docker_s() {
        let first = |value| [value, 0, 0, 0, 0, 0];
        let table = [
            ("read", first(0), ALLOW),
            ("mount", first(0), EPERM),
            ("keyctl", first(0), EPERM),
            ("socket", first(2), ALLOW),
            ("socket", first(38), EPERM),
            ("socket", first(39), ALLOW),
            ("socket", first(40), EPERM),
            ("socket", first(41), ALLOW),
            ("personality", first(0xffff_ffff), ALLOW),
            ("personality", first(0x40000), EPERM),
            ("clone", first(0x0121_1200), ALLOW),
            ("clone", first(0x1000_0000), EPERM),
            ("clone3", first(0), ENOSYS),
            ("chroot", first(0), ALLOW),
            ("ptrace", first(0), ALLOW),
        ];
        for (name, args, expected) in table {
            let answer = default_answer(&caps::DEFAULT, Machine::X86_64, name, args);
            assert_eq!(answer, expected, "for {name} {args:?}");
        }
    }

    #[test]
    fn capabilities_open_calls() {
        for (name, expected) in [("mount", ALLOW), ("clone3", ALLOW), ("chroot", EPERM), ("reboot", EPERM)] {
            let answer = default_answer(&[Capability::SysAdmin], Machine::X86_64, name, [0; 6]);
            assert_eq!(answer, expected, "for {name}");
        }
    }

    #[test]
    fn other_tables_of_numbers_are_told_apart() {
        let filter = compile(&default_profile(&HashSet::from(caps::DEFAULT))).unwrap();
        let answer = |architecture, number| run(&filter.program, Call { number, architecture, args: [0; 6] });
        let (x86_64, i386) = (Machine::X86_64.audit(), Machine::I386.audit());

        assert_eq!(answer(i386, 21), EPERM, "mount of i386");
        assert_eq!(answer(x86_64, 21), ALLOW, "access of x86_64 has the same number");
        assert_eq!(answer(x86_64, 0x4000_0000), EPERM, "read of x32");
        assert_eq!(answer(x86_64, u32::MAX), EPERM);
        assert_eq!(answer(Machine::Aarch64.audit(), 0), KILL);
    }

    /// Every call of the table on every architecture, against the rules read one by one.
    #[test]
    fn the_program_agrees_with_the_rules() {
        let profile = default_profile(&HashSet::from(caps::DEFAULT));
        let filter = compile(&profile).unwrap();
        for machine in [Machine::X86_64, Machine::I386] {
            for number in 0..600 {
                let rules = profile.syscalls().iter().flatten();
                let plain = rules.filter(|rule| rule.args().is_none());
                let mut named =
                    plain.filter(|rule| rule.names().iter().any(|name| machine.number(name) == Some(number)));
                let Some(rule) = named.next_back() else { continue };
                let call = Call { number, architecture: machine.audit(), args: [0; 6] };
                assert_eq!(
                    run(&filter.program, call),
                    rule.action().as_u32(rule.errno_ret()),
                    "{machine:?} {number}"
                );
            }
        }
        assert!(filter.program.len() < 1000, "{} instructions", filter.program.len());
    }

    #[test]
    fn several_conditions_must_all_hold() {
        let profile: LinuxSeccomp = serde_json::from_value(serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7, "args": [
                {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 5, "op": "SCMP_CMP_GE"}
            ]}]
        }))
        .unwrap();
        let filter = compile(&profile).unwrap();
        let machine = machines(&[Arch::ScmpArchNative])[0];
        for (args, expected) in [([1, 5], 0x0005_0007), ([1, 4], ALLOW), ([2, 9], ALLOW)] {
            let call = Call {
                number: machine.number("ioctl").unwrap(),
                architecture: machine.audit(),
                args: [args[0], args[1], 0, 0, 0, 0],
            };
            assert_eq!(run(&filter.program, call), expected, "for {args:?}");
        }
    }

    #[test]
    fn what_needs_a_listener_is_refused() {
        let mut profile = default_profile(&HashSet::from(caps::DEFAULT));
        profile.set_default_action(LinuxSeccompAction::ScmpActNotify);
        assert!(matches!(compile(&profile), Err(SeccompError::Action(_))));
    }
}
