//! Where this host's control groups are: one tree with all controllers (v2), one for each
//! controller (v1), or both (hybrid).

use std::io;
use std::path::PathBuf;

/// Controllers of v1 that we know; other words of a mount's options are not controllers.
const CONTROLLERS: [&str; 14] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
];

/// One tree of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// What is in it.
    pub(crate) kind: Kind,
}

/// What is in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Some controllers, or none and a name (`name=systemd`).
    V1 {
        /// As in the mount's options.
        controllers: Vec<String>,
        /// Of a tree without controllers.
        name: Option<String>,
    },
    /// The one tree of v2; its controllers are in its files.
    V2,
}

impl Hierarchy {
    /// Whether it is a v1 tree with this controller.
    pub(crate) fn has(&self, controller: &str) -> bool {
        matches!(&self.kind, Kind::V1 { controllers, .. } if controllers.iter().any(|one| one == controller))
    }

    /// All trees of this host.
    pub(crate) fn all() -> io::Result<Vec<Self>> {
        Ok(parse(&std::fs::read_to_string("/proc/self/mountinfo")?))
    }
}

/// Reads `mountinfo`; of a tree that is mounted twice, the first.
fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for hierarchy in mountinfo.lines().filter_map(parse_line) {
        if !found.iter().any(|known| known.kind == hierarchy.kind) {
            found.push(hierarchy);
        }
    }
    found
}

fn parse_line(line: &str) -> Option<Hierarchy> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mount = PathBuf::from(mount.split(' ').nth(4)?);
    let mut fields = file_system.split(' ');
    let kind = match fields.next()? {
        "cgroup2" => Kind::V2,
        "cgroup" => {
            let options: Vec<_> = fields.nth(1)?.split(',').collect();
            let known = options.iter().filter(|option| CONTROLLERS.contains(option));
            let name = options.iter().find_map(|option| option.strip_prefix("name="));
            Kind::V1 {
                controllers: known.map(|one| (*one).to_owned()).collect(),
                name: name.map(str::to_owned),
            }
        }
        _ => return None,
    };
    Some(Hierarchy { mount, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_host_has_both_kinds() {
        let text = "\
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct
33 31 0:29 / /mnt/again rw,relatime - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";
        let found = parse(text);

        let mounts: Vec<_> = found.iter().map(|one| one.mount.to_str().unwrap()).collect();
        assert_eq!(
            mounts,
            ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"]
        );
        assert!(found[0].has("cpuacct") && !found[0].has("memory"));
        assert_eq!(found[2].kind, Kind::V2);
    }
}
