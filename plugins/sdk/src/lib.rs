//! What a plugin of wharf is written with.
//!
//! A plugin is a type that implements one trait and is handed to one macro:
//!
//! | kind | trait | macro |
//! |---|---|---|
//! | Dockerfile instruction | [`Instruction`] | [`export_instruction!`] |
//! | storage driver | [`StorageDriver`] | [`export_storage!`] |
//! | network driver | [`NetworkDriver`] | [`export_network!`] |
//! | hook | [`Hook`] | [`export_hook!`] |
//!
//! The crate is a `cdylib`. Compiled for `wasm32-unknown-unknown` it becomes a component that
//! can do nothing but ask and answer; compiled for the machine itself it becomes a native library
//! with the same behaviour, which the engine loads only where the configuration says so.
//!
//! ```
//! use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
//! use wharf_sdk::{Failure, Instruction, Request, refuse};
//!
//! /// `TEAM name` sets a label.
//! struct Team;
//!
//! impl Instruction for Team {
//!     fn describe() -> Vec<KeywordSpec> {
//!         vec![KeywordSpec::new("TEAM", "who to ask about this image", BodyKind::Text).expanding()]
//!     }
//!
//!     fn requests() -> Vec<Request> {
//!         vec![Request::new("ops:config", "sets a label")]
//!     }
//!
//!     fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
//!         match call.text() {
//!             "" => Err(refuse("TEAM requires a name").help("write `TEAM payments`")),
//!             name => Ok(Plan::config([ConfigChange::Label(("team".into(), name.into()))]).into()),
//!         }
//!     }
//! }
//!
//! wharf_sdk::export_instruction!(Team);
//! # fn main() {}
//! ```
//!
//! Name, version and summary of the plugin are those of its crate; what it needs to be granted it
//! says itself (`requests`), and the user grants it or does not.
//!
//! Nothing may be kept between two calls: each call of a component starts afresh. A panic fails
//! the call, not the engine; its message goes to the log.

#[doc(hidden)]
pub mod bindings;
pub mod devices;
mod diagnostic;
pub mod hook;
pub mod host;
pub mod instruction;
pub mod manifest;
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod native;
pub mod network;
pub mod path;
pub mod remote;
pub mod setting;
pub mod signatures;
pub mod state;
pub mod storage;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use bindings::instruction::wharf::plugin::types::{
    Diagnostic, ExtensionOp, Failure, FailureKind, Platform, Protocol, Settings, Severity, Span, StateChange,
    Value,
};
pub use diagnostic::refuse;
pub use hook::Hook;
pub use instruction::Instruction;
pub use manifest::{Manifest, Request};
pub use network::NetworkDriver;
pub use storage::StorageDriver;
