//! Go templates over docker's JSON, as `--format` takes them.

use serde_json::Value;

use crate::render;
use crate::report::Report;

/// One value by a template; `json` alone prints all of it.
pub(crate) fn one(format: &str, value: &Value) -> Result<String, Report> {
    if format == "json" {
        return Ok(value.to_string());
    }
    // The template engine repeats the whole value, which says nothing.
    let failed = |cause: String| {
        let cause = cause.split(" for {").next().unwrap_or_default();
        Report::message(64, format!("template parsing error: {cause}"))
    };
    // The template engine would look for the end for ever.
    if is_unclosed(format) {
        return Err(failed("an action has no end: expected }}".to_owned()));
    }
    let mut template = gtmpl::Template::default();
    template.add_func("json", json_function);
    template.add_func("join", join_function);
    template.add_func("upper", upper_function);
    template.add_func("lower", lower_function);
    template.add_func("show", show_function);
    template.add_func("len", len_function);
    template.add_func("index", index_function);
    template.add_func("items", items_function);
    template.parse(shown(format)).map_err(|error| failed(error.to_string()))?;
    template.render(&gtmpl::Context::from(go(value))).map_err(|error| failed(error.to_string()))
}

/// Lines of a list by a template; after `table ` with a head that `heads` names the columns of.
pub(crate) fn list(format: &str, heads: &[(&str, &str)], values: &[Value]) -> Result<String, Report> {
    let escaped = format.replace("\\t", "\t").replace("\\n", "\n");
    let Some(columns) = escaped.strip_prefix("table ") else {
        let lines: Result<Vec<String>, Report> = values.iter().map(|value| one(&escaped, value)).collect();
        return lines.map(|lines| lines.iter().map(|line| format!("{line}\n")).collect());
    };
    let head = |(name, text): &(&str, &str)| ((*name).to_owned(), Value::from(*text));
    let cells = |value: &Value| Ok(one(columns, value)?.split('\t').map(str::to_owned).collect());
    let head: Vec<String> = cells(&heads.iter().map(head).collect())?;
    let rows = values.iter().map(cells).collect::<Result<Vec<Vec<String>>, Report>>()?;
    let mut out = Vec::new();
    render::table(&mut out, &head.iter().map(String::as_str).collect::<Vec<_>>(), &rows)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Gives every action that prints a last step that prints as Go does, and every `range` one that
/// makes nothing an empty list.
fn shown(format: &str) -> String {
    let mut text = String::new();
    let mut rest = format;
    while let Some((before, action)) = rest.split_once("{{") {
        let Some((inner, after)) = action.split_once("}}") else { break };
        let (inner, trim) = inner.strip_suffix('-').map_or((inner, ""), |inner| (inner, " -"));
        let ranges = inner.trim_start_matches('-').trim_start().starts_with("range ");
        let show = if ranges {
            " | items"
        } else if prints(inner) {
            " | show"
        } else {
            ""
        };
        text += &format!("{before}{{{{{inner}{show}{trim}}}}}");
        rest = after;
    }
    text + rest
}

fn is_unclosed(format: &str) -> bool {
    let mut rest = format;
    while let Some((_, action)) = rest.split_once("{{") {
        let Some((_, after)) = action.split_once("}}") else { return true };
        rest = after;
    }
    false
}

fn prints(action: &str) -> bool {
    const WORDS: [&str; 9] = ["if", "range", "with", "else", "end", "define", "template", "block", "break"];
    let action = action.trim_start_matches('-').trim();
    let first = action.split_whitespace().next().unwrap_or_default();
    !first.is_empty() && !WORDS.contains(&first) && !action.starts_with("/*") && !action.contains(":=")
}

/// `[a b]` and `map[k:v]`, as Go's `%v`.
fn go_text(value: &gtmpl::Value) -> String {
    match value {
        gtmpl::Value::Array(items) => {
            format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" "))
        }
        gtmpl::Value::Object(map) | gtmpl::Value::Map(map) => {
            let mut pairs: Vec<String> =
                map.iter().map(|(key, item)| format!("{key}:{}", go_text(item))).collect();
            pairs.sort();
            format!("map[{}]", pairs.join(" "))
        }
        gtmpl::Value::Nil | gtmpl::Value::NoValue => "<no value>".to_owned(),
        other => other.to_string(),
    }
}

/// How many; nothing has none, as Go's nil slices and maps.
fn len_function(args: &[gtmpl::Value]) -> Result<gtmpl::Value, gtmpl::FuncError> {
    match args.first() {
        Some(gtmpl::Value::NoValue | gtmpl::Value::Nil) => Ok(gtmpl::Value::from(0_i64)),
        _ => gtmpl::funcs::len(args),
    }
}

/// An element; one that a map does not have is empty, as in Go's map of texts.
fn index_function(args: &[gtmpl::Value]) -> Result<gtmpl::Value, gtmpl::FuncError> {
    let (Some(whole), keys) = (args.first(), args.get(1..).unwrap_or_default()) else {
        return Err(gtmpl::FuncError::AtLeastXArgs("index".into(), 2));
    };
    let mut found = whole.clone();
    for key in keys {
        found = match (&found, key) {
            (gtmpl::Value::NoValue | gtmpl::Value::Nil, _) => gtmpl::Value::String(String::new()),
            (gtmpl::Value::Map(map) | gtmpl::Value::Object(map), gtmpl::Value::String(name)) => {
                map.get(name).cloned().unwrap_or(gtmpl::Value::String(String::new()))
            }
            _ => gtmpl::funcs::index(&[found.clone(), key.clone()])?,
        };
    }
    Ok(found)
}

/// What `range` walks: nothing has no items.
fn items_function(args: &[gtmpl::Value]) -> Result<gtmpl::Value, gtmpl::FuncError> {
    match args.first() {
        None | Some(gtmpl::Value::NoValue | gtmpl::Value::Nil) => Ok(gtmpl::Value::Array(Vec::new())),
        Some(value) => Ok(value.clone()),
    }
}

fn show_function(args: &[gtmpl::Value]) -> Result<gtmpl::Value, gtmpl::FuncError> {
    Ok(gtmpl::Value::String(args.first().map(go_text).unwrap_or_default()))
}

/// JSON in the template engine's own values.
fn go(value: &Value) -> gtmpl::Value {
    match value {
        Value::Null => gtmpl::Value::NoValue,
        Value::Bool(truth) => gtmpl::Value::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => gtmpl::Value::from(whole),
            (None, Some(real)) => gtmpl::Value::from(real),
            (None, None) => gtmpl::Value::NoValue,
        },
        Value::String(text) => gtmpl::Value::String(text.clone()),
        Value::Array(items) => gtmpl::Value::Array(items.iter().map(go).collect()),
        Value::Object(map) => {
            gtmpl::Value::Object(map.iter().map(|(key, item)| (key.clone(), field(key, item))).collect())
        }
    }
}

/// Docker's own maps have no fixed keys, so one that is missing is no error.
fn field(name: &str, value: &Value) -> gtmpl::Value {
    const MAPS: [&str; 7] =
        ["Labels", "ExposedPorts", "Volumes", "Ports", "PortBindings", "Networks", "Options"];
    match go(value) {
        gtmpl::Value::Object(map) if MAPS.contains(&name) => gtmpl::Value::Map(map),
        other => other,
    }
}

fn plain(value: &gtmpl::Value) -> Value {
    match value {
        gtmpl::Value::Bool(truth) => Value::Bool(*truth),
        gtmpl::Value::String(text) => Value::String(text.clone()),
        gtmpl::Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        gtmpl::Value::Object(map) | gtmpl::Value::Map(map) => {
            let sorted: std::collections::BTreeMap<&String, Value> =
                map.iter().map(|(key, item)| (key, plain(item))).collect();
            Value::Object(sorted.into_iter().map(|(key, item)| (key.clone(), item)).collect())
        }
        gtmpl::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(real)) => real.into(),
            (None, None) => Value::Null,
        },
        _ => Value::Null,
    }
}

fn json_function(args: &[gtmpl::Value]) -> Result<gtmpl::Value, gtmpl::FuncError> {
    Ok(gtmpl::Value::String(args.first().map(plain).unwrap_or_default().to_string()))
}

fn join_function(args: &[gtmpl::Value]) -> Result<gtmpl::Value, gtmpl::FuncError> {
    let (Some(gtmpl::Value::Array(items)), Some(gtmpl::Value::String(between))) = (args.first(), args.get(1))
    else {
        return Err(gtmpl::FuncError::ExactlyXArgs("join".into(), 2));
    };
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    Ok(gtmpl::Value::String(texts.join(between)))
}

fn upper_function(args: &[gtmpl::Value]) -> Result<gtmpl::Value, gtmpl::FuncError> {
    Ok(gtmpl::Value::String(args.first().map(|text| text.to_string().to_uppercase()).unwrap_or_default()))
}

fn lower_function(args: &[gtmpl::Value]) -> Result<gtmpl::Value, gtmpl::FuncError> {
    Ok(gtmpl::Value::String(args.first().map(|text| text.to_string().to_lowercase()).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_gos() {
        let value = serde_json::json!({"State": {"Status": "running", "Pid": 7}, "Names": ["a", "b"], "M": {"k": {"v": 1}}, "Gone": null, "Labels": {"a": "1"}});
        for (format, text) in [
            ("{{.State.Status}}", "running"),
            ("{{ .State.Pid }}", "7"),
            ("{{json .State}}", r#"{"Pid":7,"Status":"running"}"#),
            ("{{range .Names}}<{{.}}>{{end}}", "<a><b>"),
            ("{{join .Names \",\"}}", "a,b"),
            ("{{range $k, $x := .M}}{{$k}}={{$x.v}}{{end}}", "k=1"),
            ("{{upper .State.Status}}", "RUNNING"),
            ("{{index .Names 1}}", "b"),
            ("{{len .Names}}", "2"),
            ("{{.Names}} {{.State}} {{.Gone}}", "[a b] map[Pid:7 Status:running] <no value>"),
            ("{{if .Names}}x {{- .State.Pid -}} y{{else}}z{{end}}", "x7y"),
            ("{{$x := .State.Pid}}{{$x}}", "7"),
            ("{{len .Gone}}{{range .Gone}}x{{end}}{{json .Gone}}", "0null"),
            ("{{index .Gone \"a\"}}|{{index .Labels \"b\"}}|{{index .Labels \"a\"}}", "||1"),
            ("{{.Labels.b}}", "<no value>"),
            ("{{range $i, $n := .Names}}{{$i}}{{$n}}{{end}}", "0a1b"),
        ] {
            assert_eq!(one(format, &value).unwrap(), text, "for {format}");
        }
        assert!(one("{{.State", &value).is_err());
        for unclosed in ["{{.", "{{", "a {{.Name}} {{if"] {
            assert!(one(unclosed, &value).is_err(), "{unclosed}");
        }
        let unknown = one("{{.Nope}}", &value).unwrap_err();
        assert!(format!("{unknown:?}").len() < 300);
    }

    #[test]
    fn a_table_has_a_head() {
        let values =
            [serde_json::json!({"Names": "web", "ID": "1"}), serde_json::json!({"Names": "b", "ID": "22"})];
        let heads = [("ID", "CONTAINER ID"), ("Names", "NAMES")];
        assert_eq!(
            list("table {{.Names}}\\t{{.ID}}", &heads, &values).unwrap(),
            "NAMES   CONTAINER ID\nweb     1\nb       22\n"
        );
        assert_eq!(list("{{.ID}}\\t{{.Names}}", &heads, &values).unwrap(), "1\tweb\n22\tb\n");
    }
}
