//! `--device`: a path of the host, or the name of a CDI device.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::check;

/// One device that a container is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceRequest {
    /// A node of the host, or all nodes below a directory.
    Host {
        /// Where it is on the host.
        source: PathBuf,
        /// Where it is in the container.
        target: PathBuf,
        /// What may be done with it: some of `rwm`.
        access: String,
    },
    /// A CDI device by its whole name.
    Cdi(String),
}

/// The text names no device. Docker's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceSyntaxError {
    /// Too many parts, or an empty one.
    #[error("bad format for path: {0}")]
    Format(String),
    /// The last of three parts is something else than `r`, `w` and `m`.
    #[error("bad mode specified: {0}")]
    Access(String),
    /// Neither a path nor a CDI device.
    #[error("{0} is not an absolute path")]
    Relative(String),
}

impl FromStr for DeviceRequest {
    type Err = DeviceSyntaxError;

    /// `SOURCE[:TARGET][:ACCESS]`, or `vendor.com/class=name`.
    fn from_str(text: &str) -> Result<Self, DeviceSyntaxError> {
        if check::is_qualified(text) {
            return Ok(Self::Cdi(text.to_owned()));
        }
        let (source, target, access) = match text.split(':').collect::<Vec<_>>()[..] {
            [source] => (source, source, "rwm"),
            [source, access] if is_access(access) => (source, source, access),
            [source, target] => (source, target, "rwm"),
            [source, target, access] if is_access(access) => (source, target, access),
            [_, _, access] => return Err(DeviceSyntaxError::Access(access.to_owned())),
            _ => return Err(DeviceSyntaxError::Format(text.to_owned())),
        };
        match [source, target].into_iter().find(|path| !path.starts_with('/')) {
            Some("") => Err(DeviceSyntaxError::Format(text.to_owned())),
            Some(path) => Err(DeviceSyntaxError::Relative(path.to_owned())),
            None => Ok(Self::Host {
                source: source.into(),
                target: clean(Path::new(target)),
                access: access.to_owned(),
            }),
        }
    }
}

/// At least one of `r`, `w` and `m`, none twice.
fn is_access(text: &str) -> bool {
    let once = |letter: char| "rwm".contains(letter) && text.matches(letter).count() == 1;
    !text.is_empty() && text.chars().all(once)
}

/// Without `.` and `..`.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_path_or_a_name() {
        let host = |source: &str, target: &str, access: &str| {
            Ok(DeviceRequest::Host {
                source: source.into(),
                target: target.into(),
                access: access.to_owned(),
            })
        };
        let relative = |path: &str| Err(DeviceSyntaxError::Relative(path.to_owned()));
        for (text, expected) in [
            ("/dev/fuse", host("/dev/fuse", "/dev/fuse", "rwm")),
            ("/dev/fuse:r", host("/dev/fuse", "/dev/fuse", "r")),
            ("/dev/a:/dev/x/../b", host("/dev/a", "/dev/b", "rwm")),
            ("/dev/a:/dev/b:mr", host("/dev/a", "/dev/b", "mr")),
            ("/dev/a:rr", relative("rr")),
            ("/dev/a:/dev/b:x", Err(DeviceSyntaxError::Access("x".into()))),
            ("/dev/a:/dev/b:r:w", Err(DeviceSyntaxError::Format("/dev/a:/dev/b:r:w".into()))),
            (":/dev/b", Err(DeviceSyntaxError::Format(":/dev/b".into()))),
            ("dev/fuse", relative("dev/fuse")),
            ("vendor.com/class=name", Ok(DeviceRequest::Cdi("vendor.com/class=name".into()))),
            ("vendor.com/class", relative("vendor.com/class")),
            ("vendor.com/class=*", relative("vendor.com/class=*")),
        ] {
            assert_eq!(text.parse::<DeviceRequest>(), expected, "for {text}");
        }
    }
}
