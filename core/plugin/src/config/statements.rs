//! A TOML file as a list of lines that say something, each with the place it takes in the text.
//!
//! This is what it takes to change one value and leave every other byte as it is.

use std::ops::Range;

use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};

/// `[a.b]` or `a.b = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// From the root, decoded: the keys of the table it is in come first.
    pub(super) path: Vec<String>,
    /// Whole lines, with what follows on the last one.
    pub(super) lines: Range<usize>,
    /// The value; `None` for a table's head.
    pub(super) value: Option<Range<usize>>,
}

impl Statement {
    pub(super) fn is_head(&self) -> bool {
        self.value.is_none()
    }

    /// It says something about `path` or what is below it.
    pub(super) fn is_below(&self, path: &[&str]) -> bool {
        self.path.len() >= path.len() && self.path.iter().zip(path).all(|(key, wanted)| key == wanted)
    }
}

/// All statements of a text that is known to be TOML, in order.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut events = Vec::new();
    let mut take = |event: Event| events.push(event);
    let mut guarded = RecursionGuard::new(&mut take, 64);
    parse_document(&tokens, &mut guarded, &mut ());
    let mut reader =
        Reader { text, source, found: Vec::new(), table: Vec::new(), keys: Vec::new(), depth: 0, open: None };
    for event in &events {
        reader.event(event);
    }
    reader.found
}

struct Reader<'a> {
    text: &'a str,
    source: Source<'a>,
    found: Vec<Statement>,
    /// The head that the lines are below.
    table: Vec<String>,
    /// Of the statement that is being read.
    keys: Vec<String>,
    /// Inside how many brackets of a value.
    depth: usize,
    /// The value that is being read, from where.
    open: Option<usize>,
}

impl Reader<'_> {
    fn event(&mut self, event: &Event) {
        let span = event.span();
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => self.keys.clear(),
            EventKind::StdTableClose | EventKind::ArrayTableClose => {
                self.table = std::mem::take(&mut self.keys);
                let lines = self.lines(span.start(), span.end());
                self.found.push(Statement { path: self.table.clone(), lines, value: None });
            }
            EventKind::SimpleKey if self.depth == 0 => self.key(event),
            EventKind::InlineTableOpen | EventKind::ArrayOpen => {
                self.open.get_or_insert(span.start());
                self.depth += 1;
            }
            EventKind::InlineTableClose | EventKind::ArrayClose => {
                self.depth = self.depth.saturating_sub(1);
                self.close(span.end());
            }
            EventKind::Scalar => {
                self.open.get_or_insert(span.start());
                self.close(span.end());
            }
            _ => {}
        }
    }

    fn key(&mut self, event: &Event) {
        let mut key = String::new();
        if let Some(raw) = self.source.get(event) {
            raw.decode_key(&mut key, &mut ());
        }
        self.keys.push(key);
    }

    /// The value is over when its last bracket is closed.
    fn close(&mut self, end: usize) {
        if self.depth > 0 {
            return;
        }
        let Some(start) = self.open.take() else { return };
        let keys = std::mem::take(&mut self.keys);
        let path = self.table.iter().cloned().chain(keys).collect();
        let lines = self.lines(start, end);
        self.found.push(Statement { path, lines, value: Some(start..end) });
    }

    fn lines(&self, start: usize, end: usize) -> Range<usize> {
        let first = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let last = self.text[end..].find('\n').map_or(self.text.len(), |at| end + at + 1);
        first..last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_says_something_is_found() {
        let text = "a = 1 # one\n[b.'c d']\n# no\nx.y = [\n  1, { z = 2 },\n]\n\"k\" = { q = \"]\" }\n[[e]]\nf = '''\n[no]\n'''";
        let found: Vec<(String, &str, Option<&str>)> = statements(text)
            .into_iter()
            .map(|it| (it.path.join("/"), &text[it.lines.clone()], it.value.map(|value| &text[value])))
            .collect();
        assert_eq!(
            found,
            [
                ("a".into(), "a = 1 # one\n", Some("1")),
                ("b/c d".into(), "[b.'c d']\n", None),
                ("b/c d/x/y".into(), "x.y = [\n  1, { z = 2 },\n]\n", Some("[\n  1, { z = 2 },\n]")),
                ("b/c d/k".into(), "\"k\" = { q = \"]\" }\n", Some("{ q = \"]\" }")),
                ("e".into(), "[[e]]\n", None),
                ("e/f".into(), "f = '''\n[no]\n'''", Some("'''\n[no]\n'''")),
            ]
        );
    }
}
