//! Room that is held back for removing things.
//!
//! ```text
//! <root>/spare    1 MiB of nothing
//! ```
//!
//! What is removed is first taken out of the database, which has to write for that. On a disk without any
//! room nothing could be removed, so some is held back from the beginning, and given up while something
//! is removed. Nothing looks after it at other times.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::Store;

const SIZE: u64 = 1 << 20;

/// While it lives, what was held back may be written to.
#[derive(Debug)]
pub struct Spare<'a>(&'a Path);

impl Store {
    /// Gives up what was held back if there is no other room; it is held back again afterwards.
    pub fn spare(&self) -> Spare<'_> {
        let room = statvfs(self.root()).map_or(SIZE, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        if room < SIZE {
            let _ = fs::remove_file(self.root().join("spare"));
        }
        Spare(self.root())
    }
}

impl Drop for Spare<'_> {
    fn drop(&mut self) {
        hold(self.0);
    }
}

/// Holds room back, as far as there is some.
pub(crate) fn hold(root: &Path) {
    let path = root.join("spare");
    // A copy of the root may have made a hole of it.
    let is_held = fs::metadata(&path).is_ok_and(|file| file.blocks() * 512 >= SIZE);
    if !is_held && make(&path).is_err() {
        let _ = fs::remove_file(&path);
    }
}

fn make(path: &Path) -> io::Result<()> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    Ok(fallocate(file, FallocateFlags::empty(), 0, SIZE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_held_back_also_after_it_was_used_or_made_a_hole() {
        let dir = tempfile::tempdir().unwrap();
        let held = || fs::metadata(dir.path().join("spare")).map_or(0, |file| file.blocks() * 512);
        let store = Store::open(dir.path()).unwrap();
        if held() == 0 {
            eprintln!("skipped: the file system of {} holds nothing back", dir.path().display());
            return;
        }
        assert!(held() >= SIZE);
        drop(store.spare());
        assert!(held() >= SIZE);
        fs::write(dir.path().join("spare"), "").unwrap();
        drop(store.spare());
        assert!(held() >= SIZE);
    }
}
