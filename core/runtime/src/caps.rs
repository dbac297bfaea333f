//! Capabilities: which of root's powers a container's process has.
//!
//! A container gets fourteen ([`DEFAULT`], mask `a80425fb`). The inheritable and the ambient sets
//! stay empty (CVE-2022-29162), and a user other than root starts with an effective and a
//! permitted set that are empty too: only the bounding set says what a set-uid program could get.

use std::collections::HashSet;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::message::{Failure, Named};

/// What every container has.
pub const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// All capabilities that the kernel has and this process may hand out (`--privileged`).
pub fn all() -> Vec<Capability> {
    let bounding = |capability: &Capability| bit(*capability).is_some_and(is_bounding);
    named(CapabilitySet::all()).into_iter().filter(bounding).collect()
}

/// The sets of a process that runs as `uid` and may use `capabilities`.
pub fn linux(capabilities: &[Capability], uid: u32) -> LinuxCapabilities {
    let bounding: Capabilities = capabilities.iter().copied().collect();
    let active = if uid == 0 { bounding.clone() } else { HashSet::new() };
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(bounding))
        .set_effective(Some(active.clone()))
        .set_permitted(Some(active))
        .set_inheritable(Some(HashSet::new()))
        .set_ambient(Some(HashSet::new()));
    sets
}

/// The five sets of a process, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sets {
    bounding: CapabilitySet,
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
    ambient: CapabilitySet,
}

impl Sets {
    /// The sets of a spec; a set that it does not have is empty.
    pub(crate) fn new(sets: Option<&LinuxCapabilities>) -> Self {
        let bits = |set: fn(&LinuxCapabilities) -> &Option<Capabilities>| {
            let set = sets.and_then(|sets| set(sets).as_ref());
            set.into_iter().flatten().filter_map(|capability| bit(*capability)).collect()
        };
        Self {
            bounding: bits(LinuxCapabilities::bounding),
            effective: bits(LinuxCapabilities::effective),
            permitted: bits(LinuxCapabilities::permitted),
            inheritable: bits(LinuxCapabilities::inheritable),
            ambient: bits(LinuxCapabilities::ambient),
        }
    }

    /// Takes everything else away from the bounding set. Needs `CAP_SETPCAP`: before the user changes.
    pub(crate) fn bound(self) -> Result<(), Failure> {
        for capability in each(!self.bounding) {
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                // Numbers are dense: behind the first that this kernel does not know there are none.
                Err(Errno::INVAL) => break,
                other => other.step("drop capabilities from the bounding set")?,
            }
        }
        Ok(())
    }

    /// Sets the others, after the user changed.
    pub(crate) fn apply(self) -> Result<(), Failure> {
        let sets = CapabilitySets {
            effective: self.effective,
            permitted: self.permitted,
            inheritable: self.inheritable,
        };
        rustix::thread::set_capabilities(None, sets).step("set the capabilities")?;
        rustix::thread::clear_ambient_capability_set().step("clear the ambient capabilities")?;
        for capability in each(self.ambient) {
            rustix::thread::configure_capability_in_ambient_set(capability, true)
                .step("raise an ambient capability")?;
        }
        Ok(())
    }
}

/// One set for each bit; numbers without a name too, so that capabilities of a newer kernel are dropped.
fn each(set: CapabilitySet) -> impl Iterator<Item = CapabilitySet> {
    (0..64).map(|bit| CapabilitySet::from_bits_retain(1 << bit)).filter(move |one| set.contains(*one))
}

/// Whether this process' bounding set has it; no, when the kernel does not know it.
fn is_bounding(capability: CapabilitySet) -> bool {
    rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false)
}

fn bit(capability: Capability) -> Option<CapabilitySet> {
    CapabilitySet::from_name(&capability.to_string())
}

/// The capabilities in `set`, by their names.
fn named(set: CapabilitySet) -> Vec<Capability> {
    set.iter_names().filter_map(|(name, _)| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_mask_is_a80425fb() {
        let sets = Sets::new(Some(&linux(&DEFAULT, 0)));
        assert_eq!(sets.bounding.bits(), 0xa804_25fb);
        assert_eq!((sets.effective, sets.permitted), (sets.bounding, sets.bounding));
        assert!(sets.inheritable.is_empty() && sets.ambient.is_empty());
    }

    #[test]
    fn others_than_root_have_a_bounding_set_only() {
        let sets = Sets::new(Some(&linux(&DEFAULT, 1000)));
        assert_eq!(sets.bounding.bits(), 0xa804_25fb);
        assert!(sets.effective.is_empty() && sets.permitted.is_empty());
    }

    #[test]
    fn every_capability_of_the_spec_has_a_number() {
        assert_eq!(named(CapabilitySet::all()).len(), 41);
    }
}
