//! Where layers that come from outside are unpacked: a storage driver's layer directories.
//!
//! A layer is unpacked under a name of its own, `new-<random>`, and moved to its chain id once
//! that is known, as the digest is only known when all of it has been read.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use wharf_model::Digest;
use wharf_model::storage::{LayerFormat, Object};
use wharf_store::{HomeError, LayerHome};

use crate::snapshot::{self, Snapshots};

/// The layer directories of one driver.
pub(crate) struct Home<'a> {
    snapshots: &'a Snapshots<'a>,
    pending: Option<Object>,
}

impl<'a> Home<'a> {
    pub(crate) fn new(snapshots: &'a Snapshots<'a>) -> Self {
        Self { snapshots, pending: None }
    }
}

impl LayerHome for Home<'_> {
    fn driver(&self) -> &str {
        self.snapshots.driver()
    }

    fn format(&self) -> LayerFormat {
        self.snapshots.format()
    }

    fn place(&mut self, parents: &[Digest]) -> Result<OwnedFd, HomeError> {
        self.discard();
        let fresh =
            snapshot::container(&format!("new-{}", &crate::container::fresh_id()?[..16]), hexes(parents));
        self.snapshots.create(&fresh)?;
        let changes = self.snapshots.changes(&fresh)?;
        self.pending = Some(fresh);
        Ok(open(&changes)?)
    }

    fn keep(&mut self, chain_id: &Digest) -> Result<(), HomeError> {
        let fresh = self.pending.take().ok_or("no layer was placed")?;
        let layer = snapshot::layer(&chain_id.hex(), fresh.parents.clone());
        self.snapshots.remove(&layer)?;
        self.snapshots.commit(&fresh, &layer)?;
        // What a driver keeps beside the changes, such as overlay's work directory.
        Ok(self.snapshots.remove(&fresh)?)
    }

    fn discard(&mut self) {
        if let Some(fresh) = self.pending.take() {
            let _ = self.snapshots.remove(&fresh);
        }
    }

    fn open(
        &mut self,
        chain_id: &Digest,
        parents: &[Digest],
    ) -> Result<(OwnedFd, Option<OwnedFd>), HomeError> {
        let layer = snapshot::layer(&chain_id.hex(), hexes(parents));
        let changes = open(&self.snapshots.changes(&layer)?)?;
        let parent = match (self.format(), parents.split_first()) {
            (LayerFormat::Tree, Some((top, below))) => {
                let below = snapshot::layer(&top.hex(), hexes(below));
                Some(open(&self.snapshots.changes(&below)?)?)
            }
            _ => None,
        };
        Ok((changes, parent))
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.discard();
    }
}

fn hexes(digests: &[Digest]) -> Vec<String> {
    digests.iter().map(Digest::hex).collect()
}

/// A directory as a descriptor.
pub(crate) fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::empty())
}
