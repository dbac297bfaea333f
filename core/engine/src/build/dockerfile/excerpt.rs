//! A few lines of a file, with the ones in question marked.

use std::fmt::Write;

use wharf_model::Span;

const RULE: &str = "--------------------\n";
const CONTEXT: usize = 2;

/// The lines of `span` in `text`, marked, with two lines around them, under the file's name.
/// Control characters are shown as escapes.
pub fn excerpt(text: &[u8], span: &Span) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    let first = usize::try_from(span.line).unwrap_or(usize::MAX).clamp(1, lines.len().max(1));
    let last = usize::try_from(span.end_line).unwrap_or(usize::MAX).clamp(first, lines.len().max(first));
    let shown = first.saturating_sub(CONTEXT).max(1)..=(last + CONTEXT).min(lines.len());
    let mut excerpt = format!("{}:{}\n{RULE}", printable(&span.file), span.line);
    for number in shown {
        let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
        let line = printable(lines[number - 1]);
        writeln!(excerpt, "{number:4} | {mark} {line}").unwrap_or_default();
    }
    excerpt + RULE
}

/// `text` with control characters, the tab aside, as escapes.
pub fn printable(text: &str) -> String {
    let shown = |letter: char| match letter {
        '\t' => "\t".to_owned(),
        _ if letter.is_control() => letter.escape_default().to_string(),
        _ => letter.to_string(),
    };
    text.chars().map(shown).collect()
}
