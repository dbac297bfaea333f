use crate::output;
use crate::report::Report;

/// The contract, file by file.
const FILES: [&str; 10] = [
    include_str!("../../../../../wit/types.wit"),
    include_str!("../../../../../wit/about.wit"),
    include_str!("../../../../../wit/host.wit"),
    include_str!("../../../../../wit/remote.wit"),
    include_str!("../../../../../wit/devices.wit"),
    include_str!("../../../../../wit/instruction.wit"),
    include_str!("../../../../../wit/storage.wit"),
    include_str!("../../../../../wit/network.wit"),
    include_str!("../../../../../wit/signatures.wit"),
    include_str!("../../../../../wit/hook.wit"),
];

/// Print the contract that plugins are built against, as one WIT file
#[derive(Debug, clap::Args)]
pub(crate) struct Wit {
    /// Only this world and what it needs
    #[arg(long, value_name = "WORLD", value_parser = ["instruction", "storage", "network", "hook"])]
    world: Option<String>,
}

impl Wit {
    pub(crate) fn run(&self) -> Result<u8, Report> {
        let (package, items) = contract();
        let wanted: Vec<&Item> = match &self.world {
            None => items.iter().collect(),
            Some(world) => needed(&items, &format!("{world}-plugin")),
        };
        let texts: Vec<&str> = wanted.iter().map(|item| item.text.as_str()).collect();
        output::text(&format!("{package}\n\n{}", texts.join("\n")))?;
        Ok(0)
    }
}

/// An interface or a world, with the comment above it.
struct Item {
    name: String,
    text: String,
}

/// The package's own line, which a file may have only once, and the items of all files.
fn contract() -> (&'static str, Vec<Item>) {
    let mut package = "";
    let mut items = Vec::new();
    for file in FILES {
        let mut text = String::new();
        let mut name = None;
        for line in file.lines() {
            if line.starts_with("package ") {
                package = line;
                text.clear();
                continue;
            }
            if let Some(named) = named(line) {
                name = Some(named.to_owned());
            }
            if !(text.is_empty() && line.is_empty()) {
                text += line;
                text.push('\n');
            }
            if line == "}" {
                items.push(Item { name: name.take().unwrap_or_default(), text: std::mem::take(&mut text) });
            }
        }
    }
    (package, items)
}

fn named(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("interface ").or_else(|| line.strip_prefix("world "))?;
    rest.split([' ', '{']).next()
}

/// A world and everything it imports, exports and uses, in the order of the contract.
fn needed<'a>(items: &'a [Item], world: &str) -> Vec<&'a Item> {
    let mut names = vec![world.to_owned()];
    let mut at = 0;
    while let Some(name) = names.get(at).cloned() {
        let lines = items.iter().filter(|item| item.name == name).flat_map(|item| item.text.lines());
        for other in lines.filter_map(mentioned) {
            if !names.iter().any(|known| known == other) {
                names.push(other.to_owned());
            }
        }
        at += 1;
    }
    items.iter().filter(|item| names.contains(&item.name)).collect()
}

/// `use types.{...}`, `import host;`, `export hook;`.
fn mentioned(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let rest = ["use ", "import ", "export "].iter().find_map(|word| line.strip_prefix(word))?;
    rest.split(['.', ';', ' ']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_of_the_contract_is_missing() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            assert!(FILES.contains(&&*text), "{} is not printed", entry.path().display());
        }
    }

    #[test]
    fn a_world_brings_what_it_needs_and_nothing_else() {
        let (package, items) = contract();
        assert!(package.starts_with("package wharf:plugin@0.1"));
        let names: Vec<&str> =
            needed(&items, "network-plugin").iter().map(|item| item.name.as_str()).collect();
        for name in ["types", "host", "state", "network-plan", "network-driver", "network-plugin"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(!names.contains(&"build-plan") && !names.contains(&"hook"), "{names:?}");
    }
}
