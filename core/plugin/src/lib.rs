//! Plugins: their configuration, their grants, and the hosts they run in.
//!
//! [`Config::load`] reads the TOML, [`Plugins::load`] takes it without opening a plugin's file,
//! and the engine then asks for a keyword, a driver or the hooks of a moment. What comes back is
//! one of the traits of [`kind`]: plain data in, a plan of `wharf-model` out, validated and
//! authorised. A plugin is a WebAssembly component in a sandbox, or, where the user says so in
//! as many words, a native library.
//!
//! What a plugin asks while it plans goes through [`kind::BuildContext`]; wrapped in a
//! [`trace::Traced`] it is written down, so that the plan can be reused while the answers stay the
//! same.
//!
//! This crate knows neither the store nor the runtime, and it carries nothing out.

mod aot;
pub mod authorize;
mod bindings;
pub mod config;
pub mod contract;
mod convert;
mod dylib;
mod error;
mod hook;
mod imports;
mod instruction;
pub mod kind;
mod loaded;
pub mod lock;
mod native;
mod network;
pub mod outline;
mod registry;
mod remote;
pub mod rights;
mod session;
pub mod shelf;
mod storage;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod trace;
mod wasi;
mod wasm;

use std::time::Duration;

pub use authorize::Denied;
pub use config::{
    Approval, Config, ConfigError, Level, Limits, NetworkConfig, Place, PluginConfig, PluginSource,
};
pub use config::{Request, Source, Trust, World};
pub use error::{Fault, PluginError};
pub use kind::{BuildContext, Entry, EntryKind, Hook, Instruction, Network, ResolvedImage, Root, StateView};
pub use kind::{ImageFiles, ImageSignatures, Remote, Signature, Storage};
pub use registry::{Embedded, Plugins, Portrait, Role};
pub use session::with_signatures;
pub use trace::{Trace, Traced};
use wharf_model::Diagnostic;

/// What one call of a component used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// WebAssembly instructions, roughly; 0 for hooks, which run against a clock.
    pub fuel: u64,
    /// Bytes of all its memories together when it ended, which is the most it had.
    pub memory: u64,
    /// Until the fresh instance was ready.
    pub instantiated: Duration,
    /// All of it.
    pub took: Duration,
}

/// Something a front end may show while a plugin is asked.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A component is compiled for the first time, which takes a while.
    Compiling {
        /// Which plugin.
        plugin: &'a str,
        /// How large it is.
        bytes: usize,
    },
    /// It is done.
    Compiled {
        /// Which plugin.
        plugin: &'a str,
        /// How long it took.
        took: Duration,
    },
    /// A plugin asked for something that it was not granted; it may go on without.
    Denied {
        /// Which plugin.
        plugin: &'a str,
        /// What it lacks, as `read:image`.
        right: &'a str,
    },
    /// A call of a component is over.
    Called {
        /// Which plugin.
        plugin: &'a str,
        /// Which function of the contract.
        function: &'a str,
        /// What it cost.
        cost: Cost,
    },
    /// A plugin logs a line.
    Log {
        /// Which plugin.
        plugin: &'a str,
        /// `debug`, `info`, ...: the plugin's own word.
        level: &'a str,
        /// The line.
        message: &'a str,
    },
    /// A plugin reports something, and its answer has no place for it.
    Diagnostic {
        /// Which plugin.
        plugin: &'a str,
        /// What it reports.
        diagnostic: &'a Diagnostic,
    },
}
