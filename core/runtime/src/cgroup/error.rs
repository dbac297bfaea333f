//! Why a control group could not be used.

use std::io;
use std::path::PathBuf;

/// Why a control group could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Names come from the engine; a bad one would leave the directory.
    #[error("`{0}` is not a name of a control group")]
    Name(String),
    /// Nothing to work with.
    #[error("cannot find the control groups of this host")]
    Find(#[source] io::Error),
    /// A directory could not be made.
    #[error("cannot make control group {path}", path = .path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The host lacks a controller that a limit needs.
    #[error("cannot set {file}: this host has no {controller} controller")]
    NoController {
        /// Which controller.
        controller: &'static str,
        /// What it would be needed for.
        file: String,
    },
    /// A limit was refused.
    #[error("cannot write `{value}` to {path}", path = .path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// Why.
        source: io::Error,
    },
    /// A device filter of v2 was refused.
    #[error("cannot filter the devices of control group {path}", path = .path.display())]
    Devices {
        /// Whose.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Processes are still in it.
    #[error("processes of control group {path} do not end", path = .path.display())]
    Alive {
        /// Which.
        path: PathBuf,
    },
    /// The directory could not be removed.
    #[error("cannot remove control group {path}", path = .path.display())]
    Remove {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
