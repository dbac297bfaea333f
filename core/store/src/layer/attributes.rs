//! Which extended attributes belong to a layer.
//!
//! | name | from a tar | into a tar |
//! |---|---|---|
//! | `trusted.overlay.*`, `user.overlay.*` | dropped: they would steer the kernel | never |
//! | `security.selinux`, `.ima`, `.evm` | dropped: they belong to a host | never |
//! | `security.capability` | set; the kernel checks its form; failing is an error | kept |
//! | others | set, unless the file system has no such thing | kept |

use std::os::fd::BorrowedFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::entry::Pairs;
use super::place::path_of;

const CAPABILITY: &[u8] = b"security.capability";

/// Whether an attribute describes the file and not the host or the driver.
pub(crate) fn travels(name: &[u8]) -> bool {
    let foreign: [&[u8]; 3] = [b"security.selinux", b"security.ima", b"security.evm"];
    !is_overlay(name) && !foreign.contains(&name)
}

fn is_overlay(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Sets the attributes of `name` in `dir`, never those of what it points to.
pub(crate) fn set(
    dir: BorrowedFd<'_>,
    name: &[u8],
    xattrs: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), (Vec<u8>, Errno)> {
    let path = path_of(dir, name);
    for (key, value) in xattrs.iter().filter(|(key, _)| travels(key)) {
        match rustix::fs::lsetxattr(&*path, &**key, value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::PERM) if key != CAPABILITY => {}
            Err(errno) => return Err((key.clone(), errno)),
        }
    }
    Ok(())
}

/// The attributes of `name` in `dir`, sorted; also those that do not travel.
pub(crate) fn get(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Pairs, Errno> {
    let path = path_of(dir, name);
    sorted(grown(|buffer| rustix::fs::llistxattr(&*path, buffer)), |key| {
        grown(|buffer| rustix::fs::lgetxattr(&*path, key, buffer))
    })
}

/// The same of an open file, which needs no path.
pub(crate) fn get_open(file: BorrowedFd<'_>) -> Result<Pairs, Errno> {
    sorted(grown(|buffer| rustix::fs::flistxattr(file, buffer)), |key| {
        grown(|buffer| rustix::fs::fgetxattr(file, key, buffer))
    })
}

fn sorted(
    list: Result<Vec<u8>, Errno>,
    value: impl Fn(&[u8]) -> Result<Vec<u8>, Errno>,
) -> Result<Pairs, Errno> {
    let list = match list {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        result => result?,
    };
    let mut found = Vec::new();
    for key in list.split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
        match value(key) {
            Ok(value) => found.push((key.to_vec(), value)),
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Most files have no attributes at all: the first buffer is small.
fn grown(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match call(&mut buffer[..]) {
            Ok(count) => {
                buffer.truncate(count);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer = vec![0; buffer.len() * 8],
            Err(errno) => return Err(errno),
        }
    }
}
