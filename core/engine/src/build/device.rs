//! RUN --device: which devices a program gets, and whether whoever builds lets it have them.
//!
//! A name may stand for several devices, or for another one tomorrow, so it is looked up when the build begins, when
//! the step's key is made, and when the program is started, each time with the question whether it is allowed. The key
//! holds what the names stand for, and not what kind of node that is on this host.

use wharf_model::build::{Action, Exec};
use wharf_model::{Diagnostic, Severity};

use super::plan::BuildPlan;
use super::program::{AllowedDevice, Entitlement, ProgramOptions};
use super::progress::BuildEvent;
use super::request::{At, BuildError};
use crate::Engine;
use crate::device::{CdiDevices, DeviceRequest, Edits};

impl Engine {
    /// The whole names of the devices that a program gets, each once.
    pub(super) fn devices_of(
        &self,
        exec: &Exec,
        programs: &ProgramOptions,
    ) -> Result<Vec<String>, BuildError> {
        if exec.devices.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.cdi();
        let (mut names, mut forbidden) = (Vec::new(), Vec::new());
        for device in &exec.devices {
            let meant = programs.alias(&device.name);
            let selected = found.select(meant.unwrap_or(&device.name));
            if selected.is_empty() && device.required {
                return Err(found.not_registered(&device.name).into());
            }
            for name in selected {
                if meant.is_none() && !programs.allows(&found, name) {
                    forbidden.push(name.to_owned());
                } else if !names.iter().any(|other| other == name) {
                    names.push(name.to_owned());
                }
            }
        }
        forbidden.dedup();
        if forbidden.is_empty() { Ok(names) } else { Err(BuildError::DevicesNotAllowed(forbidden)) }
    }

    /// What changes in the spec of a program.
    pub(super) fn edits_of(&self, exec: &Exec, programs: &ProgramOptions) -> Result<Edits, BuildError> {
        let names = self.devices_of(exec, programs)?.into_iter();
        Ok(self.device_edits(&names.map(DeviceRequest::Cdi).collect::<Vec<_>>())?)
    }

    /// Looks at the devices of all programs of a build, before the first one runs. Devices that a program does without
    /// are worth a word.
    pub(super) fn permit_devices(
        &self,
        plan: &BuildPlan,
        programs: &ProgramOptions,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<(), At> {
        for step in plan.stages.values().flat_map(|stage| &stage.steps) {
            for op in &step.plan.ops {
                let Action::Exec(exec) = &op.action else { continue };
                self.edits_of(exec, programs).map_err(|error| At::from(error).on(&step.span))?;
                for name in self.absent(exec, programs) {
                    let message = format!("optional device {name} is not registered");
                    let mut warning = Diagnostic::new(Severity::Warning, "OptionalDevice", message);
                    warning.span = Some(step.span.clone());
                    report(BuildEvent::Warning { step: None, warning: &warning });
                }
            }
        }
        Ok(())
    }

    /// The devices that a program asks for and that are not there.
    fn absent<'e>(&self, exec: &'e Exec, programs: &ProgramOptions) -> Vec<&'e str> {
        if exec.devices.is_empty() {
            return Vec::new();
        }
        let found = self.cdi();
        let names = exec.devices.iter().map(|device| device.name.as_str());
        names.filter(|name| found.select(programs.alias(name).unwrap_or(name)).is_empty()).collect()
    }
}

impl ProgramOptions {
    fn allowed_devices(&self) -> impl Iterator<Item = &AllowedDevice> {
        self.allow.iter().filter_map(|allowed| match allowed {
            Entitlement::Device(device) => Some(device),
            Entitlement::NetworkHost | Entitlement::SecurityInsecure => None,
        })
    }

    /// What whoever builds gave another name, which is allowed by that.
    fn alias(&self, asked: &str) -> Option<&str> {
        self.allowed_devices().find_map(|allowed| match allowed {
            AllowedDevice::Named { name, alias: Some(alias) } if alias == asked => Some(name.as_str()),
            AllowedDevice::Named { .. } | AllowedDevice::Any => None,
        })
    }

    /// Whether a program may have a device.
    fn allows(&self, found: &CdiDevices, device: &str) -> bool {
        let mut allowed = self.allowed_devices();
        allowed.any(|allowed| match allowed {
            AllowedDevice::Any => true,
            AllowedDevice::Named { name, alias: None } => found.select(name).contains(&device),
            AllowedDevice::Named { .. } => false,
        }) || found.allows_itself(device)
    }
}
