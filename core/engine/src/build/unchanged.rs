//! Directories that are among a tree's changes only because something was in them for a moment.
//!
//! An overlay copies a directory up before anything is made in it. When that is gone again and the
//! directory is as below, the copy says nothing, and would be an entry in the layer.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fgetxattr, flistxattr,
    fstat, openat2, unlinkat, utimensat,
};
use rustix::io;

/// Removes the directories of `paths`, and those above them, that are empty among the changes and
/// the same as below. Best effort: one that stays is an entry too many.
pub(super) fn forget<'p>(
    changes: BorrowedFd<'_>,
    below: BorrowedFd<'_>,
    paths: impl Iterator<Item = &'p str>,
) {
    for path in paths {
        let mut next = Some(path);
        while let Some(path) = next.filter(|path| *path != "." && says_nothing(changes, below, path)) {
            if remove(changes, path).is_err() {
                break;
            }
            next = path.rsplit_once('/').map(|(above, _)| above);
        }
    }
}

/// Removing a directory changes the time of the one it is in: that is set back.
fn remove(changes: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
    let directory = open(changes, above)?;
    let before = times(&fstat(&directory)?);
    unlinkat(&directory, name, AtFlags::REMOVEDIR)?;
    utimensat(&directory, ".", &before, AtFlags::empty())
}

fn says_nothing(changes: BorrowedFd<'_>, below: BorrowedFd<'_>, path: &str) -> bool {
    let look = || -> io::Result<bool> {
        let (copy, original) = (open(changes, path)?, open(below, path)?);
        let (one, other) = (fstat(&copy)?, fstat(&original)?);
        let same = (one.st_mode, one.st_uid, one.st_gid) == (other.st_mode, other.st_uid, other.st_gid)
            && (one.st_mtime, one.st_mtime_nsec) == (other.st_mtime, other.st_mtime_nsec);
        Ok(same && is_empty(&copy)? && attributes(&copy)? == attributes(&original)?)
    };
    look().unwrap_or(false)
}

/// The times of a directory, to set them back.
pub(super) fn times(stat: &Stat) -> Timestamps {
    let last_modification = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec.cast_signed() };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification }
}

fn is_empty(directory: &OwnedFd) -> io::Result<bool> {
    Ok(names(directory.as_fd())?.is_empty())
}

/// What is in a directory, sorted.
pub(super) fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Without overlayfs's own, except the one that hides everything below.
fn attributes(directory: &OwnedFd) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut list = vec![0; 64 << 10];
    let length = match flistxattr(directory, &mut list[..]) {
        Err(io::Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let mut found = BTreeMap::new();
    for key in list[..length].split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
        let hides = key.ends_with(b"overlay.opaque");
        if hides || !(key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.")) {
            let mut value = vec![0; 64 << 10];
            let length = fgetxattr(directory, key, &mut value[..])?;
            value.truncate(length);
            found.insert(key.to_vec(), value);
        }
    }
    Ok(found)
}

/// Links lead nowhere: a path that has one is another directory's business.
fn open(root: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_copies_that_say_nothing_go() {
        let dir = tempfile::tempdir().unwrap();
        let (changes, below) = (dir.path().join("changes"), dir.path().join("below"));
        for path in ["same/deep", "mode", "full", "fresh"] {
            for root in [&changes, &below] {
                fs::create_dir_all(root.join(path)).unwrap();
            }
        }
        fs::remove_dir(below.join("fresh")).unwrap();
        fs::write(changes.join("full/file"), "").unwrap();
        fs::set_permissions(changes.join("mode"), fs::Permissions::from_mode(0o700)).unwrap();
        for path in ["same/deep", "same", "mode", "full"] {
            for root in [&changes, &below] {
                let zero = Timespec { tv_sec: 1, tv_nsec: 0 };
                let old = Timestamps { last_access: zero, last_modification: zero };
                utimensat(rustix::fs::CWD, root.join(path), &old, AtFlags::empty()).unwrap();
            }
        }
        let paths = ["same/deep", "mode", "full", "fresh", "."];
        forget(File::open(&changes).unwrap().as_fd(), File::open(&below).unwrap().as_fd(), paths.into_iter());
        let left = names(File::open(&changes).unwrap().as_fd()).unwrap();
        assert_eq!(left, [b"fresh".to_vec(), b"full".to_vec(), b"mode".to_vec()]);
    }
}
