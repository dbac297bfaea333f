//! What takes room on the disk, and freeing what nobody uses: `system df` and the `prune` verbs.
//!
//! A layer is counted once, whoever shares it. An image is in use when a container was made from
//! it, a volume when a container has it; a layer of the build cache, when an image or a container
//! stands on it too. Nothing that is in use is ever removed by a prune.

mod cache;
mod prune;
mod usage;

pub use cache::{Cached, CachedPlace, Trim};
pub use prune::{Keep, PruneError, Pruned, Scope};
pub use usage::{CacheUsage, ContainerUsage, DiskUsage, ImageUsage, VolumeUsage};
