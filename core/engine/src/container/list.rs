//! `ps`: containers with what they do now.

use jiff::Timestamp;
use wharf_runtime::monitor::Status;
use wharf_store::RecordError;

use super::ended::{self, CRASHED};
use super::{Container, lookup};
use crate::Engine;

/// A container and its state.
#[derive(Debug, Clone)]
pub struct ContainerSummary {
    /// Its record.
    pub container: Container,
    /// What it does now.
    pub status: Status,
    /// Its image as tables show it: as named, or the id when the name has moved on.
    pub image: String,
}

impl Engine {
    /// Containers, newest first; `all` includes those that do not run.
    ///
    /// # Errors
    /// When the records can not be read. A single damaged record is left out.
    pub fn containers(&self, all: bool) -> Result<Vec<ContainerSummary>, RecordError> {
        let records = self.store.containers().list()?;
        let parsed = records.iter().filter_map(|record| lookup::parse(record).ok());
        let mut list: Vec<ContainerSummary> =
            parsed.map(|container| self.summary(container)).filter(|item| all || item.is_running()).collect();
        list.sort_by_key(|item| std::cmp::Reverse(item.container.created));
        Ok(list)
    }

    fn summary(&self, container: Container) -> ContainerSummary {
        let status = self.status(&container);
        self.mend(&container, &status);
        let holder = self.store.resolve(&container.image).ok().map(|image| image.id);
        let image = match holder {
            Some(id) if id == container.image_id => container.image.clone(),
            _ => container.image_id.short(),
        };
        ContainerSummary { container, status, image }
    }

    /// A container whose monitor died could not be taken down at its end.
    fn mend(&self, container: &Container, status: &Status) {
        let Status::Exited(exit) = status else { return };
        let left = || {
            container.auto_remove
                || self.has_joined(&self.run_dir(&container.id))
                || exit.code == CRASHED && ended::has_processes(&container.id)
        };
        if exit.finished_at < just_now() && left() {
            let _ = self.ended(&container.id);
        }
    }
}

/// The monitor's own clean-up gets some time before others step in.
fn just_now() -> Timestamp {
    Timestamp::now().checked_sub(jiff::SignedDuration::from_secs(5)).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl ContainerSummary {
    /// It runs.
    pub fn is_running(&self) -> bool {
        matches!(self.status, Status::Running { .. })
    }
}
