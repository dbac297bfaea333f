//! Control groups: what a container may use, and which processes are its own.
//!
//! ```text
//! v1      /sys/fs/cgroup/<controller>/wharf/<container id>/
//! v2      /sys/fs/cgroup/wharf/<container id>/
//! hybrid  the v1 directories, and /sys/fs/cgroup/unified/wharf/<container id>/ for kill and freeze
//! ```
//!
//! On v1 only the trees are joined that hold a limit or that `stats`, `pause` and `kill` need.
//! A group is removed when its last process is gone; the `wharf` directories go with the last one.

mod device;
mod error;
mod group;
mod hierarchy;
mod usage;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use oci_spec::runtime::LinuxResources;
use rustix::process::{Pid, PidfdFlags, Signal};

pub use error::CgroupError;
use group::{Group, processes, remove_tree};
pub(crate) use hierarchy::{Hierarchy, Kind};
pub use usage::Stats;
use write::Missing;

/// Trees of v1 that every container is in.
const ALWAYS: [&str; 6] = ["cpu", "cpuacct", "memory", "devices", "freezer", "pids"];
/// How long the kernel may take to let go of a group after its last process was killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A container's control group, in all trees.
#[derive(Debug, Clone)]
pub struct Cgroup {
    name: PathBuf,
    /// All of the host, also those that the group is not in.
    hierarchies: Vec<Hierarchy>,
    groups: Vec<Group>,
}

/// Where a process was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Born {
    /// In the v2 tree's group.
    Inside,
    /// Elsewhere.
    Outside,
}

impl Cgroup {
    /// Makes the group `name` (`wharf/<id>`) with these limits; one that is there gets the limits.
    ///
    /// # Errors
    /// When a directory cannot be made or a limit is refused. What was made is removed again.
    pub fn create(name: &str, resources: &LinuxResources) -> Result<Self, CgroupError> {
        let name = checked(name)?;
        let hierarchies = Hierarchy::all().map_err(CgroupError::Find)?;
        let writes = write::v1(resources);
        let needed = |hierarchy: &Hierarchy| {
            hierarchy.kind == Kind::V2
                || ALWAYS.iter().any(|controller| hierarchy.has(controller))
                || writes.iter().any(|write| hierarchy.has(write.controller))
        };
        let groups = hierarchies.iter().filter(|hierarchy| needed(hierarchy));
        let groups = groups.map(|hierarchy| Group::of(hierarchy, &name)).collect();
        let cgroup = Self { name, hierarchies, groups };
        let v2_only = cgroup.is_v2_only();
        let made = cgroup.groups.iter().try_for_each(|group| group.make(v2_only));
        let made = made.and_then(|()| cgroup.update(resources));
        match made {
            Ok(()) => Ok(cgroup),
            Err(err) => {
                // The reason of the failure is worth more than that of the clean-up's.
                let _ = cgroup.remove();
                Err(err)
            }
        }
    }

    /// The group `name`, in those trees that have it.
    ///
    /// # Errors
    /// When the host's trees cannot be listed.
    pub fn open(name: &str) -> Result<Self, CgroupError> {
        let name = checked(name)?;
        let hierarchies = Hierarchy::all().map_err(CgroupError::Find)?;
        let groups = hierarchies.iter().map(|hierarchy| Group::of(hierarchy, &name));
        let groups = groups.filter(|group| group.path.is_dir()).collect();
        Ok(Self { name, hierarchies, groups })
    }

    /// Sets limits; those that `resources` does not name stay.
    ///
    /// # Errors
    /// When one is refused.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        if self.is_v2_only() {
            let group = &self.groups[0];
            for write in write::v2(resources) {
                group.set(&write)?;
            }
            return device::apply(&group.path, resources.devices().as_deref().unwrap_or_default())
                .map_err(|source| CgroupError::Devices { path: group.path.clone(), source });
        }
        for write in write::v1(resources) {
            match self.groups.iter().find(|group| group.hierarchy.has(write.controller)) {
                Some(group) => group.set(&write)?,
                None if write.missing == Missing::Ignore => {}
                None => {
                    return Err(CgroupError::NoController { controller: write.controller, file: write.file });
                }
            }
        }
        Ok(())
    }

    /// Moves process `pid` into the group.
    ///
    /// # Errors
    /// When there is no such process or a limit does not let it in.
    pub fn add(&self, pid: i32) -> Result<(), CgroupError> {
        for group in &self.groups {
            let path = group.path.join("cgroup.procs");
            group::put(&path, pid.to_string()).map_err(|source| CgroupError::Limit {
                path,
                value: pid.to_string(),
                source,
            })?;
        }
        Ok(())
    }

    /// Moves the calling process, which has one thread, into the group.
    ///
    /// `born` says that it was made in the v2 tree's group. On v1 the thread is moved rather than the
    /// process: for a thread that moves itself the kernel does not wait for all processors, which
    /// takes it milliseconds.
    pub(crate) fn join(&self, born: Born) -> Result<(), (PathBuf, io::Error)> {
        for group in &self.groups {
            let file = match (&group.hierarchy.kind, born) {
                (Kind::V2, Born::Inside) => continue,
                (Kind::V2, Born::Outside) => "cgroup.procs",
                (Kind::V1 { .. }, _) => "tasks",
            };
            let path = group.path.join(file);
            group::put(&path, "0").map_err(|source| (path, source))?;
        }
        Ok(())
    }

    /// The v2 tree's directory, for a process to be made in.
    pub(crate) fn birthplace(&self) -> Option<fs::File> {
        fs::File::open(&self.v2()?.path).ok()
    }

    /// All trees of this host, with the group's directory where it has one.
    pub(crate) fn trees(&self) -> impl Iterator<Item = (&Hierarchy, Option<&Path>)> {
        let of = |hierarchy: &Hierarchy| self.groups.iter().find(|group| group.hierarchy == *hierarchy);
        self.hierarchies
            .iter()
            .map(move |hierarchy| (hierarchy, of(hierarchy).map(|group| group.path.as_path())))
    }

    /// The processes in it and below.
    ///
    /// # Errors
    /// When a list cannot be read.
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        self.main().map_or(Ok(Vec::new()), |group| processes(&group.path))
    }

    /// Kills every process in it and waits until all are gone.
    ///
    /// # Errors
    /// When some do not end.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let Some(group) = self.main() else { return Ok(()) };
        let until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(200);
        loop {
            let pids = processes(&group.path)?;
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(CgroupError::Alive { path: group.path.clone() });
            }
            if group::put(&group.path.join("cgroup.kill"), "1").is_err() {
                pids.into_iter().for_each(kill_one);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Stops every process in it.
    ///
    /// # Errors
    /// When the host has no freezer.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen("1", "FROZEN")
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// When the host has no freezer.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen("0", "THAWED")
    }

    /// Whether its processes are held still, or about to be. Whoever joins them then is held too.
    pub fn is_frozen(&self) -> bool {
        let starts = |path, what: &str| fs::read_to_string(path).is_ok_and(|state| state.starts_with(what));
        self.groups.iter().any(|group| {
            if group.hierarchy.has("freezer") {
                starts(group.path.join("freezer.state"), "FR")
            } else {
                group.hierarchy.kind == Kind::V2 && starts(group.path.join("cgroup.freeze"), "1")
            }
        })
    }

    fn set_frozen(&self, v2: &str, v1: &str) -> Result<(), CgroupError> {
        let (path, value) =
            if let Some(group) = self.groups.iter().find(|group| group.hierarchy.has("freezer")) {
                (group.path.join("freezer.state"), v1)
            } else if let Some(group) = self.groups.iter().find(|group| group.hierarchy.kind == Kind::V2) {
                (group.path.join("cgroup.freeze"), v2)
            } else {
                return Err(CgroupError::NoController {
                    controller: "freezer",
                    file: "freezer.state".to_owned(),
                });
            };
        group::put(&path, value).map_err(|source| CgroupError::Limit {
            path,
            value: value.to_owned(),
            source,
        })
    }

    /// Removes the group, and directories above it that it leaves empty. A missing one is fine.
    ///
    /// # Errors
    /// When processes are still in it after some patience.
    pub fn remove(&self) -> Result<(), CgroupError> {
        for group in &self.groups {
            remove_tree(&group.path, Instant::now() + PATIENCE)
                .map_err(|source| CgroupError::Remove { path: group.path.clone(), source })?;
            for parent in self.name.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
                // Another container's group is in it: then it stays.
                let _ = fs::remove_dir(group.hierarchy.mount.join(parent));
            }
        }
        Ok(())
    }

    fn controller(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.hierarchy.has(name))
    }

    fn v2(&self) -> Option<&Group> {
        self.groups.iter().find(|group| group.hierarchy.kind == Kind::V2)
    }

    /// The tree that can kill a whole group where there is one, otherwise any.
    fn main(&self) -> Option<&Group> {
        self.v2().or_else(|| self.groups.first())
    }

    fn is_v2_only(&self) -> bool {
        matches!(self.groups.as_slice(), [only] if only.hierarchy.kind == Kind::V2)
    }
}

fn checked(name: &str) -> Result<PathBuf, CgroupError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    let fine = name.split('/').all(plain);
    if fine { Ok(PathBuf::from(name)) } else { Err(CgroupError::Name(name.to_owned())) }
}

/// Kills one process; through a descriptor, so that a reused number is not hit after this line.
fn kill_one(pid: i32) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    if let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        // It may be gone: then there is nothing to do.
        let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_tree() {
        for name in ["", "/wharf", "wharf/..", "a//b", "a/./b"] {
            assert!(matches!(checked(name), Err(CgroupError::Name(_))), "for {name:?}");
        }
        assert_eq!(checked("wharf/12").unwrap(), Path::new("wharf/12"));
    }

    #[test]
    fn privileged_a_group_is_made_limited_and_removed() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let name = format!("wharf-unit-{}/one", std::process::id());
        let resources = serde_json::from_value(serde_json::json!({
            "memory": {"limit": 67_108_864, "swap": 134_217_728}, "pids": {"limit": 11}, "blockIO": {"weight": 300},
            "cpu": {"quota": 50_000, "period": 100_000, "cpus": "0"}
        }))
        .unwrap();

        let cgroup = Cgroup::create(&name, &resources).unwrap();

        assert_eq!(cgroup.stats().memory_limit, Some(67_108_864));
        assert_eq!(cgroup.stats().pids_limit, Some(11));
        assert!(cgroup.pids().unwrap().is_empty());
        assert_eq!(Cgroup::open(&name).unwrap().groups.len(), cgroup.groups.len());
        cgroup.remove().unwrap();
        assert!(Cgroup::open(&name).unwrap().groups.is_empty());
        assert!(Cgroup::open(&format!("wharf-unit-{}", std::process::id())).unwrap().groups.is_empty());
    }

    #[test]
    fn privileged_killing_a_group_ends_its_processes() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let cgroup =
            Cgroup::create(&format!("wharf-unit-{}/two", std::process::id()), &LinuxResources::default())
                .unwrap();
        let mut sleeper = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        cgroup.add(i32::try_from(sleeper.id()).unwrap()).unwrap();
        assert_eq!(cgroup.pids().unwrap().len(), 1);
        let reaper = thread::spawn(move || sleeper.wait().unwrap());

        cgroup.kill().unwrap();

        assert!(!reaper.join().unwrap().success());
        cgroup.remove().unwrap();
    }
}
