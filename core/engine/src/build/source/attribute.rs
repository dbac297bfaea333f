//! Extended attributes that are copied with a file.
//!
//! Users' own, capabilities and access control lists. What belongs to a security module or to
//! overlayfs describes the machine the file lies on and stays there.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::XattrFlags;
use rustix::fs::{fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

/// Names and values, sorted by name.
pub(in crate::build) type Attributes = Vec<(String, Vec<u8>)>;

/// The largest list and the largest value that the kernel gives (`XATTR_SIZE_MAX`).
const LARGEST: usize = 64 << 10;

/// The attributes of an open file or directory that a copy has too.
pub(in crate::build) fn copyable(file: BorrowedFd<'_>) -> io::Result<Attributes> {
    let mut attributes = Attributes::new();
    for name in list(file)? {
        if is_copied(&name) {
            let value = read(|buffer| fgetxattr(file, name.as_str(), buffer))?;
            attributes.push((name, value));
        }
    }
    attributes.sort_unstable();
    Ok(attributes)
}

/// Gives a file the attributes. A file system that has none is no reason to fail.
pub(in crate::build) fn set(file: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<()> {
    for (name, value) in attributes {
        match fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_copied(name: &str) -> bool {
    let users_own = name.starts_with("user.") && !name.starts_with("user.overlay.");
    users_own
        || matches!(name, "security.capability" | "system.posix_acl_access" | "system.posix_acl_default")
}

fn list(file: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let names = match read(|buffer| flistxattr(file, buffer)) {
        Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => return Ok(Vec::new()),
        names => names?,
    };
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// Reads with a small buffer first: most lists and values are short.
fn read(mut call: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    let length = match call(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer.resize(LARGEST, 0);
            call(&mut buffer)?
        }
        length => length?,
    };
    buffer.truncate(length);
    Ok(buffer)
}
