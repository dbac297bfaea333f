//! The default plugins: components in the binary, configured in the user's own syntax.
//!
//! What each says of itself is in the binary, too (`plugins/prebuilt/DESCRIPTIONS`): only a plugin that is
//! used is compiled.

use wharf_engine::Embedded;

/// The config that every other one amends.
pub(crate) const DEFAULTS: &str = include_str!("defaults.toml");

// The components that this binary holds, as `build.rs` found them.
include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
