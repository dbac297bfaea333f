//! What others say about an image that is about to be pulled, for hooks that judge `image-pull`. It takes
//! the grant `read = ["signatures"]`. Nothing of it was verified.

pub use crate::bindings::hook::wharf::plugin::image_signatures::Signature;

use crate::Failure;
#[cfg(not(target_arch = "wasm32"))]
use crate::native as side;
#[cfg(target_arch = "wasm32")]
use component as side;

/// When the image was asked for, in seconds since 1970.
///
/// # Errors
/// When the plugin may not ask.
pub fn asked_at() -> Result<u64, Failure> {
    side::asked_at()
}

/// The digests that the image goes by: what its name leads to first, its manifest last. What is said of any
/// of them is said of the image.
///
/// # Errors
/// When the plugin may not ask.
pub fn digests() -> Result<Vec<String>, Failure> {
    side::digests()
}

/// What there is about one of these digests.
///
/// # Errors
/// When the plugin may not ask, or the registry does not tell.
pub fn about(subject: &str) -> Result<Vec<Signature>, Failure> {
    side::about(subject)
}

/// A file of the site's directory of signatures, by its name alone; `None` when it is not there.
///
/// # Errors
/// When the plugin may not ask, or the name leads elsewhere.
pub fn site_file(name: &str) -> Result<Option<Vec<u8>>, Failure> {
    side::site_file(name)
}

#[cfg(target_arch = "wasm32")]
mod component {
    pub(super) use crate::bindings::hook::wharf::plugin::image_signatures::{
        about, asked_at, digests, site_file,
    };
}
