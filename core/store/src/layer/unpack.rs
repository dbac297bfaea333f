//! An archive -> files in a tree that exists (ADD).
//!
//! As in BuildKit, the destination is the root of everything in the archive: a link in it or in the
//! tree, `/usr` or `..`, leads to a place below the destination. Pipes and devices are left out.
//! Names have no special meaning: a `.wh.a` in an archive is a file, and refused, because in a
//! layer it would be a whiteout.

use std::borrow::Cow;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Gid, OFlags, Uid};
use rustix::io::Errno;
use wharf_model::Digest;

use super::apply::{Applied, ApplyError, each};
use super::entry::{Entry, Kind, TarError, normalised, shown};
use super::place::{Place, open_below};
use super::put::Putter;
use super::whiteout::is_reserved;
use super::{Disk, Limits};

/// Unpacks an archive, compressed or not, into the directory `dest` below `root`, which is made
/// if it is missing. Modes and times are the archive's. Everything, also what is made of `dest`,
/// belongs to `owner` (user and group) when there is one; else entries keep their own.
///
/// # Errors
/// When the archive is damaged, leaves its root, exceeds `limits`, or the disk refuses.
pub fn unpack(
    archive: impl Read,
    root: BorrowedFd<'_>,
    dest: &Path,
    owner: Option<(u32, u32)>,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    let dest = dest.as_os_str().as_bytes();
    let refused = |reason| ApplyError::Refused { path: shown(dest), reason };
    let dest = normalised(dest, limits).map_err(refused)?;
    let failed = |source: Errno| ApplyError::Entry { path: shown(&dest), source: source.into() };
    let dir = Destination { root, owner }.make(&dest).map_err(failed)?;
    let mut putter = Putter::new(dir.as_fd(), limits);
    // Nobody asks for the digest of the archive.
    let unneeded = Some(Digest::of(b""));
    let disk = Disk::of(root).map_err(TarError::Read)?;
    let read = each(archive, (limits, Some(disk)), unneeded, |entry, path, mut data| {
        if path.is_empty() || matches!(entry.kind, Kind::Fifo | Kind::Char(..) | Kind::Block(..)) {
            // The destination stays as it is.
            return Ok(());
        }
        if path.split(|byte| *byte == b'/').any(is_reserved) {
            let reason = "names that begin with `.wh.` mean deletions in an image";
            return Err(ApplyError::Refused { path: shown(path), reason });
        }
        putter.put(&owned(entry, owner), path, &mut data)
    })?;
    putter.place.implied.clear();
    let size = putter.finish()?;
    Ok(Applied { size, ..read })
}

/// The entry as if it had been packed by `owner`.
fn owned(entry: &Entry, owner: Option<(u32, u32)>) -> Cow<'_, Entry> {
    let Some((uid, gid)) = owner else { return Cow::Borrowed(entry) };
    Cow::Owned(Entry { uid: uid.into(), gid: gid.into(), ..entry.clone() })
}

/// Where an archive goes.
struct Destination<'a> {
    root: BorrowedFd<'a>,
    owner: Option<(u32, u32)>,
}

impl Destination<'_> {
    /// Opens the directory, made with its parents if it is missing.
    fn make(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut place = Place::new(self.root);
        place.directory(path)?;
        for made in &place.implied {
            let Some((uid, gid)) = self.owner else { break };
            let dir = open_below(self.root, made, OFlags::RDONLY | OFlags::DIRECTORY)?;
            rustix::fs::fchown(&dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        open_below(self.root, path, OFlags::PATH | OFlags::DIRECTORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::sample::{Tar, is_root, open};
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, symlink};
    use tar::EntryType;

    fn unpack_into(root: &Path, dest: &str, tar: &[u8]) -> Result<Applied, ApplyError> {
        unpack(tar, open(root).as_fd(), Path::new(dest), None, &Limits::default())
    }

    #[test]
    fn privileged_links_lead_to_places_below_the_destination() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
        fs::create_dir_all(dir.path().join("opt/usr/lib")).unwrap();
        symlink("/usr/lib", dir.path().join("opt/lib")).unwrap();
        symlink("/usr", dir.path().join("to-usr")).unwrap();
        let tar = Tar::default().dir("./").file("lib/x", b"x").hard("y", "lib/x");
        let tar = tar.symlink("up", "..").file("up/etc/z", b"z").end();
        unpack_into(dir.path(), "/opt", &tar).unwrap();
        assert_eq!(fs::metadata(dir.path().join("opt/usr/lib/x")).unwrap().nlink(), 2);
        assert!(dir.path().join("opt/y").exists());
        assert!(dir.path().join("opt/etc/z").exists());
        assert!(!dir.path().join("etc").exists());
        unpack_into(dir.path(), "/to-usr/new/deep/", &Tar::default().file("a", b"").end()).unwrap();
        assert!(dir.path().join("usr/new/deep/a").exists());
    }

    #[test]
    fn privileged_an_owner_gets_everything() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("srv")).unwrap();
        let tar = Tar::default().file("a", b"a").symlink("b", "a").dir("c/").hard("d", "a").end();
        let root = open(dir.path());
        unpack(&*tar, root.as_fd(), Path::new("srv/new"), Some((7, 8)), &Limits::default()).unwrap();
        for name in ["srv/new", "srv/new/a", "srv/new/b", "srv/new/c", "srv/new/d"] {
            let found = fs::symlink_metadata(dir.path().join(name)).unwrap();
            assert_eq!((found.uid(), found.gid()), (7, 8), "for {name}");
        }
        assert_eq!(fs::metadata(dir.path().join("srv")).unwrap().uid(), 0);
    }

    #[test]
    fn privileged_the_last_header_of_a_file_wins() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let tar = Tar::default().entry(EntryType::Regular, "a", "", b"", |header| header.set_mode(0o4755));
        let tar = tar.entry(EntryType::Link, "b", "a", b"", |header| {
            header.set_mode(0o640);
            header.set_uid(5);
        });
        unpack_into(dir.path(), "/", &tar.end()).unwrap();
        let found = fs::metadata(dir.path().join("a")).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.nlink()), (0o640, 5, 2));
    }

    #[test]
    fn privileged_devices_and_pipes_are_left_out() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("null"), "kept").unwrap();
        let tar = Tar::default().entry(EntryType::Char, "null", "", b"", |header| {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        });
        let tar = tar.entry(EntryType::Fifo, "p", "", b"", |_| {}).file("a", b"").end();
        unpack_into(dir.path(), "/", &tar).unwrap();
        assert_eq!(fs::read(dir.path().join("null")).unwrap(), b"kept");
        assert!(dir.path().join("a").exists());
        assert!(!dir.path().join("p").exists());
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
