//! Which number goes to which file: the OCI resources as a list of writes, decided before anything
//! is written.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

/// One value for one file of one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// Whose file.
    pub(crate) controller: &'static str,
    /// Below the group's directory.
    pub(crate) file: String,
    /// What is written.
    pub(crate) value: String,
    /// What to do when the kernel has no such file.
    pub(crate) missing: Missing,
}

/// What to do when the kernel has no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The limit was asked for: say so.
    Refuse,
    /// It is a wish (weights of I/O) or needs an accounting that many kernels are built without (swap).
    Ignore,
}

fn write(controller: &'static str, file: &str, value: impl ToString) -> Write {
    Write { controller, file: file.to_owned(), value: value.to_string(), missing: Missing::Refuse }
}

fn wish(controller: &'static str, file: &str, value: impl ToString) -> Write {
    Write { missing: Missing::Ignore, ..write(controller, file, value) }
}

/// For v1: the controller is also the name of its tree.
pub(crate) fn v1(resources: &LinuxResources) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(memory) = resources.memory() {
        writes.extend(memory_v1(memory));
    }
    if let Some(cpu) = resources.cpu() {
        writes.extend(cpu_v1(cpu));
    }
    if let Some(pids) = resources.pids() {
        writes.push(write("pids", "pids.max", limit(pids.limit())));
    }
    if let Some(io) = resources.block_io() {
        writes.extend(io_v1(io));
    }
    for page in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.limit_in_bytes", page.page_size());
        writes.push(write("hugetlb", &file, page.limit()));
    }
    for rule in resources.devices().iter().flatten() {
        let file = if rule.allow() { "devices.allow" } else { "devices.deny" };
        writes.push(write("devices", file, rule));
    }
    writes
}

fn memory_v1(memory: &LinuxMemory) -> Vec<Write> {
    let some = |file: &str, value: Option<i64>| value.map(|value| write("memory", file, value));
    let limit = some("memory.limit_in_bytes", memory.limit());
    let swap = memory.swap().map(|value| wish("memory", "memory.memsw.limit_in_bytes", value));
    let reservation = some("memory.soft_limit_in_bytes", memory.reservation());
    let swappiness = memory.swappiness().map(|value| write("memory", "memory.swappiness", value));
    let oom = (memory.disable_oom_killer() == Some(true)).then(|| write("memory", "memory.oom_control", 1));
    [limit, swap, reservation, swappiness, oom].into_iter().flatten().collect()
}

fn cpu_v1(cpu: &LinuxCpu) -> Vec<Write> {
    let shares = cpu.shares().map(|value| write("cpu", "cpu.shares", value));
    let period = cpu.period().map(|value| write("cpu", "cpu.cfs_period_us", value));
    let quota = cpu.quota().map(|value| write("cpu", "cpu.cfs_quota_us", value));
    let cpus = cpu.cpus().as_ref().map(|value| write("cpuset", "cpuset.cpus", value));
    let mems = cpu.mems().as_ref().map(|value| write("cpuset", "cpuset.mems", value));
    [shares, period, quota, cpus, mems].into_iter().flatten().collect()
}

fn io_v1(io: &LinuxBlockIo) -> Vec<Write> {
    let mut writes: Vec<_> =
        io.weight().map(|value| wish("blkio", "blkio.weight", value)).into_iter().collect();
    for (file, devices) in throttles(io) {
        for device in devices {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            writes.push(write("blkio", &format!("blkio.throttle.{file}"), value));
        }
    }
    writes
}

fn throttles(io: &LinuxBlockIo) -> [(&'static str, &[LinuxThrottleDevice]); 4] {
    [
        ("read_bps_device", io.throttle_read_bps_device().as_deref().unwrap_or_default()),
        ("write_bps_device", io.throttle_write_bps_device().as_deref().unwrap_or_default()),
        ("read_iops_device", io.throttle_read_iops_device().as_deref().unwrap_or_default()),
        ("write_iops_device", io.throttle_write_iops_device().as_deref().unwrap_or_default()),
    ]
}

/// For v2, all in one directory.
pub(crate) fn v2(resources: &LinuxResources) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(memory) = resources.memory() {
        writes.extend(memory_v2(memory));
    }
    if let Some(cpu) = resources.cpu() {
        writes.extend(cpu_v2(cpu));
    }
    if let Some(pids) = resources.pids() {
        writes.push(write("pids", "pids.max", limit(pids.limit())));
    }
    if let Some(io) = resources.block_io() {
        writes.extend(io_v2(io));
    }
    for page in resources.hugepage_limits().iter().flatten() {
        writes.push(write("hugetlb", &format!("hugetlb.{}.max", page.page_size()), page.limit()));
    }
    for (file, value) in resources.unified().iter().flatten() {
        writes.push(write("unified", file, value));
    }
    writes
}

fn memory_v2(memory: &LinuxMemory) -> Vec<Write> {
    let max = memory.limit().map(|value| write("memory", "memory.max", limit(value)));
    let swap = swap_v2(memory).map(|value| wish("memory", "memory.swap.max", limit(value)));
    let low = memory.reservation().map(|value| write("memory", "memory.low", limit(value)));
    [max, swap, low].into_iter().flatten().collect()
}

/// OCI counts memory and swap together, v2 swap alone.
fn swap_v2(memory: &LinuxMemory) -> Option<i64> {
    match (memory.swap()?, memory.limit()) {
        (-1, _) => Some(-1),
        (total, Some(limit)) if limit > 0 => Some(total.saturating_sub(limit).max(0)),
        _ => None,
    }
}

fn cpu_v2(cpu: &LinuxCpu) -> Vec<Write> {
    let weight =
        cpu.shares().filter(|shares| *shares != 0).map(|shares| write("cpu", "cpu.weight", weight(shares)));
    let quota =
        cpu.quota().filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
    let limited = cpu.quota().is_some() || cpu.period().is_some();
    let period = cpu.period().unwrap_or(100_000);
    let max = limited.then(|| write("cpu", "cpu.max", format!("{quota} {period}")));
    let cpus = cpu.cpus().as_ref().map(|value| write("cpuset", "cpuset.cpus", value));
    let mems = cpu.mems().as_ref().map(|value| write("cpuset", "cpuset.mems", value));
    [weight, max, cpus, mems].into_iter().flatten().collect()
}

/// Shares of v1 (2 to 262144) as a weight of v2 (1 to 10000), as the OCI runtimes convert them.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn io_v2(io: &LinuxBlockIo) -> Vec<Write> {
    let mut writes: Vec<_> = io.weight().map(|value| wish("io", "io.weight", value)).into_iter().collect();
    let keys = ["rbps", "wbps", "riops", "wiops"];
    for (key, (_, devices)) in keys.into_iter().zip(throttles(io)) {
        for device in devices {
            let value = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
            writes.push(write("io", "io.max", value));
        }
    }
    writes
}

/// v2 and the pids controller write "no limit" as a word.
fn limit(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(json: serde_json::Value) -> LinuxResources {
        serde_json::from_value(json).unwrap()
    }

    fn lines(writes: &[Write]) -> Vec<String> {
        writes.iter().map(|write| format!("{} {}", write.file, write.value)).collect()
    }

    #[test]
    fn limits_of_v1() {
        let resources = resources(serde_json::json!({
            "memory": {"limit": 67_108_864, "swap": 134_217_728}, "cpu": {"quota": 150_000, "period": 100_000},
            "pids": {"limit": 0 }, "devices": [{"allow": false, "access": "rwm"}]
        }));
        let expected = [
            "memory.limit_in_bytes 67108864",
            "memory.memsw.limit_in_bytes 134217728",
            "cpu.cfs_period_us 100000",
            "cpu.cfs_quota_us 150000",
            "pids.max 0",
            "devices.deny a *:* rwm",
        ];
        assert_eq!(lines(&v1(&resources)), expected);
    }

    #[test]
    fn limits_of_v2() {
        let resources = resources(serde_json::json!({
            "memory": {"limit": 100, "swap": 300}, "cpu": {"quota": 150_000, "shares": 1024}, "pids": {"limit": -1}
        }));
        let expected = [
            "memory.max 100",
            "memory.swap.max 200",
            "cpu.weight 39",
            "cpu.max 150000 100000",
            "pids.max max",
        ];
        assert_eq!(lines(&v2(&resources)), expected);
    }

    #[test]
    fn shares_become_weights() {
        for (shares, expected) in [(2, 1), (1024, 39), (262_144, 10_000), (1, 1), (u64::MAX, 10_000)] {
            assert_eq!(weight(shares), expected, "for {shares}");
        }
    }
}
