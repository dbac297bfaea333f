//! What is to be done when a container has ended: the monitor asks for it, or the client that
//! waited, or the next command that meets a container whose monitor died.

use wharf_runtime::cgroup::Cgroup;
use wharf_runtime::monitor::Status;

use super::{Container, RemoveError};
use crate::Engine;
use crate::snapshot;

/// The exit code of a container whose end nobody saw.
pub(super) const CRASHED: u8 = 255;

impl Engine {
    /// Takes the network down and removes a container that was to be removed at its end.
    ///
    /// Safe to call twice, and while another command starts the container again.
    ///
    /// # Errors
    /// When a container that was to be removed can not be.
    pub fn ended(&self, id: &str) -> Result<(), RemoveError> {
        let Ok(container) = self.reload(id) else {
            self.leave(id, &self.run_dir(id));
            return Ok(());
        };
        let _guard = self.lock_container(&container.id)?;
        if self.reload(id).is_err() {
            return Ok(()); // somebody else removed it while we waited for the lock
        }
        if let Status::Running { .. } = self.status(&container) {
            return Ok(());
        }
        self.take_down(&container);
        if container.auto_remove { self.remove_ended(&container) } else { Ok(()) }
    }

    /// Undoes what starting did, as far as it was done and is still there.
    ///
    /// The control group goes first: when the monitor died, processes may have outlived it.
    pub(super) fn take_down(&self, container: &Container) {
        self.note_end(container);
        if let Ok(group) = Cgroup::open(&cgroup_name(&container.id)) {
            // What survives even this is found again by the next command.
            let _ = group.kill().and_then(|()| group.remove());
        }
        let run_dir = self.run_dir(&container.id);
        if self.has_joined(&run_dir) {
            self.leave(&container.id, &run_dir);
        }
        if let Ok(snapshots) = self.snapshots(&container.storage) {
            let _ = snapshots.detach(&snapshot::container(&container.id, container.layers.clone()));
        }
    }
}

/// Whether processes outlived the monitor.
pub(super) fn has_processes(id: &str) -> bool {
    Cgroup::open(&cgroup_name(id)).is_ok_and(|group| group.pids().is_ok_and(|pids| !pids.is_empty()))
}

/// A container's control group, below that of the engine.
pub(crate) fn cgroup_name(id: &str) -> String {
    format!("wharf/{id}")
}
