//! What a plugin's file says of itself before it is compiled or run: what it exports and imports.

use wasmparser::{Encoding, Parser, Payload};

use crate::config::World;
use crate::{Fault, loaded};

/// A file from the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// What it is.
    pub form: Form,
    /// Bytes.
    pub size: u64,
    /// Interfaces it exports, with their versions; empty for a library, which tells only when it runs.
    pub exports: Vec<String>,
    /// Interfaces it imports.
    pub imports: Vec<String>,
}

/// What a plugin's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A WebAssembly component.
    Component,
    /// A shared library.
    Library,
}

impl Form {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::Library => "native library",
        }
    }
}

impl Outline {
    /// Looks at a file's content.
    ///
    /// # Errors
    /// When it is neither a component nor a library.
    pub fn of(bytes: &[u8]) -> Result<Self, Fault> {
        let size = bytes.len() as u64;
        if bytes.starts_with(b"\x7fELF") {
            return Ok(Self { form: Form::Library, size, exports: Vec::new(), imports: Vec::new() });
        }
        let mut outline = Self { form: Form::Component, size, exports: Vec::new(), imports: Vec::new() };
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|error| not_a_component(error.message()))? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(not_a_component("it is a core WebAssembly module"));
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let export = export.map_err(|error| not_a_component(error.message()))?;
                        outline.exports.push(export.name.name.to_owned());
                    }
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let import = import.map_err(|error| not_a_component(error.message()))?;
                        outline.imports.push(import.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(outline)
    }

    /// The contract that it fulfils.
    ///
    /// # Errors
    /// When it exports none of them.
    pub fn world(&self) -> Result<World, Fault> {
        let interfaces = self.exports.iter().filter_map(|name| name.strip_prefix("wharf:plugin/"));
        let mut names = interfaces.map(|name| name.split_once('@').map_or(name, |(interface, _)| interface));
        let world = names.find_map(|interface| match interface {
            "instruction" => Some(World::Instruction),
            "storage-driver" => Some(World::Storage),
            "network-driver" => Some(World::Network),
            "hook" => Some(World::Hook),
            _ => None,
        });
        world.ok_or_else(|| Fault::NoContract { exports: self.exports.clone() })
    }

    /// What it wants of WASI, which is answered with stubs or not at all.
    pub fn wasi(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().map(String::as_str).filter(|name| name.starts_with("wasi:"))
    }
}

/// Bytes of a plugin's code at most.
pub const LARGEST: u64 = loaded::FILE;

/// A plugin's file, bounded.
///
/// # Errors
/// When it can not be read, or is too large for any plugin.
pub fn read(path: &std::path::Path) -> Result<Vec<u8>, Fault> {
    loaded::read(path)
}

fn not_a_component(reason: &str) -> Fault {
    Fault::NotAComponent { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_its_contract() {
        let prebuilt = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/prebuilt");
        for (name, world) in [
            ("run", World::Instruction),
            ("overlay", World::Storage),
            ("bridge", World::Network),
            ("guard", World::Hook),
        ] {
            let outline = Outline::of(&read(&prebuilt.join(format!("{name}.wasm"))).unwrap()).unwrap();
            assert_eq!(outline.world().unwrap(), world, "{name}");
            assert!(
                outline.imports.iter().any(|name| name.starts_with("wharf:plugin/types@")),
                "{outline:?}"
            );
            assert_eq!(outline.wasi().count(), 0);
        }
    }

    #[test]
    fn other_files_say_what_they_are() {
        let foreign =
            "(component (component $c) (instance $i (instantiate $c)) (export \"x\" (instance $i)))";
        let foreign = Outline::of(&wat::parse_str(foreign).unwrap()).unwrap();
        assert_eq!(foreign.exports, ["x"]);
        assert!(matches!(foreign.world(), Err(Fault::NoContract { .. })));
        assert_eq!(Outline::of(b"\x7fELF\x02\x01\x01").unwrap().form, Form::Library);
        for (bytes, words) in [
            (&b"hello"[..], "not a component"),
            (b"", "not a component"),
            (b"\0asm\x01\0\0\0", "it is a core WebAssembly module"),
        ] {
            let said = Outline::of(bytes).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}
