//! A control group's directory in one tree: made, filled with limits, listed, removed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use super::error::CgroupError;
use super::hierarchy::{Hierarchy, Kind};
use super::write::{Missing, Write};

/// Its directory in one tree.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The directory.
    pub(super) path: PathBuf,
    /// The tree.
    pub(super) hierarchy: Hierarchy,
}

impl Group {
    /// The group `name` in a tree.
    pub(super) fn of(hierarchy: &Hierarchy, name: &Path) -> Self {
        Self { path: hierarchy.mount.join(name), hierarchy: hierarchy.clone() }
    }

    /// Makes the directory and, where v2 has the limits, hands the controllers down.
    ///
    /// Another container that ends may remove the empty parent in between: then again.
    pub(super) fn make(&self, v2_only: bool) -> Result<(), CgroupError> {
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

    /// Writes one limit.
    pub(super) fn set(&self, write: &Write) -> Result<(), CgroupError> {
        let path = self.path.join(&write.file);
        if write.file.contains('/') || write.file.contains("..") {
            return Err(CgroupError::Name(write.file.clone()));
        }
        match put(&path, &write.value) {
            Err(err) if err.kind() == io::ErrorKind::NotFound && write.missing == Missing::Ignore => Ok(()),
            // memory + swap may not be below memory: where both grow, the sum goes first.
            Err(_) if write.file == "memory.limit_in_bytes" => {
                let _ = put(&self.path.join("memory.memsw.limit_in_bytes"), &write.value);
                put(&path, &write.value)
            }
            other => other,
        }
        .map_err(|source| CgroupError::Limit { path, value: write.value.clone(), source })
    }
}

/// Writes to a file of the kernel's. It is never made: the kernel would answer with another error
/// than that it is missing.
pub(super) fn put(path: &Path, value: impl AsRef<[u8]>) -> io::Result<()> {
    fs::File::options().write(true).open(path)?.write_all(value.as_ref())
}

/// Hands all controllers of `path` down. A controller that cannot be handed down is no error here:
/// the limit that needs it will be.
fn enable_controllers(path: &Path) -> io::Result<()> {
    let available = fs::read_to_string(path.join("cgroup.controllers"))?;
    let enabled = fs::read_to_string(path.join("cgroup.subtree_control"))?;
    for controller in available.split_whitespace() {
        if !enabled.split_whitespace().any(|one| one == controller) {
            let _ = put(&path.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

fn inherit_cpuset(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if fs::read_to_string(path.join(file))?.trim().is_empty() {
            put(&path.join(file), fs::read_to_string(parent.join(file))?)?;
        }
    }
    Ok(())
}

/// The processes of a group and of the groups below it; a missing group has none.
pub(super) fn processes(path: &Path) -> Result<Vec<i32>, CgroupError> {
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

/// Removes a group with those below it. The kernel holds a group a moment longer than its processes.
pub(super) fn remove_tree(path: &Path, until: Instant) -> io::Result<()> {
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
