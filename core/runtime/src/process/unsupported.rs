//! What a spec may ask for and this runtime does not do.
//!
//! Ignoring it would give the user less protection, or another process, than was asked for: it is
//! refused instead.

use oci_spec::runtime::{Linux, Process, Spec};

use super::error::SpawnError;

/// Refuses a spec with something in it that would have to be ignored.
pub(super) fn check(spec: &Spec) -> Result<(), SpawnError> {
    let idmapped =
        |mount: &oci_spec::runtime::Mount| mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
    refuse(&[
        (spec.hooks().is_some(), "an OCI hook"),
        (spec.mounts().iter().flatten().any(idmapped), "a mount with id mappings"),
    ])?;
    spec.linux().as_ref().map_or(Ok(()), check_linux)?;
    spec.process().as_ref().map_or(Ok(()), check_process)
}

fn check_linux(linux: &Linux) -> Result<(), SpawnError> {
    let some = |list: &Option<Vec<oci_spec::runtime::LinuxIdMapping>>| {
        list.as_ref().is_some_and(|list| !list.is_empty())
    };
    refuse(&[
        (some(linux.uid_mappings()) || some(linux.gid_mappings()), "a user namespace"),
        (
            linux.mount_label().as_deref().is_some_and(|label| !label.is_empty()),
            "an SELinux label for mounts",
        ),
        (linux.intel_rdt().is_some(), "Intel RDT"),
        (linux.memory_policy().is_some(), "a memory policy"),
        (linux.personality().is_some(), "a personality"),
        (linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty()), "moving a network device"),
    ])
}

/// Refuses a process with something in it that would have to be ignored.
pub(super) fn check_process(process: &Process) -> Result<(), SpawnError> {
    let named =
        |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty() && text != "unconfined");
    refuse(&[
        (named(process.apparmor_profile()), "an AppArmor profile"),
        (named(process.selinux_label()), "an SELinux label"),
        (process.io_priority().is_some(), "an I/O priority"),
        (process.scheduler().is_some(), "a scheduler"),
        (process.exec_cpu_affinity().is_some(), "a processor affinity"),
    ])
}

fn refuse(asked: &[(bool, &str)]) -> Result<(), SpawnError> {
    match asked.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(SpawnError::Unsupported((*what).to_owned())),
        None => Ok(()),
    }
}
