//! The build cache as something to carry from one machine to another.
//!
//! ```text
//! DIR/index.json           OCI image index with one manifest
//! DIR/oci-layout
//! DIR/blobs/sha256/<hex>   the manifest; its config, which is a list of records; the layers
//! ```
//!
//! In a registry there is the same manifest under a tag. A record says that the step with this key leads to
//! this layer; there is one for each step of all stages. With `min` the layers are those of the image, with
//! `max` those of all stages. `inline` writes the records into the image's config, under `wharf.cache.v1`,
//! where they change its id.
//!
//! | file | |
//! |---|---|
//! | `syntax` | what is typed |
//! | `record` | a build -> its records |
//! | `read`, `directory` | a cache -> records, and where its layers are |
//! | `imported` | which step is known, and its layer, once somebody wants it |
//! | `write`, `send` | records and layers -> a directory, a registry |
//!
//! **What is true.** Reading a cache reads its records alone. A layer comes when a step that is not known
//! stands on it or reads from it, or when it is part of the result. It is checked against its digests, the
//! one of the blob and the one of its files, and it has to stand on what its step stands on. One that does
//! not come, or is something else, is struck out, and the build begins anew without it: what was built
//! meanwhile is kept. That a key leads to a layer is the word of whoever wrote the cache: to read a foreign
//! cache is to run what its writer built. What this machine knows already, it keeps; what a cache told it,
//! it keeps as well, also of a layer that did not come. When somebody wants that one later, and no cache that
//! is read has it, it is struck out like any other.

mod directory;
mod imported;
mod read;
mod record;
mod send;
mod syntax;
mod write;

use std::path::PathBuf;

use wharf_model::Reference;

pub use syntax::CacheSyntaxError;
pub use write::CacheWriteError;

pub use imported::Lost;
pub(super) use imported::{Found, Imported};
pub(super) use record::{INLINE, LayerRecord};

/// A cache to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheFrom {
    /// A directory that [`CacheTo::Local`] wrote.
    Local(PathBuf),
    /// What [`CacheTo::Registry`] wrote, or an image there that was built with [`CacheTo::Inline`].
    Registry(Reference),
    /// An image with an inline cache: one that is here, else one in a registry.
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
        /// That it can not be written is a warning.
        lenient: bool,
    },
    /// A name in a registry, which leads to it from then on.
    Registry {
        /// Which.
        to: Reference,
        /// What of the cache.
        mode: CacheMode,
        /// That it can not be written is a warning.
        lenient: bool,
    },
    /// The image's config.
    Inline,
}

/// Which layers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMode {
    /// The layers of the image.
    Min,
    /// The layers of all stages.
    Max,
}
