//! Records of what is not an image: containers, networks and their leases, volumes, the state
//! of drivers, the build cache.
//!
//! A record is a JSON text that the caller understands, with the columns by which it is found.

mod attachment;
mod cache;
mod container;
mod driver;
mod lease;
mod manifest_list;
mod network;
mod plan;
mod remote;
mod volume;

pub use attachment::{AttachError, Attachment, Attachments};
pub use cache::{Cache, CacheEntry, CacheItem};
pub use container::{Containers, Lookup, NameTaken, Record};
pub use driver::DriverState;
pub use lease::LeaseError;
pub use manifest_list::ManifestLists;
pub use network::Networks;
pub use plan::Plans;
pub(crate) use remote::PATIENCE;
pub use remote::{Remote, Remotes, repository};
pub use volume::{VolumeRecord, Volumes};

use crate::Store;

impl Store {
    /// Records of containers.
    pub fn containers(&self) -> Containers<'_> {
        Containers { database: &self.database }
    }

    /// Records of networks, and the addresses that containers hold on them.
    pub fn networks(&self) -> Networks<'_> {
        Networks { database: &self.database }
    }

    /// Records of volumes, and which containers use them.
    pub fn volumes(&self) -> Volumes<'_> {
        Volumes { database: &self.database }
    }

    /// What the driver called `plugin` remembers.
    pub fn driver_state<'a>(&'a self, plugin: &'a str) -> DriverState<'a> {
        DriverState { database: &self.database, plugin }
    }

    /// What is kept beside images.
    pub fn attachments(&self) -> Attachments<'_> {
        Attachments { store: self }
    }

    /// Indexes that are being put together.
    pub fn manifest_lists(&self) -> ManifestLists<'_> {
        ManifestLists { database: &self.database }
    }

    /// Plans of Dockerfile statements.
    pub fn plans(&self) -> Plans<'_> {
        Plans { database: &self.database }
    }

    /// What registries call images, and where they hold blobs.
    pub fn remotes(&self) -> Remotes<'_> {
        Remotes { store: self }
    }

    /// The build cache.
    pub fn cache(&self) -> Cache<'_> {
        Cache { database: &self.database }
    }
}
