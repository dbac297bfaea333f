//! A file system with little room.

use std::fs;
use std::path::{Path, PathBuf};

use super::host;

const SIZE: usize = 200;

/// A memory file system that is unmounted with the test.
#[derive(Debug)]
pub(crate) struct Small(PathBuf);

impl Small {
    /// 200 MiB, of which so many are free.
    pub(crate) fn mount(path: PathBuf, free: usize) -> Self {
        fs::create_dir(&path).unwrap();
        host(&["mount", "-t", "tmpfs", "-o", &format!("size={SIZE}m"), "tmpfs", path.to_str().unwrap()]);
        let small = Self(path);
        small.leave(free);
        small
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Takes room away, or gives it back, until so many MiB are free.
    pub(crate) fn leave(&self, free: usize) {
        let ballast = self.0.join("ballast");
        let _ = fs::remove_file(&ballast);
        let now = rustix::fs::statvfs(&self.0).unwrap();
        let room = usize::try_from(now.f_bavail * now.f_frsize).unwrap();
        fs::write(ballast, vec![0; room.saturating_sub(free << 20)]).unwrap();
    }

    /// Gives all room back.
    pub(crate) fn drop_ballast(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        host(&["umount", self.0.to_str().unwrap()]);
    }
}
