//! Device nodes of the host.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::LinuxDeviceType;

use super::DeviceError;
use super::edit::Node;

/// What a node of the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) kind: LinuxDeviceType,
    pub(super) major: i64,
    pub(super) minor: i64,
    /// Permission bits.
    pub(super) mode: u32,
}

/// Looks at a node; a link is none.
pub(super) fn look(path: &Path) -> io::Result<Numbers> {
    let data = fs::symlink_metadata(path)?;
    numbers(&data).ok_or_else(not_a_device)
}

fn numbers(data: &Metadata) -> Option<Numbers> {
    let kind = match data.file_type() {
        kind if kind.is_block_device() => LinuxDeviceType::B,
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_fifo() => LinuxDeviceType::P,
        _ => return None,
    };
    let (major, minor) = (rustix::fs::major(data.rdev()), rustix::fs::minor(data.rdev()));
    Some(Numbers { kind, major: major.into(), minor: minor.into(), mode: data.mode() & 0o7777 })
}

fn not_a_device() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a device node")
}

/// The node at `source` under its name in the container, or all nodes below a directory under theirs. A link is
/// followed at `source` only.
pub(super) fn nodes(source: &Path, target: &Path, access: &str) -> Result<Vec<Node>, DeviceError> {
    let failed = |error: io::Error| DeviceError::Host { path: source.to_owned(), source: error };
    let real = fs::canonicalize(source).map_err(failed)?;
    let mut nodes = Vec::new();
    gather(&real, target, access, &mut nodes).map_err(failed)?;
    if nodes.is_empty() {
        return Err(failed(not_a_device()));
    }
    match nodes.iter().find(|node| !node.is_below_dev()) {
        Some(outside) => Err(DeviceError::Outside(outside.path.clone())),
        None => Ok(nodes),
    }
}

fn gather(source: &Path, target: &Path, access: &str, nodes: &mut Vec<Node>) -> io::Result<()> {
    let data = fs::symlink_metadata(source)?;
    if let Some(numbers) = numbers(&data) {
        nodes.push(Node {
            path: target.to_owned(),
            numbers,
            access: access.to_owned(),
            uid: Some(data.uid()),
            gid: Some(data.gid()),
        });
    } else if data.is_dir() {
        for entry in fs::read_dir(source)? {
            let name = entry?.file_name();
            match gather(&source.join(&name), &target.join(&name), access, nodes) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {} // it has gone since
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_numbers_under_another_name() {
        let nodes = nodes(Path::new("/dev/null"), Path::new("/dev/nothing"), "r").unwrap();
        let [node] = &nodes[..] else { panic!("{nodes:?}") };
        assert_eq!((node.numbers.kind, node.numbers.major, node.numbers.minor), (LinuxDeviceType::C, 1, 3));
        assert_eq!((node.path.to_str().unwrap(), node.access.as_str()), ("/dev/nothing", "r"));
    }

    #[test]
    fn what_is_no_device_says_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (path, words) in
            [(file.path(), "not a device node"), (Path::new("/dev/no-such-device"), "No such file")]
        {
            match nodes(path, Path::new("/dev/x"), "rwm") {
                Err(DeviceError::Host { source, .. }) => {
                    assert!(source.to_string().contains(words), "{source}")
                }
                other => panic!("{other:?}"),
            }
        }
        let outside = nodes(Path::new("/dev/null"), Path::new("/null"), "rwm");
        assert!(matches!(outside, Err(DeviceError::Outside(_))), "{outside:?}");
    }
}
