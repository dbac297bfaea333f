//! What follows a keyword and its flags, read as the keyword asks, before any expansion.

use serde_json::Value;
use wharf_model::statement::{Body, BodyKind};

use super::error::Problem;
use super::split::{is_blank, quoted_words};

pub(super) fn parse(keyword: &str, rest: &str, kind: BodyKind, escape: char) -> Result<Body, Problem> {
    match kind {
        BodyKind::Text => Ok(Body::Text(rest.to_owned())),
        BodyKind::Words => Ok(Body::Words(words(rest))),
        BodyKind::Pairs => pairs(keyword, rest, escape),
        BodyKind::Assignments => Ok(Body::Assignments(assignments(rest, escape))),
        BodyKind::JsonOrWords => Ok(json(rest)?.map_or_else(|| Body::Words(words(rest)), Body::Json)),
        BodyKind::JsonOrText => Ok(json(rest)?.map_or_else(|| Body::Text(rest.to_owned()), Body::Json)),
    }
}

fn words(rest: &str) -> Vec<String> {
    rest.split(is_blank).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether the first word has a `=` decides between the two forms.
fn pairs(keyword: &str, rest: &str, escape: char) -> Result<Body, Problem> {
    let words = quoted_words(rest, escape);
    if words.first().is_none_or(|first| first.contains('=')) {
        let items = words.iter().map(|word| pair(word)).collect::<Result<_, _>>()?;
        return Ok(Body::Pairs { items, legacy: false });
    }
    match rest.split_once(is_blank) {
        Some((key, value)) => {
            let value = value.trim_start_matches(is_blank);
            Ok(Body::Pairs { items: vec![(key.to_owned(), value.to_owned())], legacy: true })
        }
        None => Err(Problem::OneArgument(keyword.to_ascii_uppercase())),
    }
}

fn pair(word: &str) -> Result<(String, String), Problem> {
    let (key, value) = word.split_once('=').ok_or_else(|| Problem::NotAPair(word.to_owned()))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn assignments(rest: &str, escape: char) -> Vec<(String, Option<String>)> {
    let assignment = |word: String| match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (word, None),
    };
    quoted_words(rest, escape).into_iter().map(assignment).collect()
}

/// A JSON array of strings; `None` for what is no JSON array.
fn json(rest: &str) -> Result<Option<Vec<String>>, Problem> {
    let Some(values) = json_array(rest) else { return Ok(None) };
    let string = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err(Problem::NotStrings),
    };
    values.into_iter().map(string).collect::<Result<_, _>>().map(Some)
}

/// Whether `rest` is a JSON array.
pub(super) fn is_json(rest: &str) -> bool {
    json_array(rest).is_some()
}

fn json_array(rest: &str) -> Option<Vec<Value>> {
    rest.starts_with('[').then(|| serde_json::from_str(rest).ok())?
}
