//! Kernel settings of a container: only those that its own namespaces hold.
//!
//! They are written through a procfs of our own that is mounted nowhere, so that nothing in the
//! container's tree can redirect the write (CVE-2025-52881).

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxNamespaceType};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::file_system;
use crate::message::{Failure, Named};

const STEP: &str = "set a kernel setting";

/// Settings of the interprocess communication namespace, besides `fs.mqueue.*`.
const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

/// Writes the settings of the spec.
pub(super) fn apply(linux: &Linux) -> Result<(), Failure> {
    let Some(settings) = linux.sysctl().as_ref().filter(|settings| !settings.is_empty()) else {
        return Ok(());
    };
    let proc = file_system::create("proc", &[], 0).step(STEP)?;
    // Sorted: the same spec fails at the same setting.
    let mut settings: Vec<_> = settings.iter().collect();
    settings.sort_unstable();
    for (key, value) in settings {
        let path = check(key, linux).map_err(|text| Failure::text(STEP, None, text))?;
        let mut file = std::fs::File::from(open(&proc, &path).at(STEP, &path)?);
        file.write_all(value.as_bytes()).at(STEP, &path)?;
    }
    Ok(())
}

fn open(proc: &OwnedFd, path: &std::path::Path) -> rustix::io::Result<OwnedFd> {
    let inside = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), inside)
}

/// The file of a key, when the container has the namespace it belongs to.
fn check(key: &str, linux: &Linux) -> Result<PathBuf, String> {
    let path = path(key).ok_or_else(|| format!("`{key}` is not a name of a kernel setting"))?;
    let has = |kind| linux.namespaces().iter().flatten().any(|namespace| namespace.typ() == kind);
    let own = if path.starts_with("net/") {
        has(LinuxNamespaceType::Network)
    } else if path.starts_with("fs/mqueue/") || IPC.contains(&path.as_str()) {
        has(LinuxNamespaceType::Ipc)
    } else if path == "kernel/domainname" {
        has(LinuxNamespaceType::Uts)
    } else {
        return Err(format!("`{key}` is not kept by any namespace: it would change the host"));
    };
    if own {
        Ok(PathBuf::from(format!("sys/{path}")))
    } else {
        Err(format!("`{key}` would change the host, whose namespace the container shares"))
    }
}

/// `net.ipv4.conf.eth0/1.mtu` or `net/ipv4/conf/eth0.1/mtu`: the first separator decides which one
/// separates, as in sysctl(8).
fn path(key: &str) -> Option<String> {
    let slashes = match key.find(['.', '/']).map(|at| key.as_bytes()[at]) {
        Some(b'/') => key.to_owned(),
        Some(_) => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        None => return None,
    };
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    slashes.split('/').all(plain).then_some(slashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_two_spellings_and_no_tricks() {
        for (key, expected) in [
            ("net.ipv4.ip_forward", Some("net/ipv4/ip_forward")),
            ("net/ipv4/conf/eth0.1/mtu", Some("net/ipv4/conf/eth0.1/mtu")),
            ("net.ipv4.conf.eth0/1.mtu", Some("net/ipv4/conf/eth0.1/mtu")),
            ("net/../kernel/core_pattern", None),
            ("net...kernel", None),
            ("plain", None),
        ] {
            assert_eq!(path(key).as_deref(), expected, "for {key}");
        }
    }

    #[test]
    fn settings_of_the_host_are_refused() {
        let mut linux = Linux::default();
        linux.set_namespaces(Some(Vec::new()));
        for key in ["kernel.core_pattern", "net.ipv4.ip_forward", "vm.swappiness", "kernel.shmmax"] {
            assert!(check(key, &linux).is_err(), "for {key}");
        }
        linux.set_namespaces(Some(crate::defaults::namespaces()));
        assert!(check("net.ipv4.ip_forward", &linux).is_ok());
        assert!(check("kernel.core_pattern", &linux).is_err());
    }
}
