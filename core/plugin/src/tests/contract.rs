//! The contract's own text.

use crate::contract::{FILES, VERSION, text};

/// Lines that say nothing that could need an explanation.
fn is_plain(line: &str) -> bool {
    let words = ["package ", "use ", "import ", "export ", "}", "@since", "///"];
    line.is_empty() || words.iter().any(|word| line.starts_with(word))
}

#[test]
fn every_item_is_documented() {
    let mut items = 0;
    for (name, text) in FILES {
        let mut explained = false;
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.starts_with("///") {
                explained = true;
            } else if !line.starts_with("@since") {
                assert!(explained || is_plain(line), "wit/{name}:{}: `{line}` has no comment", number + 1);
                items += usize::from(!is_plain(line));
                explained = false;
            }
        }
    }
    assert!(items > 300, "{items}");
}

#[test]
fn every_file_is_part_of_it() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
    let mut found: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
    for (name, text) in FILES {
        assert!(text.starts_with(&format!("package wharf:plugin@{VERSION};\n")), "wit/{name}");
    }
    assert_eq!(text().matches("package ").count(), 1);
}
