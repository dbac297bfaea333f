//! Where on the disk an object begins.

use std::fs::File;
use std::path::Path;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// While it lives, a new directory below another one is a tree of its own for ext4, as one below `/` is: it gets
/// a part of the disk that has room, by its name, instead of the part where its parent is.
///
/// Where an object with thousands of files was removed a moment ago, ext4 looks at each of the inodes that it had
/// for each new file, as it does not use them again at once: the layers of an image that is removed and loaded
/// again took many times as long as those of a new one. A container has few files of its own, and gains nothing.
#[derive(Debug)]
pub(super) struct Apart {
    /// With the flags that it has otherwise.
    parent: Option<(File, IFlags)>,
}

impl Apart {
    /// Best effort: other file systems have no such flag.
    pub(super) fn below(parent: &Path) -> Self {
        let spread = |file: File| {
            let flags = ioctl_getflags(&file).ok()?;
            ioctl_setflags(&file, flags | IFlags::TOPDIR).ok()?;
            Some((file, flags - IFlags::TOPDIR))
        };
        Self { parent: File::open(parent).ok().and_then(spread) }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some((file, flags)) = &self.parent {
            let _ = ioctl_setflags(file, *flags);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_there_as_long_as_it_is_needed() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let file = File::open(dir.path()).unwrap();
        let Ok(before) = ioctl_getflags(&file).and_then(|flags| {
            ioctl_setflags(&file, flags | IFlags::TOPDIR)?;
            ioctl_setflags(&file, flags)?;
            Ok(flags)
        }) else {
            println!("skipped: the file system knows no such flag");
            return;
        };
        let apart = Apart::below(dir.path());
        assert_eq!(ioctl_getflags(&file).unwrap(), before | IFlags::TOPDIR);
        drop(apart);
        assert_eq!(ioctl_getflags(&file).unwrap(), before);
        // Nothing is said of what is not there.
        drop(Apart::below(&dir.path().join("none")));
    }
}
