//! What a container gets when nobody asked for anything else: docker's mounts, masks and limits.

use std::fs;
use std::path::PathBuf;

use oci_spec::runtime::{
    LinuxDeviceCgroup, LinuxDeviceType, LinuxNamespace, LinuxNamespaceType, Mount, PosixRlimit,
    PosixRlimitBuilder, PosixRlimitType,
};

/// Where programs are looked up when neither image nor user says.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Files and directories that show or change the host.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths a container does not see: files read as empty, directories are.
pub fn masked_paths() -> Vec<String> {
    MASKED.iter().map(|path| (*path).to_owned()).chain(thermal_throttles()).collect()
}

/// A side channel on other people's work; one directory for each processor.
fn thermal_throttles() -> impl Iterator<Item = String> {
    let cpus = fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    let names = cpus.filter_map(|cpu| cpu.file_name().into_string().ok());
    let is_cpu = |name: &String| {
        name.strip_prefix("cpu").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut names: Vec<_> = names.filter(is_cpu).collect();
    names.sort_unstable();
    names.into_iter().map(|cpu| format!("/sys/devices/system/cpu/{cpu}/thermal_throttle"))
}

/// Paths a container sees and cannot change.
pub fn readonly_paths() -> Vec<String> {
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"].map(str::to_owned).to_vec()
}

/// What is mounted before the user's own mounts, in this order.
pub fn mounts() -> Vec<Mount> {
    const PLAIN: [&str; 3] = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| [&PLAIN, more].concat();
    vec![
        mount("/proc", "proc", &PLAIN),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", &with(&["ro"])),
        mount("/sys/fs/cgroup", "cgroup", &with(&["ro", "relatime"])),
        mount("/dev/mqueue", "mqueue", &PLAIN),
        mount("/dev/shm", "tmpfs", &with(&["mode=1777", "size=65536k"])),
    ]
}

fn mount(destination: &str, kind: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(PathBuf::from(kind)))
        .set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    mount
}

/// The namespaces a container has for itself.
pub fn namespaces() -> Vec<LinuxNamespace> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Time, Uts};
    let own = |kind| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind);
        namespace
    };
    [Mount, Network, Uts, Pid, Ipc, Cgroup, Time].map(own).to_vec()
}

/// Which devices may be used: everything denied, then these; `mknod` of any is harmless then.
pub fn devices() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::{A, B, C};
    let rules = [
        (false, A, None, None, "rwm"),
        (true, C, None, None, "m"),
        (true, B, None, None, "m"),
        (true, C, Some(1), Some(3), "rwm"),
        (true, C, Some(1), Some(5), "rwm"),
        (true, C, Some(1), Some(7), "rwm"),
        (true, C, Some(1), Some(8), "rwm"),
        (true, C, Some(1), Some(9), "rwm"),
        (true, C, Some(5), Some(0), "rwm"),
        (true, C, Some(5), Some(1), "rwm"),
        (true, C, Some(5), Some(2), "rwm"),
        (true, C, Some(136), None, "rwm"),
    ];
    rules.map(|(allow, kind, major, minor, access)| device(allow, kind, major, minor, access)).to_vec()
}

fn device(
    allow: bool,
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut device = LinuxDeviceCgroup::default();
    device
        .set_allow(allow)
        .set_typ(Some(kind))
        .set_major(major)
        .set_minor(minor)
        .set_access(Some(access.to_owned()));
    device
}

/// Kernel settings of a container with a network namespace of its own: every user may listen on
/// every port and ping.
pub fn sysctl() -> Vec<(String, String)> {
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
}

/// Limits that do not depend on the shell that started the engine.
pub fn rlimits() -> Vec<PosixRlimit> {
    let files =
        PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).soft(1024_u64).hard(524_288_u64);
    vec![files.build().expect("every field has a default")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_have_every_processor() {
        let masked = masked_paths();
        assert!(masked.len() > MASKED.len());
        assert!(masked.contains(&"/sys/devices/system/cpu/cpu0/thermal_throttle".to_owned()));
    }

    #[test]
    fn devices_are_denied_before_some_are_allowed() {
        let devices = devices();
        assert!(!devices[0].allow());
        assert!(devices[1..].iter().all(LinuxDeviceCgroup::allow));
    }
}
