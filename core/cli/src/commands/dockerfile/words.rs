use std::collections::BTreeMap;
use std::io::BufRead;

use serde::Deserialize;
use serde_json::{Value, json};
use wharf_engine::build::dockerfile::DEFAULT_ESCAPE;
use wharf_engine::build::words::Lexer;

use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Expand words as a Dockerfile does: a JSON object a line in, a JSON object a line out
///
/// In: {"word": "${A:-b}", "env": {"A": "1"}, "escape": "\\"}. Out: {"text": "1", "words": ["1"], "unset": []}, or
/// {"error": "..."}.
#[derive(Debug, clap::Args)]
pub(crate) struct Words {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    word: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    escape: Option<char>,
}

impl Words {
    #[allow(clippy::unused_self, reason = "every verb is run the same way")]
    pub(crate) fn run(&self, _: &Globals) -> Result<u8, Report> {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|error| Report::message(1, format!("cannot read the input: {error}")))?;
            if !line.trim().is_empty() {
                output::lines([answer(&line)?.to_string()])?;
            }
        }
        Ok(0)
    }
}

fn answer(line: &str) -> Result<Value, Report> {
    let asked: Asked = serde_json::from_str(line)
        .map_err(|error| Report::message(1, format!("`{}`: {error}", output::printable(line))))?;
    let lexer = Lexer::new(asked.escape.unwrap_or(DEFAULT_ESCAPE));
    Ok(match lexer.word(&asked.word, &asked.env) {
        Ok(expanded) => json!({ "text": expanded.text, "words": expanded.words, "unset": expanded.unset }),
        Err(error) => json!({ "error": error.to_string() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_expanded_and_split() {
        let answer = answer(r#"{"word": "${A:-b} $B 'c d'", "env": {"B": "1 2"}}"#).ok().unwrap();
        assert_eq!(answer["text"], "b 1 2 c d");
        assert_eq!(answer["words"], json!(["b", "1", "2", "c d"]));
        assert_eq!(answer["unset"], json!(["A"]));
    }

    #[test]
    fn what_can_not_be_expanded_says_why() {
        let answer = answer(r#"{"word": "'x"}"#).ok().unwrap();
        assert!(answer["error"].as_str().is_some_and(|error| !error.is_empty()), "{answer}");
    }
}
