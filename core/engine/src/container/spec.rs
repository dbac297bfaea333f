//! The OCI runtime spec of a container: the runtime's only input.
//!
//! Containers and the commands of a build are confined alike, so both come through here.

use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime as oci;
use wharf_runtime::user::Identity;
use wharf_runtime::{caps, defaults, seccomp};

use super::{Limits, Mount, MountKind};

/// Everything that differs from container to container.
pub(crate) struct Input<'a> {
    /// 64 hex digits.
    pub(crate) id: &'a str,
    /// The program and its arguments.
    pub(crate) argv: &'a [String],
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    /// Absolute.
    pub(crate) cwd: &'a str,
    /// As whom.
    pub(crate) user: &'a Identity,
    /// The host name; `None` shares the host's.
    pub(crate) hostname: Option<&'a str>,
    /// A terminal.
    pub(crate) tty: bool,
    /// `CAP_...`.
    pub(crate) capabilities: &'a [String],
    /// Without confinement.
    pub(crate) privileged: bool,
    /// Without the default filter.
    pub(crate) seccomp_unconfined: bool,
    /// The root file system can not be written.
    pub(crate) read_only: bool,
    /// What it may use.
    pub(crate) limits: &'a Limits,
    /// Mounts of the user's.
    pub(crate) mounts: &'a [Mount],
    /// What it sees of mounts that it is handed.
    pub(crate) views: &'a [View],
    /// Directory with `hostname`, `hosts` and `resolv.conf`.
    pub(crate) files: &'a Path,
    /// It has a network namespace of its own.
    pub(crate) own_network: bool,
    /// Annotations.
    pub(crate) annotations: &'a [(String, String)],
}

/// (A part of) a mount that is handed over when the program is started.
pub(crate) struct View {
    /// Where.
    pub(crate) target: String,
    /// Which of them.
    pub(crate) number: usize,
    /// What of it, relative to its top.
    pub(crate) inside: String,
    /// No writes.
    pub(crate) read_only: bool,
}

/// Processes and threads unless said otherwise, so that a fork bomb stays inside.
const PIDS: i64 = 4096;

/// The open files a process may have: fixed, so that it does not depend on the caller's shell.
const OPEN_FILES: (u64, u64) = (1024, 524_288);

/// The spec of one container.
pub(crate) fn of(input: &Input<'_>) -> Result<oci::Spec, OciSpecError> {
    let root = oci::RootBuilder::default().path("rootfs").readonly(input.read_only).build()?;
    let mut spec = oci::SpecBuilder::default()
        .version("1.2.0")
        .root(root)
        .process(process(input)?)
        .mounts(mounts(input)?)
        .annotations(input.annotations.iter().cloned().collect::<std::collections::HashMap<_, _>>())
        .linux(linux(input)?)
        .build()?;
    spec.set_hostname(input.hostname.map(str::to_owned));
    Ok(spec)
}

fn process(input: &Input<'_>) -> Result<oci::Process, OciSpecError> {
    let mut process = oci::ProcessBuilder::default()
        .terminal(input.tty)
        .args(input.argv.to_vec())
        .env(input.env.clone())
        .cwd(input.cwd)
        .user(user(input.user)?)
        .capabilities(caps::linux(&parsed(input.capabilities), input.user.uid))
        .no_new_privileges(false)
        .build()?;
    process.set_rlimits(Some(rlimits(input.limits)?));
    Ok(process)
}

/// A user in the spec's words. The primary group is among the additional ones, so that a file that
/// denies it is denied (CVE-2022-36109).
pub(super) fn user(identity: &Identity) -> Result<oci::User, OciSpecError> {
    let others = identity.additional.iter().copied().filter(|gid| *gid != identity.gid);
    oci::UserBuilder::default()
        .uid(identity.uid)
        .gid(identity.gid)
        .additional_gids(std::iter::once(identity.gid).chain(others).collect::<Vec<_>>())
        .build()
}

/// Names as capabilities; what this kernel interface does not know can not be held anyway.
pub(super) fn parsed(names: &[String]) -> Vec<oci::Capability> {
    names.iter().filter_map(|name| serde_json::from_value(name.as_str().into()).ok()).collect()
}

/// `CAP_...` names, sorted.
pub(crate) fn capability_names(capabilities: &[oci::Capability]) -> Vec<String> {
    let name = |capability: &oci::Capability| {
        serde_json::to_value(capability).ok().and_then(|name| name.as_str().map(str::to_owned))
    };
    let mut names: Vec<String> = capabilities.iter().filter_map(name).collect();
    names.sort();
    names
}

fn rlimits(limits: &Limits) -> Result<Vec<oci::PosixRlimit>, OciSpecError> {
    let files = ("nofile".to_owned(), OPEN_FILES.0, OPEN_FILES.1);
    let given = limits.ulimits.iter().cloned();
    let has_files = limits.ulimits.iter().any(|(name, _, _)| name == "nofile");
    let all = given.chain((!has_files).then_some(files));
    let rlimit = |(name, soft, hard): (String, u64, u64)| {
        let kind: oci::PosixRlimitType =
            serde_json::from_value(format!("RLIMIT_{}", name.to_uppercase()).into())?;
        oci::PosixRlimitBuilder::default().typ(kind).soft(soft).hard(hard).build()
    };
    all.map(rlimit).collect()
}

fn mounts(input: &Input<'_>) -> Result<Vec<oci::Mount>, OciSpecError> {
    let mut mounts = defaults::mounts();
    for mount in &mut mounts {
        adjust(mount, input);
    }
    for name in ["hostname", "hosts", "resolv.conf"] {
        let target = format!("/etc/{name}");
        mounts.push(bind(&input.files.join(name), &target, &["rbind", "rprivate"])?);
    }
    let of_user = input.mounts.iter().map(user_mount).chain(input.views.iter().map(view));
    let mut of_user = of_user.collect::<Result<Vec<_>, _>>()?;
    if !input.views.is_empty() {
        of_user.sort_by_key(|mount| mount.destination().iter().count());
    }
    mounts.retain(|default| !of_user.iter().any(|mount| mount.destination() == default.destination()));
    mounts.extend(of_user);
    Ok(mounts)
}

fn view(view: &View) -> Result<oci::Mount, OciSpecError> {
    let inside = view.inside.trim_start_matches('/');
    oci::MountBuilder::default()
        .destination(&view.target)
        .typ("detached")
        .source(format!("{}/{inside}", view.number))
        .options([if view.read_only { "ro" } else { "rw" }.to_owned()])
        .build()
}

/// The size of `/dev/shm`, and write access to kernel files for the privileged.
fn adjust(mount: &mut oci::Mount, input: &Input<'_>) {
    let mut options = mount.options().clone().unwrap_or_default();
    if let Some(size) = input.limits.shm_size.filter(|_| mount.destination() == Path::new("/dev/shm")) {
        options.retain(|option| !option.starts_with("size="));
        options.push(format!("size={size}"));
    }
    if input.privileged && matches!(mount.typ().as_deref(), Some("sysfs" | "cgroup")) {
        options.retain(|option| option != "ro");
        options.push("rw".to_owned());
    }
    mount.set_options(Some(options));
}

fn user_mount(mount: &Mount) -> Result<oci::Mount, OciSpecError> {
    let access = if mount.read_only { "ro" } else { "rw" };
    match mount.kind {
        MountKind::Tmpfs => {
            let basic = ["noexec", "nosuid", "nodev"].map(str::to_owned);
            oci::MountBuilder::default()
                .destination(&mount.target)
                .typ("tmpfs")
                .source("tmpfs")
                .options(basic.into_iter().chain(mount.options.iter().cloned()).collect::<Vec<_>>())
                .build()
        }
        MountKind::Bind => {
            let spread = if mount.propagation.is_empty() { "rprivate" } else { &mount.propagation };
            bind(Path::new(mount.host_path()), &mount.target, &["rbind", access, spread])
        }
        MountKind::Volume => bind(Path::new(&mount.source), &mount.target, &["rbind", access, "rprivate"]),
    }
}

fn bind(source: &Path, target: &str, options: &[&str]) -> Result<oci::Mount, OciSpecError> {
    oci::MountBuilder::default()
        .destination(target)
        .typ("bind")
        .source(source)
        .options(options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>())
        .build()
}

fn linux(input: &Input<'_>) -> Result<oci::Linux, OciSpecError> {
    let mut linux = oci::LinuxBuilder::default()
        .namespaces(namespaces(input)?)
        .resources(resources(input)?)
        .cgroups_path(PathBuf::from("wharf").join(input.id))
        .build()?;
    linux.set_sysctl(input.own_network.then(sysctls));
    if input.privileged {
        linux.set_masked_paths(None).set_readonly_paths(None);
    } else {
        linux.set_masked_paths(Some(defaults::masked_paths()));
        linux.set_readonly_paths(Some(defaults::readonly_paths()));
    }
    let filter = (!input.seccomp_unconfined).then(|| {
        seccomp::default_profile(
            &parsed(input.capabilities).into_iter().collect::<std::collections::HashSet<_>>(),
        )
    });
    linux.set_seccomp(filter);
    Ok(linux)
}

/// Every user of a container may bind low ports and send pings: its namespace is its own.
fn sysctls() -> std::collections::HashMap<String, String> {
    defaults::sysctl().into_iter().collect()
}

fn namespaces(input: &Input<'_>) -> Result<Vec<oci::LinuxNamespace>, OciSpecError> {
    use oci::LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let mut kinds = vec![Mount, Pid, Ipc, Cgroup];
    if input.hostname.is_some() {
        kinds.push(Uts);
    }
    if input.own_network {
        kinds.push(Network);
    }
    kinds.into_iter().map(|kind| oci::LinuxNamespaceBuilder::default().typ(kind).build()).collect()
}

fn resources(input: &Input<'_>) -> Result<oci::LinuxResources, OciSpecError> {
    let limits = input.limits;
    let mut resources = oci::LinuxResourcesBuilder::default()
        .devices(device_rules(input.privileged)?)
        .pids(oci::LinuxPidsBuilder::default().limit(limits.pids.unwrap_or(PIDS)).build()?)
        .build()?;
    if let Some(memory) = limits.memory {
        let swap = limits.memory_swap.unwrap_or_else(|| memory.saturating_mul(2));
        resources.set_memory(Some(oci::LinuxMemoryBuilder::default().limit(memory).swap(swap).build()?));
    }
    resources.set_cpu(cpu(limits)?);
    Ok(resources)
}

fn device_rules(privileged: bool) -> Result<Vec<oci::LinuxDeviceCgroup>, OciSpecError> {
    if privileged {
        return Ok(vec![oci::LinuxDeviceCgroupBuilder::default().allow(true).access("rwm").build()?]);
    }
    Ok(defaults::devices())
}

/// 100 ms, the kernel's own period.
const CPU_PERIOD_US: u64 = 100_000;

fn cpu(limits: &Limits) -> Result<Option<oci::LinuxCpu>, OciSpecError> {
    if limits.nano_cpus.is_none() && limits.cpu_shares.is_none() && limits.cpuset_cpus.is_none() {
        return Ok(None);
    }
    let mut cpu = oci::LinuxCpuBuilder::default().build()?;
    if let Some(nano) = limits.nano_cpus {
        cpu.set_period(Some(CPU_PERIOD_US)).set_quota(Some(nano / 10_000));
    }
    cpu.set_shares(limits.cpu_shares).set_cpus(limits.cpuset_cpus.clone());
    Ok(Some(cpu))
}
