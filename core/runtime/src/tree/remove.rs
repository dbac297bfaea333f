//! Removes a tree: first all that is no directory, from the top down, then the directories, from
//! the bottom up.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{TreeError, below, entries, open_below, open_piece};

/// Removes `path` and, when it is a directory, all that is in it. A path that does not exist is
/// removed already. Immutable and append-only files are not removed.
///
/// # Errors
/// Names what could not be removed, or what is a mount point; part of the tree may be gone by then.
pub fn remove(path: &Path) -> Result<(), TreeError> {
    let failed = |err: Errno| explain(path.to_owned(), err);
    let name = path.file_name().map(|name| CString::new(name.as_bytes()));
    let Some(Ok(name)) = name else { return Err(failed(Errno::INVAL)) };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::open(parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    let flags = match open_piece(parent.as_fd(), Path::new(path.file_name().unwrap_or_default())) {
        Ok(root) => {
            empty(path, root.as_fd())?;
            AtFlags::REMOVEDIR
        }
        Err(Errno::NOTDIR | Errno::LOOP) => AtFlags::empty(),
        Err(Errno::NOENT) => return Ok(()),
        Err(err) => return Err(failed(err)),
    };
    match rustix::fs::unlinkat(&parent, &name, flags) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed.map_err(failed),
    }
}

fn explain(path: PathBuf, err: Errno) -> TreeError {
    match err {
        Errno::XDEV | Errno::BUSY => TreeError::MountPoint { path },
        err => TreeError::Remove { path, source: io::Error::from(err) },
    }
}

fn empty(path: &Path, root: BorrowedFd<'_>) -> Result<(), TreeError> {
    let directories = unlink_files(path, root)?;
    let mut parent: Option<(&Path, OwnedFd)> = None;
    for directory in directories.iter().rev() {
        let (Some(above), Some(name)) = (directory.parent(), directory.file_name()) else { continue };
        let failed = |err| explain(path.join(directory), err);
        let open = match parent.take() {
            Some((held, open)) if held == above => open,
            _ => open_below(root, above).map_err(failed)?,
        };
        rustix::fs::unlinkat(&open, name, AtFlags::REMOVEDIR).map_err(failed)?;
        parent = Some((above, open));
    }
    Ok(())
}

/// Answers the directories, each behind the one it is in.
fn unlink_files(path: &Path, root: BorrowedFd<'_>) -> Result<Vec<PathBuf>, TreeError> {
    let mut found = vec![PathBuf::new()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        let failed = |err| explain(path.join(&directory), err);
        let open = open_below(root, &directory).map_err(failed)?;
        for entry in entries(open.as_fd()).map_err(failed)? {
            let name = below(&directory, &entry.name);
            if entry.kind == FileType::Directory {
                found.push(name);
                continue;
            }
            match rustix::fs::unlinkat(&open, &entry.name, AtFlags::empty()) {
                // A file system that does not tell kinds in its listings.
                Err(Errno::ISDIR) => found.push(name),
                Err(Errno::NOENT) | Ok(()) => {}
                Err(err) => return Err(explain(path.join(name), err)),
            }
        }
        next += 1;
    }
    found.remove(0);
    Ok(found)
}
