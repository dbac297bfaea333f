//! A container's start and its end, with what docker tells about its network and its volumes.
//!
//! The end may be met by the monitor's command, by the client that waited and by any later command.
//! A file in the run directory says that it is still to be told; who removes it, tells.

use std::fs;
use std::path::Path;

use wharf_runtime::monitor::Status;

use super::{Entry, Kind};
use crate::Engine;
use crate::container::{Container, MountKind};

/// In the run directory from the start on.
const UNTOLD: &str = "end-untold";

impl Engine {
    /// Held locked by the caller, so that the end can not come first.
    pub(crate) fn note_start(&self, container: &Container, attach: Option<Entry>) {
        let network = network(container, "connect");
        let mounts = volumes(container, "mount");
        let start = Entry::of(container, "start");
        self.note(attach.into_iter().chain(network).chain(mounts).chain([start]));
        // Without it the end is not told, which stops nothing.
        let _ = fs::write(self.untold(container), "");
    }

    /// Tells the end of a container that ran, once.
    pub(crate) fn note_end(&self, container: &Container) {
        if fs::remove_file(self.untold(container)).is_err() {
            return;
        }
        let Status::Exited(exit) = self.status(container) else { return };
        let oom = exit.oom_killed.then(|| Entry::of(container, "oom"));
        let die = Entry::of(container, "die").with("exitCode", exit.code.to_string());
        let network = network(container, "disconnect");
        self.note(oom.into_iter().chain([die]).chain(network).chain(volumes(container, "unmount")));
    }

    fn untold(&self, container: &Container) -> impl AsRef<Path> + use<> {
        self.run_dir(&container.id).join(UNTOLD)
    }
}

fn network(container: &Container, action: &str) -> Option<Entry> {
    let joined = container.joined.as_ref()?;
    let entry = Entry::network(action, &joined.network, &joined.network_id, &joined.driver);
    Some(entry.with("container", &container.id))
}

fn volumes(container: &Container, action: &str) -> Vec<Entry> {
    let volumes = container.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
    let entry = |mount: &crate::container::Mount| {
        let entry = Entry::new(Kind::Volume, action, &mount.name).with("container", &container.id);
        let entry = entry.with("driver", "local");
        match action {
            "mount" => entry
                .with("destination", &mount.target)
                .with("propagation", &mount.propagation)
                .with("read/write", (!mount.read_only).to_string()),
            _ => entry,
        }
    };
    volumes.map(entry).collect()
}
