//! Copies and removes directories.
//!
//! Both work by descriptors: every directory is opened from the tree's own root, and neither a
//! symbolic link nor a mount point on the way is followed, so nothing outside of the tree is ever
//! read or touched. Something that is mounted inside is an error. Trees may be as deep as they
//! like; at most a handful of descriptors are open at a time.
//!
//! Nothing is synced: whoever needs that syncs the whole file system once.

mod copy;
mod remove;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

pub use remove::remove;

/// The kernel resolves at most 4095 bytes at once.
const LONGEST_PATH: usize = 3840;
const LISTING: usize = 32 * 1024;

/// Why a tree was not copied or removed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Something could not be read.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A copy could not be written.
    #[error("cannot write {path}", path = .path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something could not be removed.
    #[error("cannot remove {path}", path = .path.display())]
    Remove {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something is mounted there.
    #[error("{path} is a mount point", path = .path.display())]
    MountPoint {
        /// Where.
        path: PathBuf,
    },
}

/// Copies the directory `source` to `dest`, which must not exist: owners, modes, times to the
/// nanosecond, symbolic and hard links, extended attributes, devices, pipes and sockets. Holes stay
/// holes, and data is shared where the file system can.
///
/// # Errors
/// Names the entry that could not be copied; what had been made of `dest` is removed.
pub fn clone(source: &Path, dest: &Path) -> Result<(), TreeError> {
    let unreadable = |err: Errno| TreeError::Read { path: source.to_owned(), source: err.into() };
    let unwritable = |err: Errno| TreeError::Write { path: dest.to_owned(), source: err.into() };
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = rustix::fs::open(source, directory, Mode::empty()).map_err(unreadable)?;
    rustix::fs::mkdirat(CWD, dest, Mode::RWXU).map_err(unwritable)?;
    let copied = rustix::fs::open(dest, directory | OFlags::NOFOLLOW, Mode::empty())
        .map_err(unwritable)
        .and_then(|to| copy::Copy::new(source, from.as_fd(), dest, to.as_fd()).run());
    if copied.is_err() {
        // The first error is the one to tell.
        let _also_failed = remove(dest);
    }
    copied
}

/// Copies what is in the directory `source`, and what the directory itself is like, to the empty
/// directory `dest`; both are named by descriptors.
///
/// # Errors
/// Names the entry that could not be copied; what had been copied stays.
pub fn fill(source: BorrowedFd<'_>, dest: BorrowedFd<'_>) -> Result<(), TreeError> {
    let path = Path::new("");
    copy::Copy::new(path, source, path, dest).run()
}

/// Copies the content of the file `source` to the empty file `dest`. Holes stay holes, and blocks are
/// shared where the file system can.
///
/// # Errors
/// When one cannot be read or the other not be written.
pub fn copy_file(source: &impl AsFd, dest: &impl AsFd) -> io::Result<()> {
    Ok(copy::content(source.as_fd(), dest.as_fd())?)
}

/// An entry of a directory.
struct Entry {
    name: CString,
    kind: FileType,
}

/// The names in a directory, all of them before anything is done to one.
fn entries(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<Entry>> {
    let mut buffer = [MaybeUninit::uninit(); LISTING];
    let mut listing = RawDir::new(directory, &mut buffer);
    let mut entries = Vec::new();
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            entries.push(Entry { name: name.to_owned(), kind: entry.file_type() });
        }
    }
    Ok(entries)
}

/// Opens a directory below `root`, in pieces where its path is long. `XDEV` is a mount point.
fn open_below(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let mut opened: Option<OwnedFd> = None;
    for piece in pieces(path) {
        let from = opened.as_ref().map_or(root, AsFd::as_fd);
        opened = Some(open_piece(from, &piece)?);
    }
    opened.map_or_else(|| open_piece(root, Path::new(".")), Ok)
}

fn open_piece(from: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    loop {
        match rustix::fs::openat2(from, path, flags, Mode::empty(), resolve) {
            // Somebody renames something at this moment, somewhere.
            Err(Errno::AGAIN) => {}
            opened => return opened,
        }
    }
}

fn pieces(path: &Path) -> Vec<PathBuf> {
    let mut pieces = Vec::new();
    let mut piece = PathBuf::new();
    for part in path {
        if piece.as_os_str().len() + part.len() > LONGEST_PATH {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.push(part);
    }
    if !piece.as_os_str().is_empty() {
        pieces.push(piece);
    }
    pieces
}

fn below(directory: &Path, name: &CStr) -> PathBuf {
    directory.join(OsStr::from_bytes(name.to_bytes()))
}
