//! What a command is making: trees of a build, layers of an import. All of it is claimed before it
//! is there, so that whatever ends the command, the next one that makes something takes it away.
//!
//! ```text
//! <root>/claims/<id>             who makes it, the tree and its driver, and the layer it becomes
//! <root>/storage/<driver>/...    the tree
//! <root>/tmp/<id>/               files of its program, or a download
//! <run root>/containers/<id>/    its program's monitor and network
//! cgroup wharf/<id>              its program
//! ```
//!
//! A program's monitor holds the claim as well: as long as it runs, nothing is taken from under it.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wharf_model::Digest;
use wharf_model::storage::{Area, Object};
use wharf_runtime::cgroup::Cgroup;
use wharf_runtime::state::{same_process, start_time};
use wharf_store::{Claim, Claimed, RecordError, Store};

use crate::Engine;
use crate::container::cgroup_name;
use crate::snapshot::{self, SnapshotError};

/// How long a monitor may take to end after its client, or its program, was killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A claim on something that is being made. Dropped before [`Unfinished::done`], it stays for the
/// next sweep.
#[derive(Debug)]
pub(crate) struct Unfinished {
    claim: Claim,
}

/// One line of a claim.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// Always the first.
    Maker { pid: u32, started: u64 },
    /// A tree that is being changed.
    Tree { driver: String, parents: Vec<String> },
    /// It is about to become this layer.
    Layer { chain_id: Digest },
}

impl Unfinished {
    /// Claims `id` for this process.
    pub(crate) fn begin(store: &Store, id: &str) -> Result<Self, RecordError> {
        let mut begun = Self { claim: store.claim(id)? };
        let pid = std::process::id();
        let started = start_time(pid.cast_signed()).unwrap_or_default();
        begun.note(&Line::Maker { pid, started })?;
        Ok(begun)
    }

    /// Claims a tree for this process.
    pub(crate) fn tree(store: &Store, driver: &str, object: &Object) -> Result<Self, RecordError> {
        let mut begun = Self::begin(store, &object.id)?;
        begun.note(&Line::Tree { driver: driver.to_owned(), parents: object.parents.clone() })?;
        Ok(begun)
    }

    /// The tree is going to be a layer, which counts once it has a record.
    pub(crate) fn becomes(&mut self, chain_id: &Digest) -> Result<(), RecordError> {
        self.note(&Line::Layer { chain_id: *chain_id })
    }

    /// Nothing of it is left, or all of it is recorded.
    pub(crate) fn done(self) {
        let _ = self.claim.settle(); // the next sweep finds nothing, and settles it
    }

    fn note(&mut self, line: &Line) -> Result<(), RecordError> {
        let damaged = |error: serde_json::Error| RecordError::Damaged {
            what: "what is being made".to_owned(),
            source: error.into(),
        };
        self.claim.note(&serde_json::to_string(line).map_err(damaged)?)
    }
}

impl AsFd for Unfinished {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.claim.as_fd()
    }
}

/// Whether this process is one that may still finish what it claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Lives,
    IsOver,
}

/// What a claim says.
#[derive(Debug, Default)]
struct Said {
    maker: Option<(u32, u64)>,
    tree: Option<(String, Vec<String>)>,
    layers: Vec<Digest>,
}

impl Said {
    fn of(claimed: &Claimed) -> Self {
        let mut said = Self::default();
        for line in claimed.lines() {
            match serde_json::from_str(&line) {
                Ok(Line::Maker { pid, started }) => said.maker = Some((pid, started)),
                Ok(Line::Tree { driver, parents }) => said.tree = Some((driver, parents)),
                Ok(Line::Layer { chain_id }) => said.layers.push(chain_id),
                Err(_) => {}
            }
        }
        said
    }

    /// A maker that has not said who it is has only just begun.
    fn may_be_finished(&self, own: Own) -> bool {
        match self.maker {
            Some((pid, _)) if pid == std::process::id() => own == Own::Lives,
            Some((pid, started)) => same_process(pid.cast_signed(), started),
            None => true,
        }
    }
}

impl Engine {
    /// Takes away what commands left that were killed. What others are making stays.
    ///
    /// Best effort: what can not be taken away now is tried again the next time.
    pub(crate) fn sweep_unfinished(&self) {
        self.sweep(Own::Lives);
    }

    /// Takes away what this process was making before it began this program anew, as one does that
    /// is interrupted and keeps nothing but its number; and what others left. True when parts of a pull
    /// stay, for the next one to go on with.
    pub fn interrupted(&self) -> bool {
        self.sweep(Own::IsOver);
        self.store.has_partial()
    }

    fn sweep(&self, own: Own) {
        let claims = self.store.claims().unwrap_or_default();
        let mut found = false;
        for claimed in claims {
            let said = Said::of(&claimed);
            let id = claimed.name().to_owned();
            let taken = if said.may_be_finished(own) {
                claimed.take().ok().and_then(Result::ok)
            } else {
                end(&id, claimed)
            };
            let Some(claim) = taken else { continue };
            found = true;
            if self.take_away(&id, &said).is_ok() {
                let _ = claim.settle();
            }
        }
        if found || self.store.has_incoming() {
            self.throw_away();
        }
    }

    fn take_away(&self, id: &str, said: &Said) -> Result<(), SnapshotError> {
        if let Ok(group) = Cgroup::open(&cgroup_name(id)) {
            let _ = group.kill().and_then(|()| group.remove());
        }
        let run_dir = self.run_dir(id);
        self.leave(id, &run_dir);
        let tmp = self.root().join("tmp").join(id);
        for directory in [&run_dir, &tmp] {
            remove_directory(directory)?;
        }
        for chain_id in &said.layers {
            self.take_away_layer(chain_id, said)?;
        }
        // After a power cut a claim may be empty. A tree is then where trees are by default.
        let (driver, parents) = said.tree.clone().unwrap_or((self.config().storage.clone(), Vec::new()));
        self.snapshots(&driver)?.remove(&snapshot::container(id, parents))
    }

    /// A layer's directory without a record is garbage, unless somebody is just making it.
    fn take_away_layer(&self, chain_id: &Digest, said: &Said) -> Result<(), SnapshotError> {
        let Some((driver, parents)) = &said.tree else { return Ok(()) };
        let Ok(Some(_turn)) = self.store.try_lock(&turn(chain_id), false) else { return Ok(()) };
        if !matches!(self.store.layer(chain_id), Ok(None)) {
            return Ok(());
        }
        let object = Object { area: Area::Layer, ..snapshot::layer(&chain_id.hex(), parents.clone()) };
        self.snapshots(driver)?.remove(&object)
    }
}

/// The lock that whoever makes a layer holds; the store's own name for it.
pub(crate) fn turn(chain_id: &Digest) -> String {
    format!("layer-{}", &chain_id.hex()[..2])
}

/// Ends the program whose client is gone, and takes the claim over once its monitor is gone too.
fn end(id: &str, mut claimed: Claimed) -> Option<Claim> {
    let until = Instant::now() + PATIENCE;
    loop {
        match claimed.take() {
            Ok(Ok(claim)) => return Some(claim),
            Ok(Err(held)) if held.is_open() && Instant::now() < until => claimed = held,
            _ => return None,
        }
        if let Ok(group) = Cgroup::open(&cgroup_name(id)) {
            let _ = group.kill(); // its monitor does the same, and more
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn remove_directory(path: &Path) -> Result<(), SnapshotError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(SnapshotError::Step {
            step: "remove directory".to_owned(),
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}
