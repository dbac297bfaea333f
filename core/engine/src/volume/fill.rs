//! Copying what the image has at a mount's target into a fresh volume.
//!
//! The target is looked up below the image's root, so a link in the image leads nowhere else.
//! The volume's directory itself gets the owner and mode of the image's directory.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use wharf_runtime::{mount, tree};

use super::VolumeError;
use super::plan::PendingVolume;
use crate::Engine;
use crate::container::Container;
use crate::snapshot;

impl Engine {
    pub(super) fn fill_volumes(
        &self,
        container: &Container,
        fresh: &[PendingVolume],
    ) -> Result<(), VolumeError> {
        if fresh.is_empty() {
            return Ok(());
        }
        let snapshots = self.snapshots(&container.storage)?;
        let object = snapshot::container(&container.id, container.layers.clone());
        let root = mount::detached(&snapshots.attach(&object, true)?)?;
        for volume in fresh {
            if let Some(directory) = open_directory(&root, &volume.target) {
                let failed = |source| VolumeError::Fill { name: volume.name.clone(), source };
                copy_contents(&directory, &self.volume_path(&volume.name)).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// `None` when the image has no directory there.
fn open_directory(root: &OwnedFd, target: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, target, flags, Mode::empty(), resolve).ok()
}

/// The volume's empty directory gives way to a copy of the image's.
fn copy_contents(directory: &OwnedFd, dest: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let source = PathBuf::from(format!("/proc/self/fd/{}/.", directory.as_raw_fd()));
    fs::remove_dir(dest)?;
    let copied = tree::clone(&source, dest);
    if copied.is_err() {
        fs::create_dir(dest)?;
    }
    Ok(copied?)
}
