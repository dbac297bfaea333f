//! Objects that are disks: a file system in a file each.
//!
//! A disk is mounted whenever somebody looks at it, where nobody else sees it, and is gone with the
//! descriptor. A layer's disk is sealed: not even its file system writes to it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use wharf_model::grant::Right;
use wharf_model::storage::{Area, Filesystem, Image, Rooted};
use wharf_runtime::disk::{self, Access, Disk};
use wharf_runtime::tree;

use super::{SnapshotError, Snapshots, Undo, step};

impl Snapshots<'_> {
    /// The directory `directory` of an object's disk.
    pub(super) fn disk(&self, image: &Image, directory: &str, writable: bool) -> Disk {
        let access = match (writable, image.source.area()) {
            (true, _) => Access::ReadWrite,
            (false, Area::Layer) => Access::Sealed,
            (false, Area::Container | Area::Volume) => Access::ReadOnly,
        };
        Disk {
            file: self.path(&image.source),
            filesystem: image.filesystem,
            directory: directory.into(),
            access,
        }
    }

    /// Grants are those of the configuration; a driver that is tried out by itself has what it requests.
    fn may_mount_disks(&self) -> bool {
        let Some(plugins) = self.plugins else { return true };
        let grants = plugins.grants(self.driver.name());
        grants.is_ok_and(|grants| grants.ops.contains(&Right::MountImage))
    }

    /// A mounted disk's directory, to be listed and worked below.
    pub(super) fn open_disk(&self, disk: &Disk) -> Result<OwnedFd, SnapshotError> {
        if !self.may_mount_disks() {
            return Err(SnapshotError::NoRight { driver: self.driver.name().to_owned() });
        }
        let mounted = disk.detached().map_err(|source| failed("mount disk", source))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&mounted, ".", flags, Mode::empty())
            .map_err(|error| step("open disk", &disk.file, error.into()))
    }

    pub(super) fn make_file(
        &self,
        path: PathBuf,
        size: u64,
        done: &mut Vec<Undo>,
    ) -> Result<(), SnapshotError> {
        self.make_parents(&path, done)?;
        disk::make(&path, size).map_err(|source| failed("make disk", source))?;
        done.push(Undo::RemoveFile(path));
        Ok(())
    }

    /// Only what this plan made: nothing that is in use can be lost.
    pub(super) fn format_file(
        &self,
        path: &Path,
        filesystem: Filesystem,
        done: &[Undo],
    ) -> Result<(), SnapshotError> {
        if !done.iter().any(|made| matches!(made, Undo::RemoveFile(file) if file == path)) {
            let cause = std::io::Error::other("the plan did not make this file");
            return Err(step("format disk", path, cause));
        }
        disk::format(path, filesystem).map_err(|source| failed("format disk", source))
    }

    pub(super) fn clone_file(
        &self,
        source: &Path,
        dest: PathBuf,
        done: &mut Vec<Undo>,
    ) -> Result<(), SnapshotError> {
        self.make_parents(&dest, done)?;
        disk::clone(source, &dest).map_err(|source| failed("copy disk", source))?;
        done.push(Undo::RemoveFile(dest));
        Ok(())
    }

    /// Whether a tree is to be copied from one disk to another rather than between directories.
    pub(super) fn are_disks(&self, source: &Rooted, dest: &Rooted) -> bool {
        self.path(source).is_file() && self.path(dest).is_file()
    }

    /// Copies the tree of one disk to another one, which is empty. It goes with the file when the
    /// plan fails.
    pub(super) fn fill_disk(&self, source: &Rooted, dest: &Rooted) -> Result<(), SnapshotError> {
        let (from, to) = (self.whole(source, false)?, self.whole(dest, true)?);
        tree::fill(from.as_fd(), to.as_fd()).map_err(|source| SnapshotError::Tree {
            step: format!("copy the files to {}", self.path(dest).display()),
            source,
        })
    }

    fn whole(&self, file: &Rooted, writable: bool) -> Result<OwnedFd, SnapshotError> {
        let recognized = disk::recognize(&self.path(file));
        let filesystem = recognized.map_err(|source| failed("copy disk", source))?;
        self.open_disk(&self.disk(&Image { source: file.clone(), filesystem }, "", writable))
    }
}

fn failed(step: &str, source: disk::DiskError) -> SnapshotError {
    SnapshotError::Disk { step: step.to_owned(), source }
}
