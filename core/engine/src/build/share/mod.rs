//! The build cache as something to carry from one machine to another.
//!
//! ```text
//! DIR/index.json           OCI image index with one manifest
//! DIR/oci-layout
//! DIR/blobs/sha256/<hex>   the manifest; its config, which is a list of records; the layers
//! ```
//!
//! A record says that the step with this key leads to this layer. Records are in the order in which a
//! layer comes after the one that it stands on. With `min` they are those of the image's own layers,
//! with `max` those of all stages. `inline` writes the records of the image's layers into its config,
//! under `wharf.cache.v1`, where they change its id.
//!
//! A layer that is read is checked against its digests, the one of the blob and the one of its files.
//! That a key leads to it is the word of whoever wrote the cache: to read a foreign cache is to run
//! what its writer built. What this machine knows already, it keeps; of a record whose layer is
//! missing or stands on nothing that is here, no use is made.

mod read;
mod record;
mod syntax;
mod write;

use std::path::PathBuf;

pub use syntax::CacheSyntaxError;
pub use write::CacheWriteError;

pub(super) use record::INLINE;

/// A cache to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheFrom {
    /// A directory that [`CacheTo::Local`] wrote.
    Local(PathBuf),
    /// An image in the store that was built with [`CacheTo::Inline`].
    Image(String),
}

/// A cache to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheTo {
    /// A directory; what is in it already stays.
    Local {
        /// Which; made when it is missing.
        to: PathBuf,
        /// What of the cache.
        mode: CacheMode,
    },
    /// The image's config.
    Inline,
}

/// What of the cache is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMode {
    /// The layers of the image.
    Min,
    /// The layers of all stages.
    Max,
}
