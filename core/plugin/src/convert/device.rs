//! Devices of programs.

use wharf_model::build::{Action, Device, Outcome};

use super::{Checked, each, name, wrong};
use crate::bindings::device_types as wit;

impl From<Device> for wit::Device {
    fn from(device: Device) -> Self {
        Self { name: device.name, required: device.required }
    }
}

/// Gives the devices that a call asked for to every program of the plan that it returned.
pub(crate) fn add_devices(raw: Vec<wit::Device>, outcome: &mut Outcome) -> Checked<()> {
    if raw.is_empty() {
        return Ok(());
    }
    let devices = each("devices", raw, device)?;
    let Outcome::Plan(plan) = outcome else { return wrong("adds a device to what is no plan") };
    let mut is_used = false;
    for op in &mut plan.ops {
        if let Action::Exec(exec) = &mut op.action {
            exec.devices.clone_from(&devices);
            is_used = true;
        }
    }
    if is_used { Ok(()) } else { wrong("adds a device to a plan that runs no program") }
}

fn device(raw: wit::Device) -> Checked<Device> {
    let name = name("device", raw.name)?;
    if name.len() > 1024 || name.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
        return wrong(format!("device `{}` is not one short word", super::shown(name)));
    }
    Ok(Device { name, required: raw.required })
}

#[cfg(test)]
mod tests {
    use wharf_model::build::{Command, Exec, Input, NetAccess, Op, Plan, Security};

    use super::*;

    fn plan(actions: Vec<Action>) -> Outcome {
        let ops = actions.into_iter().map(|action| Op { action, label: String::new() }).collect();
        Outcome::Plan(Plan { ops, rootfs: Input::Stage, config: vec![], diagnostics: vec![] })
    }

    fn exec() -> Action {
        Action::Exec(Exec {
            base: Input::Stage,
            command: Command::Shell("true".into()),
            env: vec![],
            cwd: None,
            user: None,
            mounts: vec![],
            net: NetAccess::None,
            security: Security::Sandbox,
            devices: vec![],
        })
    }

    fn raw(name: &str) -> Vec<wit::Device> {
        vec![wit::Device { name: name.into(), required: true }]
    }

    #[test]
    fn every_program_of_the_plan_gets_them() {
        let mut outcome = plan(vec![exec(), exec()]);
        add_devices(raw("vendor.com/class=a"), &mut outcome).unwrap();
        let Outcome::Plan(plan) = outcome else { panic!() };
        for op in plan.ops {
            let Action::Exec(exec) = op.action else { panic!() };
            assert_eq!(exec.devices, [Device { name: "vendor.com/class=a".into(), required: true }]);
        }
    }

    #[test]
    fn a_device_that_nobody_sees_or_that_has_no_name_is_nonsense() {
        add_devices(vec![], &mut Outcome::Expand(vec![])).unwrap();
        for (name, mut outcome) in [
            ("a", Outcome::Expand(vec![])),
            ("a", plan(vec![])),
            ("", plan(vec![exec()])),
            ("a b", plan(vec![exec()])),
            ("a\n", plan(vec![exec()])),
        ] {
            add_devices(raw(name), &mut outcome).unwrap_err();
        }
    }
}
