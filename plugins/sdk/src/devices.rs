//! Devices that are described by files of the Container Device Interface (CDI): instructions ask for them, hooks see
//! who did.

pub use crate::bindings::instruction::wharf::plugin::device_types::Device;

#[cfg(not(target_arch = "wasm32"))]
use crate::native as side;
#[cfg(target_arch = "wasm32")]
use component as side;

/// For an instruction: every program of the plan that this call returns sees the device. It takes the right
/// `ops:exec-device`, and that whoever builds allows it.
pub fn add(device: &Device) {
    side::add_device(device);
}

/// For a hook that is asked about an op: the devices that its program sees.
pub fn of_op() -> Vec<Device> {
    side::devices_of_op()
}

#[cfg(target_arch = "wasm32")]
mod component {
    pub(super) use crate::bindings::hook::wharf::plugin::op_devices::devices as devices_of_op;
    pub(super) use crate::bindings::instruction::wharf::plugin::exec_devices::add as add_device;
}
