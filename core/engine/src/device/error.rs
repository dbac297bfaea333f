//! Why a program can not have a device.

use std::io;
use std::path::PathBuf;

use super::Problem;

/// Why a program can not have a device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No CDI file that can be used describes it.
    #[error("{what}")]
    Unknown {
        /// Which, in docker's words or in BuildKit's.
        what: String,
        /// What there is instead.
        known: Vec<String>,
        /// Where CDI files are looked for.
        directories: Vec<PathBuf>,
        /// A file that might describe it, if it were right.
        #[source]
        problem: Option<Problem>,
    },
    /// The host has no such device.
    #[error("error gathering device information while adding custom device \"{path}\"", path = .path.display())]
    Host {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The host has no such device, though a CDI file says so.
    #[error("failed to stat CDI host device \"{path}\" of {device}", path = .path.display())]
    CdiHost {
        /// Which node.
        path: PathBuf,
        /// Whose.
        device: String,
        /// Why not.
        source: io::Error,
    },
    /// A CDI file wants something that is not done here.
    #[error("the CDI device {device} needs {what}, which is not supported")]
    Unsupported {
        /// Which device.
        device: String,
        /// What it wants.
        what: String,
        /// Where that stands.
        file: PathBuf,
    },
    /// Nodes are made in the container's own `/dev`.
    #[error("the device {path} would not be below /dev in the container", path = .0.display())]
    Outside(PathBuf),
}

impl DeviceError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Unknown { known, .. } if !known.is_empty() => {
                Some(format!("known devices: {}", known.join(", ")))
            }
            Self::Unknown { problem: Some(_), .. } => Some("correct that file, and try again".to_owned()),
            Self::Unknown { directories, .. } => {
                let directories: Vec<_> = directories.iter().map(|path| path.display().to_string()).collect();
                Some(format!(
                    "no file in {} describes a device: install the vendor's, or name its directory in `[engine] cdi`",
                    directories.join(" or ")
                ))
            }
            Self::Unsupported { file, .. } => {
                Some(format!("if the device works without, take it out of {}", file.display()))
            }
            Self::Host { .. } | Self::CdiHost { .. } | Self::Outside(_) => None,
        }
    }
}
