//! Images as one file: what `save` writes and `load` and `import` read.
//!
//! ```text
//! blobs/sha256/<hex>   configs, manifests and layers, each once
//! index.json           OCI image index; `io.containerd.image.name` gives each name
//! manifest.json        docker's list: config, names and layers of each image, as paths
//! oci-layout
//! repositories         docker's list before 1.10: the top layer of each name; see `docker.rs`
//! ```
//!
//! A saved archive is an OCI image layout, and a docker archive as well unless it is to be the first
//! alone. An image about which something is said is an index of its own there, see `attested.rs`, and a name that
//! leads to images for several platforms goes as their index. `load` reads the index, and docker's list for what
//! it says beyond that: the list has no place for platforms. Nothing in an archive becomes a path of the host:
//! its files are kept aside by content until the images that list them are known.

pub(crate) mod attested;
mod docker;
mod import;
mod load;
mod oci;
mod place;
#[cfg(test)]
pub(crate) mod sample;
mod save;
#[cfg(test)]
mod tests;

use wharf_model::{Digest, Reference};

pub use import::{Import, import};
pub use load::{LoadError, Loaded, load};
pub(crate) use place::place;
pub use place::{Arrival, place_layer};
pub use save::{Form, SaveError, Saved, Statement, save, write_layer};

/// The type of an OCI image index.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// JSON files of an archive are not longer than this.
const JSON_LIMIT: u64 = 4 << 20;

/// An image as an archive lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Listed {
    config: Part,
    /// Lowest first.
    layers: Vec<Part>,
    names: Vec<Named>,
    /// The text of its manifest, where it has one.
    manifest: Option<Vec<u8>>,
}

/// A config or a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Part {
    path: Vec<u8>,
    /// Digest and length, where the list says them.
    is: Option<(Digest, Option<u64>)>,
}

/// A name, and the index that leads from it to the image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    name: Reference,
    via: Option<Digest>,
}

/// Where a blob is in an OCI image layout.
fn blob_path(digest: &Digest) -> Vec<u8> {
    format!("blobs/sha256/{}", digest.hex()).into_bytes()
}
