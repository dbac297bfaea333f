//! Plans as text that a person reads, keeps beside the source and compares.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use similar::TextDiff;

use super::outcome::Ended;

/// A plan as a person reads it: the text of a golden file.
pub fn text<T: Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    let mut text = serde_json::to_string_pretty(&canonical(value)).unwrap_or_default();
    text.push('\n');
    text
}

/// In the words of the contract, without what is empty.
pub(crate) fn canonical(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(object(fields)),
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        plain => plain,
    }
}

fn object(fields: Map<String, Value>) -> Map<String, Value> {
    // The only field of an object may be what tells which of several things it is.
    let is_tag = fields.len() == 1;
    let named = fields.into_iter().map(|(name, value)| {
        let name = kebab(&name);
        let value = field(&name, value);
        (name, value)
    });
    named.filter(|(_, value)| is_tag || !is_empty(value)).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn field(name: &str, value: Value) -> Value {
    match (name, value) {
        ("base" | "source" | "rootfs" | "namespace", Value::String(word)) => Value::String(kebab(&word)),
        ("mode" | "bits", Value::Number(bits)) => match bits.as_u64() {
            Some(bits) => Value::String(format!("{bits:04o}")),
            None => Value::Number(bits),
        },
        ("content" | "payload", Value::Array(bytes)) => content(&bytes),
        (_, other) => canonical(other),
    }
}

/// Bytes as text where they are text.
fn content(numbers: &[Value]) -> Value {
    let byte = |value: &Value| value.as_u64().and_then(|number| u8::try_from(number).ok());
    let Some(bytes) = numbers.iter().map(byte).collect::<Option<Vec<u8>>>() else {
        return Value::Array(numbers.to_vec());
    };
    match String::from_utf8(bytes) {
        Ok(text) => Value::String(text),
        Err(error) => {
            let hex = Value::String(hex::encode(error.into_bytes()));
            Value::Object([("hex".to_owned(), hex)].into_iter().collect())
        }
    }
}

/// `SetEnv` and `set_env` are `set-env`; a name with a blank or in capitals is a person's own.
pub(crate) fn kebab(name: &str) -> String {
    let ours = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !ours || name.bytes().all(|byte| !byte.is_ascii_lowercase()) {
        return name.to_owned();
    }
    let mut word = String::new();
    for letter in name.chars() {
        match letter {
            '_' => word.push('-'),
            upper if upper.is_ascii_uppercase() => {
                if !word.is_empty() && !word.ends_with('-') {
                    word.push('-');
                }
                word.push(upper.to_ascii_lowercase());
            }
            other => word.push(other),
        }
    }
    word
}

/// The lines that differ, with three around them.
pub fn unified(before: (&str, &str), after: (&str, &str)) -> Vec<String> {
    let diff = TextDiff::from_lines(before.1, after.1);
    let text = diff.unified_diff().context_radius(3).header(before.0, after.0).to_string();
    text.lines().map(str::to_owned).collect()
}

/// Compares what came out with a file, or makes it what is expected.
pub(crate) fn compare(path: &Path, actual: &str, bless: bool) -> io::Result<Ended> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let expected = match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if expected.as_deref().is_some_and(|expected| same(expected, actual)) {
        return Ok(Ended::Passed);
    }
    if bless {
        fs::write(path, actual)?;
        return Ok(Ended::Blessed);
    }
    let Some(expected) = expected else {
        let mut why = vec![format!("{name} is not there; `--bless` writes it:")];
        why.extend(actual.lines().map(str::to_owned));
        return Ok(Ended::Failed { why });
    };
    Ok(Ended::Failed { why: unified((&name, &expected), ("this run", actual)) })
}

/// JSON is compared as JSON, so that nobody's editor fails a test; text by its lines.
fn same(expected: &str, actual: &str) -> bool {
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (json(expected), json(actual)) {
        (Some(expected), Some(actual)) => expected == actual,
        _ => expected.trim_end().lines().eq(actual.trim_end().lines()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wharf_model::build::{Action, ConfigChange, Input, Op, Plan};

    use super::*;

    #[test]
    fn a_plan_reads_like_the_contract() {
        let write = Action::Write {
            base: Input::Stage,
            path: "/etc/a".into(),
            content: b"text\n".to_vec(),
            owner: None,
            mode: 0o644,
        };
        let plan = Plan {
            ops: vec![Op { action: write, label: "write /etc/a".into() }],
            rootfs: Input::Op(0),
            config: vec![
                ConfigChange::SetEnv("PATH_PREFIX".into(), String::new()),
                ConfigChange::Cmd(vec![]),
            ],
            diagnostics: vec![],
        };
        let expected = json!({
            "ops": [{
                "action": {"write": {"base": "stage", "path": "/etc/a", "content": "text\n", "mode": "0644"}},
                "label": "write /etc/a"
            }],
            "rootfs": {"op": 0},
            "config": [{"set-env": ["PATH_PREFIX", ""]}, {"cmd": []}]
        });
        assert_eq!(canonical(serde_json::to_value(&plan).unwrap()), expected);
        assert!(text(&plan).starts_with("{\n  \"ops\": ["), "in the contract's order");
    }

    #[test]
    fn bytes_that_are_no_text_are_hex() {
        assert_eq!(content(&[json!(0), json!(255)]), json!({"hex": "00ff"}));
        assert_eq!(content(&[json!("a")]), json!(["a"]));
    }

    #[test]
    fn names_of_the_user_s_stay() {
        for (name, word) in [
            ("SetEnv", "set-env"),
            ("missing_ok", "missing-ok"),
            ("PATH", "PATH"),
            ("a b", "a b"),
            ("net", "net"),
        ] {
            assert_eq!(kebab(name), word);
        }
    }

    #[test]
    fn comparing_shows_blesses_and_agrees() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        let compare = |actual: &str, bless| super::compare(&path, actual, bless).unwrap();
        let Ended::Failed { why } = compare("{\"a\": 1}\n", false) else { panic!("nothing is expected yet") };
        assert_eq!(why, ["plan.json is not there; `--bless` writes it:", "{\"a\": 1}"]);
        assert_eq!(compare("{\n  \"a\": 1\n}\n", true), Ended::Blessed);
        assert_eq!(compare("{\"a\":1}", false), Ended::Passed);
        let Ended::Failed { why } = compare("{\n  \"a\": 2\n}\n", false) else { panic!("it differs") };
        assert_eq!(
            why,
            ["--- plan.json", "+++ this run", "@@ -1,3 +1,3 @@", " {", "-  \"a\": 1", "+  \"a\": 2", " }"]
        );
    }
}
