//! Taking a container off its network. Works without the driver, and twice.

use std::fs;
use std::path::{Path, PathBuf};

use wharf_model::hook::NetworkChange;
use wharf_runtime::net;

use super::join::Journal;
use crate::Engine;
use crate::event::{Asker, Entry, Kind};
use crate::snapshot::DriverState;

/// Where the plan is that is to be undone.
pub(super) fn journal_path(run_dir: &Path) -> PathBuf {
    run_dir.join("network.json")
}

impl Engine {
    /// Undoes what joining did. What is gone already is fine, so nothing here can fail in a way
    /// that a caller could do something about; the journal stays when the kernel refused, and the
    /// next command that meets the container tries again.
    pub(crate) fn leave(&self, id: &str, run_dir: &Path) {
        let path = journal_path(run_dir);
        let journal = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Journal>(&text).ok());
        if let Some(journal) = journal {
            let driver = Asker { name: journal.attachment.network.driver.clone(), digest: None };
            let undone = Entry::new(Kind::Operation, "undo", id).by(&driver);
            self.note([undone.with("network", &journal.attachment.network.name)]);
            if net::undo_attach(&journal.plan, &journal.attachment.network.id).is_err() {
                return;
            }
            self.release(&journal);
            // Nobody can keep a container that has ended on its network, so nobody is asked.
            self.tell_hooks(&self.asked_network(
                NetworkChange::Disconnect,
                &journal.attachment.network,
                Some(id),
            ));
        }
        let _ = fs::remove_file(&path);
        let _ = self.store.networks().release(id);
    }

    /// Whether joining has been done and not undone.
    pub(crate) fn has_joined(&self, run_dir: &Path) -> bool {
        journal_path(run_dir).exists()
    }

    /// For what only the driver can undo. A driver that is gone or fails blocks nothing.
    fn release(&self, journal: &Journal) {
        let network = &journal.attachment.network;
        if let Some(Ok(driver)) = self.plugins.network(&network.driver, &|| self.facts()) {
            let state = DriverState { store: &self.store, driver: driver.name() };
            let _ = driver.release(&journal.token, &journal.attachment, &state);
        }
    }
}
