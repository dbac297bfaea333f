//! `/sys/fs/cgroup` of a container: its own group as the top of every tree.
//!
//! With a control group namespace the kernel shows that by itself; without one, the container's
//! directories are bound from the host's trees, which must be opened before the root is mounted.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use libc::MOUNT_ATTR_RDONLY;
use rustix::fs::{Mode, OFlags};

use super::file_system;
use super::options::Recursive;
use super::target::{Target, place};
use crate::cgroup::{Cgroup, Hierarchy, Kind};
use crate::message::{Failure, Named};
use crate::sys::mount::{MountChange, change_mount};

const STEP: &str = "mount the control groups";

/// The trees of a container, as mounts that are not placed yet.
#[derive(Debug)]
pub(crate) enum Trees {
    /// v2: one.
    One(OwnedFd),
    /// v1 or hybrid: by name.
    Many(Vec<(String, OwnedFd)>),
}

/// Makes the mounts; after the process joined its group and namespaces.
pub(crate) fn open(cgroup: &Cgroup, own_namespace: bool, attributes: u64) -> Result<Trees, Failure> {
    let mut mounts = Vec::new();
    for (hierarchy, group) in cgroup.trees() {
        let mount = match (own_namespace, group) {
            (true, _) => create(hierarchy, attributes),
            (false, Some(group)) => {
                file_system::copy(group, Recursive::No).map_err(io::Error::from).and_then(|mount| {
                    let change = MountChange {
                        set: attributes,
                        propagation: libc::MS_PRIVATE,
                        ..MountChange::default()
                    };
                    change_mount(mount.as_fd(), change)?;
                    Ok(mount)
                })
            }
            (false, None) => continue,
        };
        let mount = mount.at(STEP, &hierarchy.mount)?;
        let name = hierarchy.mount.file_name().unwrap_or_default().to_string_lossy().into_owned();
        mounts.push((&hierarchy.kind, name, mount));
    }
    if let [(Kind::V2, ..)] = mounts.as_slice() {
        return Ok(Trees::One(mounts.remove(0).2));
    }
    Ok(Trees::Many(mounts.into_iter().map(|(_, name, mount)| (name, mount)).collect()))
}

fn create(hierarchy: &Hierarchy, attributes: u64) -> io::Result<OwnedFd> {
    match &hierarchy.kind {
        Kind::V2 => file_system::create("cgroup2", &[], attributes),
        Kind::V1 { controllers, name } => {
            let name = name.as_ref().map(|name| format!("name={name}"));
            let mut data: Vec<_> = controllers.iter().map(String::as_str).collect();
            if let Some(name) = &name {
                data.extend(["none", name]);
            }
            file_system::create("cgroup", &data, attributes)
        }
    }
}

/// Places the mounts at `target`.
pub(crate) fn mount(trees: Trees, target: &Target, attributes: u64) -> Result<(), Failure> {
    let trees = match trees {
        Trees::One(mount) => return target.place(mount.as_fd()),
        Trees::Many(trees) => trees,
    };
    let top = file_system::create("tmpfs", &["mode=755"], attributes & !MOUNT_ATTR_RDONLY)
        .at(STEP, target.path())?;
    target.place(top.as_fd())?;
    for (name, mount) in trees {
        let path = Path::new(&name);
        rustix::fs::mkdirat(&top, path, Mode::from_raw_mode(0o755)).at(STEP, path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&top, path, flags, Mode::empty()).at(STEP, path)?;
        place(mount.as_fd(), directory.as_fd()).at(STEP, path)?;
        // `cpu,cpuacct` is found as `cpu` and as `cpuacct` too.
        for alias in name.split(',').filter(|alias| *alias != name) {
            rustix::fs::symlinkat(path, &top, alias).at(STEP, alias)?;
        }
    }
    let change = MountChange { set: attributes & MOUNT_ATTR_RDONLY, ..MountChange::default() };
    change_mount(top.as_fd(), change).at(STEP, target.path())
}
