//! What is to be done when a container has ended: the monitor asks for it, or the client that
//! waited, or the next command that meets a container whose monitor died.

use wharf_runtime::monitor::Status;

use super::{Container, RemoveError};
use crate::Engine;
use crate::snapshot;

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
        let guard = self.lock_container(&container.id)?;
        if let Status::Running { .. } = self.status(&container) {
            return Ok(());
        }
        self.take_down(&container);
        drop(guard);
        if container.auto_remove { self.remove_ended(&container) } else { Ok(()) }
    }

    /// Undoes what starting did, as far as it was done and is still there.
    pub(super) fn take_down(&self, container: &Container) {
        let run_dir = self.run_dir(&container.id);
        if self.has_joined(&run_dir) {
            self.leave(&container.id, &run_dir);
        }
        if let Ok(snapshots) = self.snapshots(&container.storage) {
            let _ = snapshots.detach(&snapshot::container(&container.id, container.layers.clone()));
        }
    }
}
