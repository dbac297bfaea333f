//! Where layers that come from outside are unpacked: a storage driver's layer directories.
//!
//! A layer is unpacked under a name of its own, `new-<random>`, and moved to its chain id once
//! that is known, as the digest is only known when all of it has been read. It is claimed until the
//! store has a record of it.

use std::cell::OnceCell;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use wharf_model::Digest;
use wharf_model::storage::{LayerFormat, Object};
use wharf_store::{HomeError, LayerHome};

use crate::Engine;
use crate::snapshot::{self, Snapshots};
use crate::unfinished::Unfinished;

/// The layer directories of one driver.
pub(crate) struct Home<'a> {
    snapshots: &'a Snapshots<'a>,
    pending: Option<(Object, Unfinished)>,
    /// Moved to their place; the store records them afterwards.
    kept: Vec<(Digest, Unfinished)>,
}

impl<'a> Home<'a> {
    pub(crate) fn new(snapshots: &'a Snapshots<'a>) -> Self {
        Self { snapshots, pending: None, kept: Vec::new() }
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
        let claim = Unfinished::tree(self.snapshots.store(), self.snapshots.driver(), &fresh)?;
        let (fresh, _) = self.pending.insert((fresh, claim));
        self.snapshots.create_apart(fresh)?;
        Ok(self.snapshots.changes(fresh)?)
    }

    fn keep(&mut self, chain_id: &Digest) -> Result<(), HomeError> {
        let (fresh, claim) = self.pending.as_mut().ok_or("no layer was placed")?;
        let layer = snapshot::layer(&chain_id.hex(), fresh.parents.clone());
        claim.becomes(chain_id)?;
        self.snapshots.remove(&layer)?;
        self.snapshots.commit(fresh, &layer)?;
        // What a driver keeps beside the changes, such as overlay's work directory.
        self.snapshots.remove(fresh)?;
        self.kept.extend(self.pending.take().map(|(_, claim)| (*chain_id, claim)));
        Ok(())
    }

    fn discard(&mut self) {
        if let Some((fresh, claim)) = self.pending.take()
            && self.snapshots.remove(&fresh).is_ok()
        {
            claim.done();
        }
    }

    fn open(
        &mut self,
        chain_id: &Digest,
        parents: &[Digest],
    ) -> Result<(OwnedFd, Option<OwnedFd>), HomeError> {
        let layer = snapshot::layer(&chain_id.hex(), hexes(parents));
        let changes = self.snapshots.changes(&layer)?;
        let parent = match (self.format(), parents.split_first()) {
            (LayerFormat::Tree, Some((top, below))) => {
                let below = snapshot::layer(&top.hex(), hexes(below));
                Some(self.snapshots.changes(&below)?)
            }
            _ => None,
        };
        Ok((changes, parent))
    }
}

/// The layer directories of the default driver, which is loaded when there is a layer to unpack: a name that
/// no registry knows needs none.
pub(crate) struct LateHome<'e, 's> {
    engine: &'e Engine,
    loaded: &'s OnceCell<Snapshots<'e>>,
    home: Option<Home<'s>>,
}

impl<'e, 's> LateHome<'e, 's> {
    pub(crate) fn new(engine: &'e Engine, loaded: &'s OnceCell<Snapshots<'e>>) -> Self {
        Self { engine, loaded, home: None }
    }

    fn home(&mut self) -> Result<&mut Home<'s>, HomeError> {
        if self.loaded.get().is_none() {
            let snapshots = self.engine.default_snapshots()?;
            let _ = self.loaded.set(snapshots);
        }
        let snapshots = self.loaded.get().ok_or("the storage driver is not there")?;
        Ok(self.home.get_or_insert_with(|| Home::new(snapshots)))
    }
}

/// A layer is placed before anything else is asked.
impl LayerHome for LateHome<'_, '_> {
    fn driver(&self) -> &str {
        self.home.as_ref().map_or_else(|| self.engine.config().storage.as_str(), Home::driver)
    }

    fn format(&self) -> LayerFormat {
        self.home.as_ref().map_or(LayerFormat::Tree, Home::format)
    }

    fn place(&mut self, parents: &[Digest]) -> Result<OwnedFd, HomeError> {
        self.home()?.place(parents)
    }

    fn keep(&mut self, chain_id: &Digest) -> Result<(), HomeError> {
        self.home()?.keep(chain_id)
    }

    fn discard(&mut self) {
        if let Some(home) = &mut self.home {
            home.discard();
        }
    }

    fn open(
        &mut self,
        chain_id: &Digest,
        parents: &[Digest],
    ) -> Result<(OwnedFd, Option<OwnedFd>), HomeError> {
        self.home()?.open(chain_id, parents)
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.discard();
        for (chain_id, claim) in self.kept.drain(..) {
            if matches!(self.snapshots.store().layer(&chain_id), Ok(Some(_))) {
                claim.done();
            }
        }
    }
}

fn hexes(digests: &[Digest]) -> Vec<String> {
    digests.iter().map(Digest::hex).collect()
}

/// A mounted tree, which is known by a path only, to look into.
pub(crate) fn readable(tree: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(tree, ".", flags, Mode::empty())
}

/// A directory as a descriptor.
pub(crate) fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::empty())
}
