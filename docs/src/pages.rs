//! Markers in the book's pages, and what takes their place.
//!
//! mdBook writes `[context, book]` as JSON and reads the book back. A chapter is an object with a
//! text in `content`, wherever it is nested.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::{Outcome, commands, contract};

const CONTRACT: &str = "{{#contract}}";
const COMMANDS: &str = "{{#commands}}";

/// Reads the book, puts the generated parts in, and writes it.
pub(crate) fn preprocess() -> Outcome<()> {
    let (context, mut book): (Value, Value) = serde_json::from_reader(std::io::stdin())?;
    let root = context["root"].as_str().ok_or("mdBook did not say where the book is")?;
    let top = PathBuf::from(root).join("..");
    fill(&mut book, CONTRACT, &mut || contract::render(&top.join("wit")))?;
    fill(&mut book, COMMANDS, &mut || commands::render(&commands::program(&top)))?;
    serde_json::to_writer(std::io::stdout(), &book)?;
    Ok(std::io::stdout().flush()?)
}

/// Replaces a marker in every chapter; `make` is asked when there is one.
fn fill(value: &mut Value, marker: &str, make: &mut dyn FnMut() -> Outcome<String>) -> Outcome<()> {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "content" && text.contains(marker) => {
                        *text = text.replace(marker, &make()?);
                    }
                    _ => fill(field, marker, make)?,
                }
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, marker, make)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_marker_is_replaced_in_nested_chapters_and_nowhere_else() {
        let mut book = json!({"items": [{"Chapter": {
            "name": "a {{#x}}", "content": "before\n{{#x}}\n",
            "sub_items": [{"Chapter": {"content": "{{#x}}"}}],
        }}]});
        fill(&mut book, "{{#x}}", &mut || Ok("made".into())).unwrap();
        let chapter = &book["items"][0]["Chapter"];
        assert_eq!(chapter["content"], "before\nmade\n");
        assert_eq!(chapter["sub_items"][0]["Chapter"]["content"], "made");
        assert_eq!(chapter["name"], "a {{#x}}");
    }

    #[test]
    fn nothing_is_made_for_a_book_without_markers() {
        let mut book = json!({"items": [{"Chapter": {"content": "plain"}}]});
        fill(&mut book, "{{#x}}", &mut || Err("asked".into())).unwrap();
    }
}
