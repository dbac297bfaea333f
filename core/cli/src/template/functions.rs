//! Docker's functions of templates, beside those of Go's language.
//!
//! | function | gives |
//! |---|---|
//! | `json VALUE` | the value as JSON |
//! | `split TEXT BETWEEN`, `join LIST BETWEEN` | the parts of a text; the text of parts |
//! | `lower`, `upper`, `title TEXT` | the text in small letters, in capitals, with words that begin with one |
//! | `truncate TEXT LENGTH` | the first bytes of a text, and no half letter |
//! | `pad TEXT BEFORE AFTER` | the text with blanks around it, unless it is empty |
//!
//! `len`, `index` and `join` take what is not there for something empty, as Go does with its own empty lists and
//! maps; JSON has `null` in their place.

use gtmpl::{Func, FuncError, Value};
use gtmpl_ng as gtmpl;

/// For values.
pub(super) const ALL: [(&str, Func); 10] = [
    ("json", json),
    ("split", split),
    ("join", join),
    ("lower", lower),
    ("upper", upper),
    ("title", title),
    ("truncate", truncate),
    ("pad", pad),
    ("len", len),
    ("index", index),
];

/// For the head of a table, which stays as it is.
pub(super) const OF_HEADS: [(&str, Func); 5] =
    [("json", same), ("lower", same), ("upper", same), ("title", same), ("truncate", same)];

fn same(args: &[Value]) -> Result<Value, FuncError> {
    args.first().cloned().ok_or_else(|| FuncError::AtLeastXArgs("a function".into(), 1))
}

fn json(args: &[Value]) -> Result<Value, FuncError> {
    let [value] = args else { return Err(FuncError::ExactlyXArgs("json".into(), 1)) };
    Ok(Value::String(plain(value).to_string()))
}

fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(truth) => serde_json::Value::Bool(*truth),
        Value::String(text) => serde_json::Value::String(text.clone()),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(map) | Value::Map(map) => {
            let sorted: std::collections::BTreeMap<_, _> = map.iter().collect();
            sorted.into_iter().map(|(key, item)| (key.clone(), plain(item))).collect()
        }
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(real)) => real.into(),
            (None, None) => serde_json::Value::Null,
        },
        _ => serde_json::Value::Null,
    }
}

fn split(args: &[Value]) -> Result<Value, FuncError> {
    let [text, Value::String(between)] = args else { return Err(FuncError::ExactlyXArgs("split".into(), 2)) };
    let text = words(text);
    let parts: Vec<Value> = if between.is_empty() {
        text.chars().map(|letter| Value::String(letter.to_string())).collect()
    } else {
        text.split(between.as_str()).map(|part| Value::String(part.to_owned())).collect()
    };
    Ok(Value::Array(parts))
}

fn join(args: &[Value]) -> Result<Value, FuncError> {
    match args {
        [Value::Array(items), Value::String(between)] => {
            let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
            Ok(Value::String(texts.join(between)))
        }
        [Value::NoValue | Value::Nil, Value::String(_)] => Ok(Value::String(String::new())),
        _ => Err(FuncError::ExactlyXArgs("join".into(), 2)),
    }
}

fn lower(args: &[Value]) -> Result<Value, FuncError> {
    let [text] = args else { return Err(FuncError::ExactlyXArgs("lower".into(), 1)) };
    Ok(Value::String(words(text).to_lowercase()))
}

fn upper(args: &[Value]) -> Result<Value, FuncError> {
    let [text] = args else { return Err(FuncError::ExactlyXArgs("upper".into(), 1)) };
    Ok(Value::String(words(text).to_uppercase()))
}

/// A word begins after what is neither a letter, nor a digit, nor `_`, as `strings.Title` has it.
fn title(args: &[Value]) -> Result<Value, FuncError> {
    let [text] = args else { return Err(FuncError::ExactlyXArgs("title".into(), 1)) };
    let (mut out, mut begins) = (String::new(), true);
    for letter in words(text).chars() {
        if begins {
            out.extend(letter.to_uppercase());
        } else {
            out.push(letter);
        }
        begins = if letter.is_ascii() {
            !letter.is_ascii_alphanumeric() && letter != '_'
        } else {
            letter.is_whitespace()
        };
    }
    Ok(Value::String(out))
}

fn truncate(args: &[Value]) -> Result<Value, FuncError> {
    let [text, Value::Number(length)] = args else {
        return Err(FuncError::ExactlyXArgs("truncate".into(), 2));
    };
    let mut text = words(text);
    let length = length.as_u64().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    text.truncate(text.floor_char_boundary(length));
    Ok(Value::String(text))
}

fn pad(args: &[Value]) -> Result<Value, FuncError> {
    /// More blanks than that are no column.
    const WIDEST: u64 = 10_000;
    let [text, Value::Number(before), Value::Number(after)] = args else {
        return Err(FuncError::ExactlyXArgs("pad".into(), 3));
    };
    let text = words(text);
    if text.is_empty() {
        return Ok(Value::String(text));
    }
    let blanks = |number: &gtmpl::Number| {
        let count = number.as_u64().unwrap_or(0).min(WIDEST);
        " ".repeat(usize::try_from(count).unwrap_or(0))
    };
    Ok(Value::String(blanks(before) + &text + &blanks(after)))
}

fn words(value: &Value) -> String {
    match value {
        Value::NoValue | Value::Nil => String::new(),
        other => other.to_string(),
    }
}

/// How many; nothing has none, as Go's nil slices and maps.
fn len(args: &[Value]) -> Result<Value, FuncError> {
    match args {
        [Value::NoValue | Value::Nil] => Ok(Value::from(0_i64)),
        _ => gtmpl::funcs::len(args),
    }
}

/// An element; one that a map does not have is empty, as in Go's map of texts.
fn index(args: &[Value]) -> Result<Value, FuncError> {
    let (Some(whole), keys) = (args.first(), args.get(1..).unwrap_or_default()) else {
        return Err(FuncError::AtLeastXArgs("index".into(), 2));
    };
    let mut found = whole.clone();
    for key in keys {
        found = match (&found, key) {
            (Value::NoValue | Value::Nil, _) => Value::String(String::new()),
            (Value::Map(map) | Value::Object(map), Value::String(name)) => {
                map.get(name).cloned().unwrap_or(Value::String(String::new()))
            }
            _ => gtmpl::funcs::index(&[found.clone(), key.clone()])?,
        };
    }
    Ok(found)
}
