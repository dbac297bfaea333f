//! Mounts that whoever starts a container made, and that are part of no namespace yet.
//!
//! They come as descriptors, so that no path of the host ever leads to what they hold. The whole of one
//! is placed as it is. A part of one is found in a namespace, as older kernels copy no part of a mount
//! that is in none: it is put over a directory of the host's for that moment, and the part is looked up
//! inside of it, whatever links lie on the way.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};

use super::PLACE;
use super::file_system;
use super::options::Recursive;
use super::target::Root;
use crate::message::{Failure, Named};
use crate::sys::mount::{MountChange, change_mount};

/// The type of such a mount in the spec.
pub(super) const KIND: &str = "detached";

const STEP: &str = "open the source of a mount";

/// Which of the mounts, and what of it.
#[derive(Debug)]
pub(super) struct Handed {
    number: usize,
    inside: PathBuf,
}

impl Handed {
    /// Reads the source of a mount: `NUMBER[/PATH]`.
    pub(super) fn parse(mount: &Mount) -> Result<Self, Failure> {
        let source = mount.source().as_deref().and_then(Path::to_str).unwrap_or_default();
        let (number, inside) = source.split_once('/').unwrap_or((source, ""));
        match number.parse() {
            Ok(number) => Ok(Self { number, inside: Path::new("/").join(inside) }),
            Err(_) => Err(Failure::text(STEP, Some(mount.destination()), "it has no number")),
        }
    }

    /// A mount of what is meant, with these attributes; in a mount namespace of the container's own.
    pub(super) fn take(&self, given: &[OwnedFd], attributes: u64) -> Result<OwnedFd, Failure> {
        let path = self.inside.as_path();
        let Some(whole) = given.get(self.number) else {
            return Err(Failure::text(STEP, Some(path), "nobody handed it over"));
        };
        let taken =
            if path == Path::new("/") { whole.try_clone().at(STEP, path)? } else { self.part(whole)? };
        if attributes != 0 {
            let change = MountChange { set: attributes, ..MountChange::default() };
            change_mount(taken.as_fd(), change).at(STEP, path)?;
        }
        Ok(taken)
    }

    fn part(&self, whole: &OwnedFd) -> Result<OwnedFd, Failure> {
        let path = self.inside.as_path();
        move_mount(whole, "", CWD, PLACE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).at(STEP, path)?;
        let found = self.find();
        unmount(PLACE, UnmountFlags::DETACH).at(STEP, path)?;
        found
    }

    fn find(&self) -> Result<OwnedFd, Failure> {
        let path = self.inside.as_path();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(PLACE, flags, Mode::empty()).at(STEP, path)?;
        let part = Root::new(top).open(path).at(STEP, path)?;
        file_system::copy_of(part.as_fd(), Recursive::No).at(STEP, path)
    }
}
