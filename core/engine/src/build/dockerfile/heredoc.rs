//! `<<EOF`, `<<-EOF`, `<<"EOF"`: which here-documents a line announces.

use crate::build::words::{Lexer, Nothing, Quotes, Unset, WordError};

use super::error::Problem;

/// A here-document before its lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) name: String,
    /// False for a quoted name.
    pub(super) expand: bool,
    pub(super) chomp: bool,
}

const KEEPING: Lexer = Lexer { escape: '\\', quotes: Quotes::Keep, keep_escapes: true, unset: Unset::Keep };

/// The here-documents of a line, in order. A line whose quotes do not match has none.
pub(super) fn announced(line: &str) -> Result<Vec<Announced>, Problem> {
    let words = KEEPING.word(line, &Nothing).map(|expanded| expanded.words).unwrap_or_default();
    let found = words.iter().map(|word| parse(word)).collect::<Result<Vec<_>, _>>();
    found.map(|found| found.into_iter().flatten().collect()).map_err(|source| Problem::word(line, source))
}

/// Whether a word of a body stands for a here-document.
pub(super) fn is_mark(word: &str) -> bool {
    matches!(parse(word), Ok(Some(_)))
}

/// `[digits]<<[-]name`; anything else, `<<<` included, is `None`.
fn parse(word: &str) -> Result<Option<Announced>, WordError> {
    let word = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let Some(rest) = word.strip_prefix("<<") else { return Ok(None) };
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return Ok(None);
    }
    let bare = Lexer { quotes: Quotes::Remove, keep_escapes: false, ..KEEPING }.word(rest, &Nothing)?.words;
    let quoted = Lexer { keep_escapes: false, ..KEEPING }.word(rest, &Nothing)?.words;
    let ([bare], [quoted]) = (bare.as_slice(), quoted.as_slice()) else { return Ok(None) };
    Ok(Some(Announced { name: bare.clone(), expand: quotes(bare) == quotes(quoted), chomp }))
}

fn quotes(text: &str) -> usize {
    text.matches(['\'', '"']).count()
}
