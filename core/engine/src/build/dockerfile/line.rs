//! Physical lines to logical ones: comments dropped, continuations joined.

use std::collections::BTreeMap;

use wharf_model::statement::Heredoc;

use super::directive::Directives;
use super::error::Problem;
use super::heredoc::Announced;

/// A line with its continuations.
#[derive(Debug)]
pub(super) struct Logical {
    /// Without comments and escapes at the ends of lines.
    pub(super) text: String,
    /// The number of its first line.
    pub(super) first: u32,
    /// The comments right above it.
    pub(super) comments: Vec<String>,
    /// An empty line stands where it is continued.
    pub(super) has_empty_lines: bool,
}

/// The lines of a text, each with its line feed.
pub(super) struct Lines<'a> {
    rest: &'a str,
    last: &'a str,
    number: u32,
    /// Lines that are no UTF-8, with the first such byte of each.
    broken: BTreeMap<u32, u8>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, broken: BTreeMap<u32, u8>) -> Self {
        Self { broken, ..Self::after(0, text) }
    }

    /// The first of them is number `before` + 1.
    pub(super) fn after(before: u32, text: &'a str) -> Self {
        Self { rest: text, last: "", number: before, broken: BTreeMap::new() }
    }

    /// The number of the line read last.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The last column of the line read last.
    pub(super) fn last_column(&self) -> u32 {
        u32::try_from(without_end(self.last).len()).unwrap_or(u32::MAX).max(1)
    }

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let length = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        (self.last, self.rest) = self.rest.split_at(length);
        self.number = self.number.saturating_add(1);
        Some(self.last)
    }

    /// The next line that is neither empty nor a comment nor a directive.
    pub(super) fn logical(
        &mut self,
        directives: &mut Directives,
        file: &str,
    ) -> Result<Option<Logical>, Problem> {
        let mut comments = Vec::new();
        while let Some(line) = self.next() {
            let line = without_end(line).trim_start();
            let is_directive = directives.read(line, self.number, file)?;
            if let Some(comment) = line.strip_prefix('#') {
                if !is_directive {
                    remember(&mut comments, comment);
                }
                continue;
            }
            if line.is_empty() {
                continue;
            }
            let first = self.number;
            let (text, has_empty_lines) = self.continued(line, directives.escape())?;
            if !text.trim().is_empty() {
                return Ok(Some(Logical { text, first, comments, has_empty_lines }));
            }
        }
        Ok(None)
    }

    /// Joins `line` with the lines that continue it.
    fn continued(&mut self, line: &str, escape: char) -> Result<(String, bool), Problem> {
        let mut has_empty_lines = false;
        self.refuse_broken()?;
        let (start, mut goes_on) = continuation(line, escape);
        let mut text = start.to_owned();
        while goes_on {
            let Some(line) = self.next().map(without_end) else { break };
            if line.trim_start().starts_with('#') {
                continue;
            }
            if line.trim_start().is_empty() {
                has_empty_lines = true;
                continue;
            }
            self.refuse_broken()?;
            let piece;
            (piece, goes_on) = continuation(line, escape);
            text.push_str(piece);
        }
        Ok((text, has_empty_lines))
    }

    /// What stands in a comment is nobody's business; anything else is passed on as text.
    fn refuse_broken(&self) -> Result<(), Problem> {
        match self.broken.get(&self.number) {
            Some(byte) => Err(Problem::NotUtf8 { byte: *byte, line: self.number }),
            None => Ok(()),
        }
    }

    /// The lines up to the one that holds the here-document's name alone.
    pub(super) fn heredoc(&mut self, announced: Announced) -> Result<Heredoc, Problem> {
        let mut content = String::new();
        while let Some(line) = self.next() {
            let line = if announced.chomp { line.trim_start_matches('\t') } else { line };
            if without_end(line) == announced.name {
                let Announced { name, expand, chomp } = announced;
                return Ok(Heredoc { name, expand, chomp, content });
            }
            self.refuse_broken()?;
            content.push_str(line);
        }
        Err(Problem::UnterminatedHeredoc(announced.name))
    }
}

fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

fn remember(comments: &mut Vec<String>, comment: &str) {
    match comment.trim() {
        "" => comments.clear(),
        comment => comments.push(comment.to_owned()),
    }
}

/// The line without its continuation mark, and whether it had one: an escape character that only
/// blanks follow and no other escape character precedes.
fn continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(start) if !start.ends_with(escape) => (start, true),
        _ => (line, false),
    }
}
