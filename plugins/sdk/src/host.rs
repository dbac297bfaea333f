//! What every plugin may ask of the engine. Nothing here can change a result.

#[cfg(not(target_arch = "wasm32"))]
use crate::native as side;
#[cfg(target_arch = "wasm32")]
use component as side;

use crate::{Diagnostic, Settings};

/// Names of what the engine supports beyond this version of the contract.
pub fn features() -> Vec<String> {
    side::features()
}

/// The plugin's own `settings` table, sorted by key.
pub fn settings() -> Settings {
    side::settings_of_plugin()
}

/// A line for the log.
pub fn log(level: &str, message: &str) {
    side::log(level, message);
}

/// A diagnostic that goes with whatever the call returns.
pub fn report(diagnostic: &Diagnostic) {
    side::report(diagnostic);
}

#[cfg(target_arch = "wasm32")]
mod component {
    pub(super) use crate::bindings::instruction::wharf::plugin::host::{
        features, log, report, settings_of_plugin,
    };
}

/// Sends what a panic says to the log: a component has no standard error.
#[cfg(target_arch = "wasm32")]
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| log("error", &panic.to_string())));
}
