//! Devices that a program gets beside those that every container has.
//!
//! There are two kinds. One is a node of the host by its path, as in `--device /dev/fuse`. The other was described
//! by whoever makes the device, in a file of the Container Device Interface
//! (<https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>), and goes by the name that stands
//! there, `vendor.com/class=name`; it may bring nodes, mounts, variables and groups.
//!
//! ```text
//! request   what a person writes          host   nodes of the host
//! spec      one CDI file, as it stands    check  what has to hold in it
//! cdi       all CDI files: which of them counts, and what a name stands for
//! edit      what changes in the OCI spec of a container
//! ```
//!
//! - Files are read when a device is asked for, and never otherwise: nothing is kept that could be out of date.
//! - A file that is wrong takes away its own devices, and says why when one is missed.
//! - Of what a file wants, all is done or the device is refused: nothing of it is passed over.
//!
//! It is the engine that does this: the runtime knows no files of configuration, and gets a spec with everything in it.

mod cdi;
mod check;
mod edit;
mod error;
mod host;
mod request;
mod spec;

use std::path::PathBuf;

use crate::Engine;

pub(crate) use cdi::Devices as CdiDevices;
pub use cdi::Problem;
pub(crate) use edit::Edits;
pub use error::DeviceError;
pub use request::{DeviceRequest, DeviceSyntaxError};

/// Where CDI files are when the config does not say, as the CDI specification has it; later directories win.
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// What CDI files there are, and what they describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList {
    /// Where they are looked for.
    pub directories: Vec<PathBuf>,
    /// The devices' whole names, sorted.
    pub names: Vec<String>,
    /// What is wrong with some of the files.
    pub problems: Vec<Problem>,
}

impl Engine {
    /// Every device that a CDI file describes.
    pub fn devices(&self) -> DeviceList {
        let found = self.cdi();
        DeviceList {
            directories: self.cdi_directories(),
            names: found.names().map(str::to_owned).collect(),
            problems: found.problems().to_vec(),
        }
    }

    /// What has to change in a container's spec so that it has these devices.
    pub(crate) fn device_edits(&self, requests: &[DeviceRequest]) -> Result<Edits, DeviceError> {
        let mut edits = Edits::default();
        let mut names = Vec::new();
        for request in requests {
            match request {
                DeviceRequest::Host { source, target, access } => {
                    edits.nodes.extend(host::nodes(source, target, access)?);
                }
                DeviceRequest::Cdi(name) => names.push(name.as_str()),
            }
        }
        if !names.is_empty() {
            edits.append(self.cdi().edits(&names)?);
        }
        Ok(edits)
    }

    /// All CDI files, as they are now.
    pub(crate) fn cdi(&self) -> CdiDevices {
        CdiDevices::read(&self.cdi_directories())
    }

    fn cdi_directories(&self) -> Vec<PathBuf> {
        let configured = self.config().cdi.clone();
        configured.unwrap_or_else(|| DIRECTORIES.map(PathBuf::from).to_vec())
    }
}
