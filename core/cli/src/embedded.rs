//! The default plugins: components in the binary, configured in the user's own syntax.

use wharf_engine::Embedded;

/// The config that every other one amends.
pub(crate) const DEFAULTS: &str = include_str!("defaults.toml");

/// A component under the name that `source = "embedded:..."` uses.
macro_rules! components {
    ($($name:literal),* $(,)?) => {
        &[$(Embedded {
            name: $name,
            bytes: include_bytes!(concat!("../../../plugins/prebuilt/", $name, ".wasm")),
            digest: None,
        }),*]
    };
}

/// The components that this binary holds.
pub(crate) static PLUGINS: &[Embedded] = components![
    "add",
    "arg",
    "bridge",
    "cmd",
    "copy",
    "entrypoint",
    "env",
    "expose",
    "from",
    "guard",
    "healthcheck",
    "host",
    "label",
    "maintainer",
    "none",
    "onbuild",
    "overlay",
    "run",
    "shell",
    "stopsignal",
    "storage-copy",
    "user",
    "volume",
    "workdir",
];
