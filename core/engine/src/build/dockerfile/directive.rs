//! `# name=value` at the very top of a file.
//!
//! Known names are `syntax`, `escape` and `check`. The first line that is no directive, an unknown
//! one included, ends them; the same one twice is an error.

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

/// Reads directives line by line.
#[derive(Debug, Default)]
pub(super) struct Directives {
    pub(super) found: Vec<Directive>,
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
        let end_column = u32::try_from(line.len()).unwrap_or(u32::MAX);
        let span = Span { file: file.to_owned(), line: number, column: 1, end_line: number, end_column };
        self.found.push(Directive { name, value: value.to_owned(), span });
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

/// `syntax` in a comment, behind a `#!` line, in a `//` comment, or in a JSON object.
pub(super) fn syntax(text: &str) -> Option<String> {
    let text = match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n')?.1,
        None => text,
    };
    let value = in_comments(text, "#").or_else(|| in_comments(text, "//")).or_else(|| in_json(text))?;
    Some(value.split(' ').next().unwrap_or_default().to_owned())
}

fn in_comments(text: &str, mark: &str) -> Option<String> {
    let comments = text.lines().map_while(|line| line.strip_prefix(mark).and_then(name_and_value));
    comments.into_iter().find(|(name, _)| name == "syntax").map(|(_, value)| value.to_owned())
}

fn in_json(text: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(text).ok()?;
    object.get("syntax")?.as_str().map(str::to_owned)
}
