//! Looks up values of the plugin's own `settings` table.

use crate::{Failure, Settings, Value, refuse};

/// The value of `key`.
pub fn get<'a>(settings: &'a Settings, key: &str) -> Option<&'a Value> {
    settings.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// The list of strings at `key`; empty when it is not there or something else.
pub fn texts<'a>(settings: &'a Settings, key: &str) -> &'a [String] {
    match get(settings, key) {
        Some(Value::Texts(texts)) => texts,
        _ => &[],
    }
}

/// The string at `key`.
pub fn text<'a>(settings: &'a Settings, key: &str) -> Option<&'a str> {
    match get(settings, key) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// The number at `key`.
pub fn integer(settings: &Settings, key: &str) -> Option<i64> {
    match get(settings, key) {
        Some(Value::Integer(number)) => Some(*number),
        _ => None,
    }
}

/// Refuses every key that is not in `known`.
///
/// # Errors
/// Names the first unknown key.
pub fn only(settings: &Settings, known: &[&str]) -> Result<(), Failure> {
    match settings.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some((key, _)) if known.is_empty() => Err(refuse(format!("there is no setting `{key}`"))),
        Some((key, _)) => {
            let help = format!("known settings: {}", known.join(", "));
            Err(refuse(format!("there is no setting `{key}`")).help(help))
        }
    }
}
