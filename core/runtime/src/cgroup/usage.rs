//! What a container uses, as the kernel counts it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Cgroup;

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Bytes, file cache included.
    pub memory: u64,
    /// Bytes; `None` is without limit.
    pub memory_limit: Option<u64>,
    /// Processor time of all its processes so far.
    pub cpu: Duration,
    /// Processes and threads.
    pub pids: u64,
    /// `None` is without limit.
    pub pids_limit: Option<u64>,
}

impl Cgroup {
    /// How often the kernel ended one of its processes because memory ran out.
    pub fn oom_kills(&self) -> u64 {
        let v1 = self
            .controller("memory")
            .and_then(|group| field(&group.path.join("memory.oom_control"), "oom_kill"));
        v1.or_else(|| field(&self.v2()?.path.join("memory.events"), "oom_kill")).unwrap_or(0)
    }

    /// What it uses now.
    pub fn stats(&self) -> Stats {
        let number = |controller: &str, v1: &str, v2: &str| {
            let v1 = self.controller(controller).and_then(|group| number(&group.path.join(v1)));
            v1.or_else(|| number(&self.v2()?.path.join(v2)))
        };
        let nanoseconds =
            self.controller("cpuacct").and_then(|group| self::number(&group.path.join("cpuacct.usage")));
        let cpu = nanoseconds.map(Duration::from_nanos);
        let cpu_v2 = || field(&self.v2()?.path.join("cpu.stat"), "usage_usec").map(Duration::from_micros);
        Stats {
            memory: number("memory", "memory.usage_in_bytes", "memory.current").unwrap_or(0),
            memory_limit: number("memory", "memory.limit_in_bytes", "memory.max")
                .filter(|limit| *limit < 1 << 62),
            cpu: cpu.or_else(cpu_v2).unwrap_or_default(),
            pids: number("pids", "pids.current", "pids.current").unwrap_or(0),
            pids_limit: number("pids", "pids.max", "pids.max"),
        }
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok())
}
