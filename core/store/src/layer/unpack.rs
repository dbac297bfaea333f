//! An archive -> files in a tree that exists (ADD). Names have no special meaning here: a
//! `.wh.a` in an archive is a file, and refused, because in a layer it would be a whiteout.

use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use super::Limits;
use super::apply::{Applied, ApplyError, each};
use super::entry::{normalised, shown};
use super::place::joined;
use super::put::Putter;
use super::whiteout::is_reserved;

/// Unpacks an archive, compressed or not, into the directory `dest` below `root`, which is made
/// if it is missing. Owners, modes and times are the archive's.
///
/// # Errors
/// When the archive is damaged, leaves its root, exceeds `limits`, or the disk refuses.
pub fn unpack(
    archive: impl Read,
    root: BorrowedFd<'_>,
    dest: &Path,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    let dest = dest.as_os_str().as_bytes();
    let refused = |reason| ApplyError::Refused { path: shown(dest), reason };
    let clean = normalised(dest, limits).map_err(refused)?;
    let failed = |source: Errno| ApplyError::Entry { path: shown(dest), source: source.into() };
    let mut putter = Putter::new(root, &clean, limits);
    putter.place.directory(&clean).map_err(failed)?;
    let read = each(archive, limits, None, |entry, path, mut data| {
        if path.is_empty() {
            // The destination stays as it is.
            return Ok(());
        }
        if path.split(|byte| *byte == b'/').any(is_reserved) {
            let reason = "names that begin with `.wh.` mean deletions in an image";
            return Err(ApplyError::Refused { path: shown(path), reason });
        }
        putter.put(entry, &joined(&clean, path), &mut data)
    })?;
    putter.place.implied.clear();
    let size = putter.finish()?;
    Ok(Applied { size, ..read })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::sample::{Tar, is_root, open};
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn unpack_into(root: &Path, dest: &str, tar: &[u8]) -> Result<Applied, ApplyError> {
        unpack(tar, open(root).as_fd(), Path::new(dest), &Limits::default())
    }

    #[test]
    fn privileged_links_mean_what_they_mean_in_the_tree() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
        fs::create_dir_all(dir.path().join("opt")).unwrap();
        symlink("/usr/lib", dir.path().join("opt/lib")).unwrap();
        symlink("/usr", dir.path().join("to-usr")).unwrap();
        let tar = Tar::default().dir("./").file("lib/x", b"x").hard("y", "lib/x").end();
        unpack_into(dir.path(), "/opt", &tar).unwrap();
        assert_eq!(fs::metadata(dir.path().join("usr/lib/x")).unwrap().nlink(), 2);
        assert!(dir.path().join("opt/y").exists());
        unpack_into(dir.path(), "/to-usr/new/deep/", &Tar::default().file("a", b"").end()).unwrap();
        assert!(dir.path().join("usr/new/deep/a").exists());
    }

    #[test]
    fn privileged_the_destination_keeps_its_mode() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let before = fs::metadata(dir.path()).unwrap().mode();
        unpack_into(dir.path(), "", &Tar::default().dir("./").end()).unwrap();
        assert_eq!(fs::metadata(dir.path()).unwrap().mode(), before);
    }

    #[test]
    fn privileged_deletions_are_no_files() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        for name in [".wh.a", "b/.wh..wh..opq", ".wh.d/x"] {
            let error = unpack_into(dir.path(), "/", &Tar::default().file(name, b"").end()).unwrap_err();
            assert!(error.to_string().contains(".wh."), "{error}");
        }
        assert!(unpack_into(dir.path(), "../out", &Tar::default().end()).is_err());
    }
}
