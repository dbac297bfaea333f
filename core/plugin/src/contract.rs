//! The contract that plugins are written against: the package `wharf:plugin`, in `wit/`.
//!
//! A component fits when it exports `about` and the interface of its kind under their names, in a
//! version with the same major and minor number. Types are compared when it is loaded.

/// The contract's version.
pub const VERSION: &str = "0.1.0";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Its files, by name.
        pub const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../wit/", $name)))),*];

        /// All files, one after the other.
        pub(crate) const WIT: &str = concat!($(include_str!(concat!("../../../wit/", $name))),*);
    };
}

files!(
    "about.wit",
    "devices.wit",
    "hook.wit",
    "host.wit",
    "instruction.wit",
    "network.wit",
    "remote.wit",
    "signatures.wit",
    "storage.wit",
    "types.wit",
);

/// The package as one file.
pub fn text() -> String {
    let package = format!("package wharf:plugin@{VERSION};\n");
    let interfaces = FILES.iter().map(|(_, text)| text.strip_prefix(&package).unwrap_or(text));
    std::iter::once(package.as_str()).chain(interfaces).collect()
}
