//! What changes in the OCI spec of a container that has a device.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime as oci;

use super::host::Numbers;

/// A node in the container's `/dev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Where.
    pub(super) path: PathBuf,
    /// Which device it is.
    pub(super) numbers: Numbers,
    /// Some of `rwm`; empty is nothing.
    pub(super) access: String,
    /// Its owner; without it, whoever runs in the container.
    pub(super) uid: Option<u32>,
    /// Its group; without it, that of whoever runs in the container.
    pub(super) gid: Option<u32>,
}

impl Node {
    /// Whether it is where the runtime makes nodes.
    pub(super) fn is_below_dev(&self) -> bool {
        let below = self.path.strip_prefix("/dev").unwrap_or(Path::new(""));
        below.file_name().is_some() && below.components().all(|part| matches!(part, Component::Normal(_)))
    }
}

/// Everything that changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edits {
    /// `NAME=value`.
    pub(super) env: Vec<String>,
    pub(super) nodes: Vec<Node>,
    pub(super) mounts: Vec<oci::Mount>,
    pub(super) gids: Vec<u32>,
}

impl Edits {
    pub(super) fn append(&mut self, mut other: Self) {
        self.env.append(&mut other.env);
        self.nodes.append(&mut other.nodes);
        self.mounts.append(&mut other.mounts);
        self.gids.append(&mut other.gids);
    }

    /// Where something is mounted.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter_map(|mount| mount.destination().to_str())
    }

    /// Changes a spec.
    pub(crate) fn apply(self, spec: &mut oci::Spec) {
        let owner =
            spec.process().as_ref().map_or((0, 0), |process| (process.user().uid(), process.user().gid()));
        if let Some(process) = spec.process_mut() {
            add_variables(process, self.env);
            add_groups(process, &self.gids);
        }
        if let Some(linux) = spec.linux_mut() {
            self.nodes.iter().for_each(|node| add_node(linux, node, owner));
        }
        if !self.mounts.is_empty() {
            add_mounts(spec, self.mounts);
        }
    }
}

/// A variable that is there already gets the new value.
fn add_variables(process: &mut oci::Process, env: Vec<String>) {
    let mut all = process.env().clone().unwrap_or_default();
    let name = |pair: &str| pair.split('=').next().map(str::to_owned);
    for pair in env {
        all.retain(|other| name(other) != name(&pair));
        all.push(pair);
    }
    process.set_env(Some(all));
}

fn add_groups(process: &mut oci::Process, gids: &[u32]) {
    let mut user = process.user().clone();
    let mut all = user.additional_gids().clone().unwrap_or_default();
    for gid in gids.iter().filter(|gid| **gid != 0) {
        if !all.contains(gid) {
            all.push(*gid);
        }
    }
    user.set_additional_gids(Some(all));
    process.set_user(user);
}

/// Makes the node, and lets the control group use what it is.
fn add_node(linux: &mut oci::Linux, node: &Node, (uid, gid): (u32, u32)) {
    let mut device = oci::LinuxDevice::default();
    let Numbers { kind, major, minor, mode } = node.numbers;
    device
        .set_path(node.path.clone())
        .set_typ(kind)
        .set_major(major)
        .set_minor(minor)
        .set_file_mode(Some(mode))
        .set_uid(Some(node.uid.unwrap_or(uid)))
        .set_gid(Some(node.gid.unwrap_or(gid)));
    let mut devices = linux.devices().clone().unwrap_or_default();
    devices.retain(|other| other.path() != device.path());
    devices.push(device);
    linux.set_devices(Some(devices));
    if kind == oci::LinuxDeviceType::P || node.access.is_empty() {
        return;
    }
    let mut rule = oci::LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(if kind == oci::LinuxDeviceType::U { oci::LinuxDeviceType::C } else { kind }))
        .set_major(Some(major))
        .set_minor(Some(minor))
        .set_access(Some(node.access.clone()));
    let mut resources = linux.resources().clone().unwrap_or_default();
    let mut rules = resources.devices().clone().unwrap_or_default();
    rules.push(rule);
    resources.set_devices(Some(rules));
    linux.set_resources(Some(resources));
}

/// Each takes the place of what was mounted there, and comes after what is mounted above it.
fn add_mounts(spec: &mut oci::Spec, mounts: Vec<oci::Mount>) {
    let mut all = spec.mounts().clone().unwrap_or_default();
    for mount in mounts {
        all.retain(|other| other.destination() != mount.destination());
        all.push(mount);
    }
    all.sort_by_key(|mount| mount.destination().components().count());
    spec.set_mounts(Some(all));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(target: &str) -> oci::Mount {
        let mut mount = oci::Mount::default();
        mount.set_destination(target.into());
        mount
    }

    #[test]
    fn a_spec_gets_everything_once() {
        let mut spec = oci::Spec::default();
        spec.set_mounts(Some(["/proc", "/dev", "/dev/pts", "/etc/hosts"].map(mount).to_vec()));
        let mut user = oci::User::default();
        user.set_uid(1000).set_gid(1001);
        let mut process = oci::Process::default();
        process.set_env(Some(vec!["A=old".into(), "B=b".into()])).set_user(user);
        spec.set_process(Some(process));
        let numbers = Numbers { kind: oci::LinuxDeviceType::C, major: 10, minor: 229, mode: 0o666 };
        let node = |access: &str, uid| Node {
            path: "/dev/fuse".into(),
            numbers,
            access: access.into(),
            uid,
            gid: Some(7),
        };
        let edits = Edits {
            env: vec!["A=new".into(), "C=c".into()],
            nodes: vec![node("", Some(0)), node("rw", None)],
            mounts: vec![mount("/dev/pts"), mount("/opt")],
            gids: vec![0, 5, 5],
        };
        edits.apply(&mut spec);

        let process = spec.process().as_ref().unwrap();
        assert_eq!(process.env().as_ref().unwrap(), &["B=b", "A=new", "C=c"]);
        assert_eq!(process.user().additional_gids().as_ref().unwrap(), &[5]);
        let linux = spec.linux().as_ref().unwrap();
        let [device] = &linux.devices().as_ref().unwrap()[..] else { panic!("{linux:?}") };
        assert_eq!((device.uid(), device.gid(), device.minor()), (Some(1000), Some(7), 229));
        let rules = linux.resources().as_ref().unwrap().devices().as_ref().unwrap();
        let last = rules.last().unwrap();
        assert_eq!((last.major(), last.minor(), last.access().as_deref()), (Some(10), Some(229), Some("rw")));
        let targets: Vec<_> = spec.mounts().as_ref().unwrap().iter().map(oci::Mount::destination).collect();
        assert_eq!(targets, ["/proc", "/dev", "/opt", "/etc/hosts", "/dev/pts"].map(Path::new));
    }

    #[test]
    fn nodes_are_made_below_dev_only() {
        let numbers = Numbers { kind: oci::LinuxDeviceType::C, major: 1, minor: 3, mode: 0o666 };
        for (path, below) in
            [("/dev/a", true), ("/dev/a/b", true), ("/dev", false), ("/a", false), ("/dev/../a", false)]
        {
            let node = Node { path: path.into(), numbers, access: String::new(), uid: None, gid: None };
            assert_eq!(node.is_below_dev(), below, "for {path}");
        }
    }
}
