//! Resource limits (`setrlimit`) and the out-of-memory score of a process.
//!
//! Raising a hard limit needs `CAP_SYS_RESOURCE`, which an engine inside of a container may lack.
//! A limit that is one of our own defaults is then lowered to what may be had; one that the user
//! asked for is an error, never silently another number.

use std::fs;

use oci_spec::runtime::{PosixRlimit, PosixRlimitType};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::defaults;
use crate::message::{Failure, Named};

/// Sets the limits of this process.
pub(crate) fn apply(limits: &[PosixRlimit]) -> Result<(), Failure> {
    limits.iter().try_for_each(apply_one)
}

fn apply_one(limit: &PosixRlimit) -> Result<(), Failure> {
    let step = "set a resource limit";
    let name = format!("{:?}", limit.typ());
    let Some(resource) = resource(limit.typ()) else {
        return Err(Failure::text(step, None, format!("{name} is not a limit we know")));
    };
    let wanted = Rlimit { current: known(limit.soft()), maximum: known(limit.hard()) };
    match setrlimit(resource, wanted) {
        Err(Errno::PERM) if defaults::rlimits().contains(limit) => {
            let most = getrlimit(resource).maximum;
            setrlimit(resource, Rlimit { current: least(wanted.current, most), maximum: most }).step(step)
        }
        Err(Errno::PERM) => Err(Failure::text(
            step,
            None,
            format!(
                "{name} {}:{} is above the hard limit {} of the engine itself, and raising it needs CAP_SYS_RESOURCE",
                limit.soft(),
                limit.hard(),
                getrlimit(resource).maximum.map_or_else(|| "unlimited".to_owned(), |most| most.to_string()),
            ),
        )),
        other => other.step(step),
    }
}

/// The spec's number for "unlimited" is the kernel's.
fn known(value: u64) -> Option<u64> {
    (value != u64::MAX).then_some(value)
}

/// `None` is without limit.
fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn resource(kind: PosixRlimitType) -> Option<Resource> {
    Some(match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    })
}

/// Says how willingly the kernel ends this process when memory runs out.
pub(crate) fn oom_score_adj(score: i32) -> Result<(), Failure> {
    let path = "/proc/self/oom_score_adj";
    let step = "set the out-of-memory score";
    let now = fs::read_to_string(path).at(step, path)?;
    if now.trim().parse() == Ok(score) { Ok(()) } else { fs::write(path, score.to_string()).at(step, path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_limit_wins() {
        for (one, other, least_of) in [
            (Some(1), Some(2), Some(1)),
            (None, Some(2), Some(2)),
            (Some(3), None, Some(3)),
            (None, None, None),
        ] {
            assert_eq!(least(one, other), least_of);
        }
    }
}
