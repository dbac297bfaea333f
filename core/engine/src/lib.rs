//! Puts the rooms in order: building images, running containers, and what lies between.
//!
//! The engine asks plugins for plans, has them carried out by the runtime and the store, and
//! keeps the records. It knows neither a terminal nor a command line: what a front end shows
//! comes back as data, or through a callback.
//!
//! Every use case is a method of [`Engine`], one file each: `container/start.rs` holds
//! `Engine::start`. No daemon keeps state in memory, so each method reads what it needs from the
//! store, takes the locks it needs, and leaves everything true on disk.

pub mod author;
pub mod build;
pub mod container;
pub mod device;
pub mod disk;
pub mod event;
mod full;
mod home;
pub mod hook;
pub mod image;
mod info;
mod interrupt;
pub mod network;
mod open;
pub mod plugin;
mod remote;
mod snapshot;
mod unfinished;
pub mod volume;
mod whole;

pub use info::Info;
pub use interrupt::when_interrupted;
pub use open::{Engine, OpenError, Options, RegistryFiles};
pub use snapshot::SnapshotError;
pub use wharf_plugin::{Embedded, Event as PluginEvent, Level};
pub use whole::WholeFile;

/// The plugin contract that this engine speaks.
pub const CONTRACT: &str = "wharf:plugin@0.1.0";
