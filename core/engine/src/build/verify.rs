//! Is a build reproducible? It is done a second time without the cache, in the same root, and the
//! layers are compared; the first file that is not the same is named.
//!
//! What both times have in common is not seen: the kernel, the directory of the root, what is in cache
//! mounts, and what a server answers within a minute.

use std::fs::File;
use std::io::{self, Seek};

use wharf_store::Layer;
use wharf_store::archive::{SaveError, write_layer};
use wharf_store::layer::{ApplyError, Difference, compare};

use super::context::Context;
use super::execute::Finished;
use super::plan::BuildPlan;
use super::progress::BuildEvent;
use super::request::{At, BuildError, BuildOptions};
use super::share::Imported;
use crate::Engine;
use crate::home::Home;
use crate::snapshot::SnapshotError;

/// Two blocks of zeros: a tar without entries.
const EMPTY: [u8; 1024] = [0; 1024];

/// Two builds of the same input that are not the same.
#[derive(Debug, thiserror::Error)]
#[error("the build is not reproducible: layer {number} of {total} differs ({statement}): {}", what(.difference.as_ref()))]
pub struct NotReproducible {
    /// Which layer, from 1.
    pub number: usize,
    /// How many there are.
    pub total: usize,
    /// What made it.
    pub statement: String,
    /// The first file that differs; `None` when only the order or the headers do.
    pub difference: Option<Difference>,
}

fn what(difference: Option<&Difference>) -> String {
    match difference {
        Some(Difference { path, kind }) => format!("`{path}` {kind}"),
        None => "the bytes of the archive are others".to_owned(),
    }
}

/// Why two builds could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// They differ.
    #[error(transparent)]
    Differs(Box<NotReproducible>),
    /// A layer can not be read.
    #[error("cannot read a layer to compare it")]
    Layer(#[from] SaveError),
    /// A layer's archive can not be read.
    #[error("cannot compare a layer")]
    Compare(#[from] ApplyError),
    /// There is no room to compare them.
    #[error("cannot keep a layer to compare it")]
    File(#[from] io::Error),
    /// The storage driver.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl Engine {
    /// Builds again and compares.
    pub(super) fn verify(
        &self,
        options: &BuildOptions,
        context: &Context,
        plan: &BuildPlan,
        first: &Finished,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<(), At> {
        let anew = BuildOptions { no_cache: true, ..options.clone() };
        let second = self.execute(&anew, context, plan, &Imported::default(), report)?.target;
        match self.difference(first, &second) {
            Ok(None) => Ok(()),
            Ok(Some(found)) => Err(BuildError::from(VerifyError::Differs(Box::new(found))).into()),
            Err(error) => Err(BuildError::from(error).into()),
        }
    }

    fn difference(
        &self,
        first: &Finished,
        second: &Finished,
    ) -> Result<Option<NotReproducible>, VerifyError> {
        let (ours, theirs) = (&first.chain.layers, &second.chain.layers);
        let total = ours.len().max(theirs.len());
        let same = |at: &usize| ours.get(*at).map(|l| l.diff_id) == theirs.get(*at).map(|l| l.diff_id);
        let Some(at) = (0..total).find(|at| !same(at)) else { return Ok(None) };
        let difference = compare(self.tar(ours.get(at))?, self.tar(theirs.get(at))?)?;
        Ok(Some(NotReproducible { number: at + 1, total, statement: statement(first, at), difference }))
    }

    /// The tar of a layer, in a file without a name.
    fn tar(&self, layer: Option<&Layer>) -> Result<File, VerifyError> {
        let mut file = tempfile::tempfile_in(self.root())?;
        match layer {
            Some(layer) => {
                let snapshots = self.default_snapshots()?;
                write_layer(&self.store, layer, &mut Home::new(&snapshots), &mut file)?;
            }
            None => io::Write::write_all(&mut file, &EMPTY)?,
        }
        file.rewind()?;
        Ok(file)
    }
}

/// What made a layer. A base image may tell of fewer layers than it has, so it is counted from the top.
fn statement(stage: &Finished, at: usize) -> String {
    let from_top = stage.chain.layers.len().saturating_sub(at + 1);
    let mut made = stage.history.iter().rev().filter(|entry| !entry.empty_layer);
    let found = made.nth(from_top).and_then(|entry| entry.created_by.clone());
    found.unwrap_or_else(|| "of the base image".to_owned())
}
