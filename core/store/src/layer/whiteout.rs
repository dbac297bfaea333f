//! Deletions: how a tar and how overlayfs write "not here any more".
//!
//! | | in a tar (OCI layer spec, "whiteouts") | in an overlay directory |
//! |---|---|---|
//! | `a` of the layers below is gone | an empty file `.wh.a` | a character device 0:0 called `a` |
//! | everything below in this directory is gone | an empty file `.wh..wh..opq` in it | `trusted.overlay.opaque` = `y` |

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat, XattrFlags};
use rustix::io::Errno;

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// What a name in a layer's tar means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// A file.
    File,
    /// The layers below have no `name` here.
    Gone(&'a [u8]),
    /// The layers below have nothing here.
    Opaque,
    /// Notes of AUFS to itself.
    Bookkeeping,
    /// A whiteout of nothing that can have a name.
    Malformed,
}

/// Reads the last part of a path.
pub(crate) fn meaning(name: &[u8]) -> Meaning<'_> {
    match name.strip_prefix(PREFIX) {
        None => Meaning::File,
        Some(_) if name == OPAQUE => Meaning::Opaque,
        Some(rest) if rest.starts_with(PREFIX) => Meaning::Bookkeeping,
        Some(b"" | b"." | b"..") => Meaning::Malformed,
        Some(rest) => Meaning::Gone(rest),
    }
}

/// The tar's name for "`name` is gone".
pub(crate) fn gone(name: &[u8]) -> Vec<u8> {
    [PREFIX, name].concat()
}

/// The tar's name for "everything below is gone".
pub(crate) fn opaque() -> &'static [u8] {
    OPAQUE
}

/// Whether a file would be taken for a whiteout.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// Whether a file in an overlay directory says "gone". A kernel may also write an empty file
/// with an attribute.
pub(crate) fn is_gone(stat: &Stat, xattrs: &[(Vec<u8>, Vec<u8>)]) -> bool {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => stat.st_rdev == 0,
        FileType::RegularFile if stat.st_size == 0 => xattrs
            .iter()
            .any(|(key, _)| key == b"trusted.overlay.whiteout" || key == b"user.overlay.whiteout"),
        _ => false,
    }
}

/// Whether a directory's attributes say that it is opaque.
pub(crate) fn is_opaque(xattrs: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let names: [&[u8]; 2] = [OPAQUE_XATTR.as_bytes(), b"user.overlay.opaque"];
    xattrs.iter().any(|(key, value)| names.contains(&key.as_slice()) && value == b"y")
}

/// Makes the overlay's "gone".
pub(crate) fn make_gone(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), 0)
}

/// Makes the directory `name` in `dir` opaque; the empty name is `dir` itself.
pub(crate) fn make_opaque(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = if name.is_empty() { b"." } else { name };
    let opened = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    rustix::fs::fsetxattr(opened.as_fd(), OPAQUE_XATTR, b"y", XattrFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_the_specification_says() {
        for (name, expected) in [
            ("a", Meaning::File),
            (".wha", Meaning::File),
            (".wh.a", Meaning::Gone(b"a")),
            (".wh..a", Meaning::Gone(b".a")),
            (".wh..wh..opq", Meaning::Opaque),
            (".wh..wh.plnk", Meaning::Bookkeeping),
            (".wh.", Meaning::Malformed),
            (".wh..", Meaning::Malformed),
            (".wh...", Meaning::Malformed),
        ] {
            assert_eq!(meaning(name.as_bytes()), expected, "for {name}");
        }
    }
}
