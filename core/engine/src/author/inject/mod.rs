//! Drivers, carried out for real with a failure after every step.
//!
//! A driver only plans; that the core can undo what it planned is the driver's promise. Here every
//! plan of a whole life is carried out in a directory or in network namespaces of its own: first
//! failing before the first step, then after the first, the second, ... and after each failure what
//! there is must be what there was; then without a failure, and what there is afterwards is the
//! beginning of the next. At the end nothing may be left.
//!
//! | | a life | where | what is looked at |
//! |---|---|---|---|
//! | storage | layers, a container on them, its changes as a layer, everything removed | a directory | files, mounts, loop devices, driver state |
//! | network | the network, two containers join, leave, the network goes | two namespaces | links, addresses, routes, firewall, settings, driver state |
//!
//! Mounting and network namespaces take root. Without it these steps are skipped, and it is said.

mod network;
mod picture;
mod storage;
#[cfg(test)]
mod tests;

pub(crate) use network::{attachment, facts, network, specimen};
pub(crate) use storage::storage;

use std::time::{Duration, Instant};

use super::outcome::{Checked, Ended};
use super::workshop::{Candidate, Workshop, WorkshopError};

/// Carries out checks one after the other. When one fails those that build on it are skipped.
pub(crate) struct Run<'a> {
    checks: &'a mut Vec<Checked>,
    broken: Option<String>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(checks: &'a mut Vec<Checked>) -> Self {
        Self { checks, broken: None }
    }

    /// A check whose end later ones do not depend on.
    pub(crate) fn check(&mut self, name: impl Into<String>, check: impl FnOnce() -> Ended) {
        let begun = Instant::now();
        let result = match &self.broken {
            Some(broken) => Ended::Skipped { why: format!("`{broken}` failed") },
            None => check(),
        };
        self.checks.push(Checked { name: name.into(), result, took: begun.elapsed() });
    }

    /// A check that everything after it stands on.
    pub(crate) fn step(&mut self, name: impl Into<String>, check: impl FnOnce() -> Ended) {
        let name = name.into();
        self.check(name.clone(), check);
        let failed = self.checks.last().is_some_and(|check| matches!(check.result, Ended::Failed { .. }));
        if failed && self.broken.is_none() {
            self.broken = Some(name);
        }
    }

    /// A step failed on which everything stands.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Says how something ended that was done already.
    pub(crate) fn done(&mut self, name: impl Into<String>, result: Ended, took: Duration) {
        self.checks.push(Checked { name: name.into(), result, took });
    }

    /// Says that something is not checked here.
    pub(crate) fn skip(&mut self, name: impl Into<String>, why: &str) {
        let result = Ended::Skipped { why: why.to_owned() };
        self.checks.push(Checked { name: name.into(), result, took: Duration::ZERO });
    }
}

/// Lives through everything that the core asks of a storage or network driver.
pub(crate) fn driver(
    workshop: &Workshop,
    candidate: &Candidate,
    run: &mut Run<'_>,
) -> Result<(), WorkshopError> {
    let stand = workshop.alone(candidate, &candidate.config.settings)?;
    if let Some(driver) = stand.plugins.storage(candidate.name(), &|| workshop.facts()) {
        storage(&driver?, run);
    } else if let Some(driver) = stand.plugins.network(candidate.name(), &|| workshop.facts()) {
        network(&driver?, run);
    }
    Ok(())
}

/// Whether mounts and network namespaces can be made.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
