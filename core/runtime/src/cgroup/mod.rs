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
mod hierarchy;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use oci_spec::runtime::LinuxResources;
use rustix::process::{Pid, PidfdFlags, Signal};

pub(crate) use hierarchy::{Hierarchy, Kind};
use write::{Missing, Write};

/// Trees of v1 that every container is in.
const ALWAYS: [&str; 6] = ["cpu", "cpuacct", "memory", "devices", "freezer", "pids"];
/// How long the kernel may take to let go of a group after its last process was killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a control group could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Names come from the engine; a bad one would leave the directory.
    #[error("`{0}` is not a name of a control group")]
    Name(String),
    /// Nothing to work with.
    #[error("cannot find the control groups of this host")]
    Find(#[source] io::Error),
    /// A directory could not be made.
    #[error("cannot make control group {path}", path = .path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The host lacks a controller that a limit needs.
    #[error("cannot set {file}: this host has no {controller} controller")]
    NoController {
        /// Which controller.
        controller: &'static str,
        /// What it would be needed for.
        file: String,
    },
    /// A limit was refused.
    #[error("cannot write `{value}` to {path}", path = .path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// Why.
        source: io::Error,
    },
    /// A device filter of v2 was refused.
    #[error("cannot filter the devices of control group {path}", path = .path.display())]
    Devices {
        /// Whose.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Processes are still in it.
    #[error("processes of control group {path} do not end", path = .path.display())]
    Alive {
        /// Which.
        path: PathBuf,
    },
    /// The directory could not be removed.
    #[error("cannot remove control group {path}", path = .path.display())]
    Remove {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A container's control group, in all trees.
#[derive(Debug, Clone)]
pub struct Cgroup {
    name: PathBuf,
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

/// Its directory in one tree.
#[derive(Debug, Clone)]
struct Group {
    path: PathBuf,
    hierarchy: Hierarchy,
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
        let groups = hierarchies.into_iter().filter(needed);
        let groups = groups.map(|hierarchy| Group { path: hierarchy.mount.join(&name), hierarchy }).collect();
        let cgroup = Self { name, groups };
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
        let groups =
            hierarchies.into_iter().map(|hierarchy| Group { path: hierarchy.mount.join(&name), hierarchy });
        let groups = groups.filter(|group| group.path.is_dir()).collect();
        Ok(Self { name, groups })
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
            fs::write(&path, pid.to_string()).map_err(|source| CgroupError::Limit {
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
            fs::write(&path, "0").map_err(|source| (path, source))?;
        }
        Ok(())
    }

    /// The v2 tree's directory, for a process to be made in.
    pub(crate) fn birthplace(&self) -> Option<fs::File> {
        fs::File::open(&self.v2()?.path).ok()
    }

    /// All trees of this host, with the group's directory where it has one.
    pub(crate) fn trees(&self) -> io::Result<Vec<(Hierarchy, Option<PathBuf>)>> {
        let of = |hierarchy: &Hierarchy| {
            self.groups.iter().find(|group| group.hierarchy == *hierarchy).map(|group| group.path.clone())
        };
        Ok(Hierarchy::all()?.into_iter().map(|hierarchy| (hierarchy.clone(), of(&hierarchy))).collect())
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
            if fs::write(group.path.join("cgroup.kill"), "1").is_err() {
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
        fs::write(&path, value).map_err(|source| CgroupError::Limit { path, value: value.to_owned(), source })
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

impl Group {
    /// Makes the directory and, where v2 has the limits, hands the controllers down.
    ///
    /// Another container that ends may remove the empty parent in between: then again.
    fn make(&self, v2_only: bool) -> Result<(), CgroupError> {
        let fail = |source| CgroupError::Make { path: self.path.clone(), source };
        for _ in 0..100 {
            match fs::create_dir_all(&self.path) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                other => {
                    other.map_err(fail)?;
                    return self.delegate(v2_only).map_err(fail);
                }
            }
        }
        Err(fail(io::Error::from(io::ErrorKind::NotFound)))
    }

    fn delegate(&self, v2_only: bool) -> io::Result<()> {
        let name = self.path.strip_prefix(&self.hierarchy.mount).unwrap_or(Path::new(""));
        match self.hierarchy.kind {
            Kind::V2 if v2_only => {
                let mut parents: Vec<_> = name.ancestors().skip(1).collect();
                parents.reverse();
                for parent in parents {
                    enable_controllers(&self.hierarchy.mount.join(parent))?;
                }
                Ok(())
            }
            // A new group of this controller has no processors and no memory: nothing could join.
            Kind::V1 { .. } if self.hierarchy.has("cpuset") => {
                let mut groups: Vec<_> =
                    name.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
                groups.reverse();
                groups.into_iter().try_for_each(|group| inherit_cpuset(&self.hierarchy.mount.join(group)))
            }
            Kind::V1 { .. } | Kind::V2 => Ok(()),
        }
    }

    fn set(&self, write: &Write) -> Result<(), CgroupError> {
        let path = self.path.join(&write.file);
        if write.file.contains('/') || write.file.contains("..") {
            return Err(CgroupError::Name(write.file.clone()));
        }
        match fs::write(&path, &write.value) {
            Err(err) if err.kind() == io::ErrorKind::NotFound && write.missing == Missing::Ignore => Ok(()),
            // memory + swap may not be below memory: where both grow, the sum goes first.
            Err(_) if write.file == "memory.limit_in_bytes" => {
                let _ = fs::write(self.path.join("memory.memsw.limit_in_bytes"), &write.value);
                fs::write(&path, &write.value)
            }
            other => other,
        }
        .map_err(|source| CgroupError::Limit { path, value: write.value.clone(), source })
    }
}

fn checked(name: &str) -> Result<PathBuf, CgroupError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    let fine = name.split('/').all(plain);
    if fine { Ok(PathBuf::from(name)) } else { Err(CgroupError::Name(name.to_owned())) }
}

/// Hands all controllers of `path` down. A controller that cannot be handed down is no error here:
/// the limit that needs it will be.
fn enable_controllers(path: &Path) -> io::Result<()> {
    let available = fs::read_to_string(path.join("cgroup.controllers"))?;
    let enabled = fs::read_to_string(path.join("cgroup.subtree_control"))?;
    for controller in available.split_whitespace() {
        if !enabled.split_whitespace().any(|one| one == controller) {
            let _ = fs::write(path.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

fn inherit_cpuset(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if fs::read_to_string(path.join(file))?.trim().is_empty() {
            fs::write(path.join(file), fs::read_to_string(parent.join(file))?)?;
        }
    }
    Ok(())
}

/// The processes of a group and of the groups below it; a missing group has none.
fn processes(path: &Path) -> Result<Vec<i32>, CgroupError> {
    let file = path.join("cgroup.procs");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(err) if gone(&err) => return Ok(Vec::new()),
        Err(source) => return Err(CgroupError::Read { path: file, source }),
    };
    let mut pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for below in directories(path) {
        pids.extend(processes(&below)?);
    }
    Ok(pids)
}

fn gone(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::NotFound || err.raw_os_error() == Some(libc::ENODEV)
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Kills one process; through a descriptor, so that a reused number is not hit after this line.
fn kill_one(pid: i32) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    if let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        // It may be gone: then there is nothing to do.
        let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
    }
}

/// Removes a group with those below it. The kernel holds a group a moment longer than its processes.
fn remove_tree(path: &Path, until: Instant) -> io::Result<()> {
    let mut pause = Duration::from_micros(100);
    loop {
        match fs::remove_dir(path) {
            Err(err) if err.raw_os_error() == Some(libc::EBUSY) && Instant::now() < until => {
                for below in directories(path) {
                    remove_tree(&below, until)?;
                }
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Err(err) if gone(&err) => return Ok(()),
            other => return other,
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
            "memory": {"limit": 67_108_864}, "pids": {"limit": 11}
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
