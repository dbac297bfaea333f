//! `# name=value` at the very top of a file.
//!
//! Known names are `syntax`, `escape` and `check`. The first line that is no directive, an unknown
//! one included, ends them; the same one twice is an error. [`everywhere`] has the other places in which BuildKit
//! looks for a `syntax` and a `check`; `escape` is what the parser reads and nothing else.

use serde::Serialize;
use wharf_model::Span;

use super::DEFAULT_ESCAPE;
use super::error::Problem;

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directive {
    /// `syntax`, `escape` or `check`.
    pub name: String,
    /// What follows the `=`.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

impl Directive {
    fn new(name: String, value: &str, file: &str, (number, line): (u32, &str)) -> Self {
        let end_column = u32::try_from(line.len()).unwrap_or(u32::MAX).max(1);
        let span = Span { file: file.to_owned(), line: number, column: 1, end_line: number, end_column };
        Self { name, value: value.to_owned(), span }
    }

    /// What a `syntax` names: its value up to the first blank.
    pub fn frontend(&self) -> &str {
        self.value.split(' ').next().unwrap_or_default()
    }
}

/// Reads directives line by line.
#[derive(Debug, Default)]
pub(super) struct Directives {
    found: Vec<Directive>,
    escape: Option<char>,
    done: bool,
}

impl Directives {
    /// Looks for none.
    pub(super) fn none(escape: char) -> Self {
        Self { found: Vec::new(), escape: Some(escape), done: true }
    }

    pub(super) fn escape(&self) -> char {
        self.escape.unwrap_or(DEFAULT_ESCAPE)
    }

    /// Whether `line` is a directive. Must see every line that begins a statement or a comment.
    pub(super) fn read(&mut self, line: &str, number: u32, file: &str) -> Result<bool, Problem> {
        let parsed = if self.done { None } else { line.strip_prefix('#').and_then(name_and_value) };
        let Some((name, value)) = parsed else {
            self.done = true;
            return Ok(false);
        };
        if self.found.iter().any(|found| found.name == name) {
            return Err(Problem::RepeatedDirective(name));
        }
        if name == "escape" {
            self.escape = Some(escape_character(value)?);
        }
        self.found.push(Directive::new(name, value, file, (number, line)));
        Ok(true)
    }
}

fn escape_character(value: &str) -> Result<char, Problem> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        other => Err(Problem::EscapeCharacter(other.to_owned())),
    }
}

/// `name = value` with a known name.
fn name_and_value(text: &str) -> Option<(String, &str)> {
    let (name, value) = text.trim_start().split_once('=')?;
    let name = name.trim_end().to_ascii_lowercase();
    let known = matches!(name.as_str(), "syntax" | "escape" | "check");
    let value = value.trim();
    (known && !value.is_empty()).then_some((name, value))
}

/// The directives of a file, wherever BuildKit finds them: in comments at the top; `syntax` and `check` behind a
/// `#!` line, which ends those that the parser itself goes by; `syntax` in `//` comments or in a JSON object.
pub(super) fn everywhere(text: &str, file: &str) -> Vec<Directive> {
    let (before, text) = match text.strip_prefix("#!") {
        Some(rest) => (1, rest.split_once('\n').map_or("", |(_, rest)| rest)),
        None => (0, text),
    };
    let mut found = in_comments(text, "#", before, file);
    found.retain(|directive| before == 0 || directive.name != "escape");
    if !found.iter().any(|directive| directive.name == "syntax") {
        let slashed = in_comments(text, "//", before, file).into_iter();
        let elsewhere = slashed.chain(in_json(text, before, file));
        found.extend(elsewhere.filter(|directive| directive.name == "syntax"));
    }
    found
}

fn in_comments(text: &str, mark: &str, before: u32, file: &str) -> Vec<Directive> {
    let mut found: Vec<Directive> = Vec::new();
    for (line, number) in text.lines().zip(before + 1..) {
        let line = line.trim_start();
        let Some((name, value)) = line.strip_prefix(mark).and_then(name_and_value) else { break };
        if found.iter().any(|known| known.name == name) {
            break;
        }
        found.push(Directive::new(name, value, file, (number, line)));
    }
    found
}

fn in_json(text: &str, before: u32, file: &str) -> Option<Directive> {
    let object: serde_json::Value = serde_json::from_str(text).ok()?;
    let syntax = object.get("syntax")?.as_str()?;
    Some(Directive::new(
        "syntax".to_owned(),
        syntax,
        file,
        (before + 1, text.lines().next().unwrap_or_default()),
    ))
}
