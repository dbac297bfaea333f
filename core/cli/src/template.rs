//! Go templates over docker's JSON, as `--format` takes them.
//!
//! The language is `text/template` of Go's library, with docker's functions ([`functions`]). A template that can
//! not be parsed is an error whatever there is to print; one that asks for a field that is not there fails at the
//! first value.

mod functions;
mod spelling;

use gtmpl::{Context, ExecError, ParseError, Template};
use gtmpl_ng as gtmpl;
use serde_json::Value;

use crate::render;
use crate::report::Report;

/// Docker's exit code of a template that is none, where one thing is shown.
const NO_TEMPLATE: u8 = 64;

/// One value by a template; `json` alone prints all of it.
pub(crate) fn one(format: &str, value: &Value) -> Result<String, Report> {
    if format == "json" {
        return Ok(value.to_string());
    }
    render(&parse(format, &functions::ALL, NO_TEMPLATE)?, value)
}

/// Lines of a list by a template; after `table ` with a head that `heads` names the columns of.
pub(crate) fn list(format: &str, heads: &[(&str, &str)], values: &[Value]) -> Result<String, Report> {
    if format == "json" {
        return Ok(values.iter().map(|value| format!("{value}\n")).collect());
    }
    let escaped = format.replace("\\t", "\t").replace("\\n", "\n");
    let columns = escaped.strip_prefix("table ");
    let template = parse(columns.unwrap_or(&escaped), &functions::ALL, 1)?;
    let texts: Vec<String> = values.iter().map(|value| render(&template, value)).collect::<Result<_, _>>()?;
    let Some(columns) = columns else {
        return Ok(texts.iter().map(|line| format!("{line}\n")).collect());
    };
    let head = |(name, text): &(&str, &str)| ((*name).to_owned(), Value::from(*text));
    let head = render(&parse(columns, &functions::OF_HEADS, 1)?, &heads.iter().map(head).collect())?;
    let cells = |text: &String| text.split('\t').map(str::to_owned).collect();
    let rows: Vec<Vec<String>> = texts.iter().map(cells).collect();
    let mut out = Vec::new();
    render::table(&mut out, &head.split('\t').collect::<Vec<_>>(), &rows)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn parse(format: &str, functions: &[(&str, gtmpl::Func)], code: u8) -> Result<Template, Report> {
    let mut template = Template::default();
    template.add_funcs(&functions::ALL);
    template.add_funcs(functions);
    template.parse(spelling::spelled(format)).map_err(|error| failed(code, &said_of_text(&error)))?;
    Ok(template)
}

fn render(template: &Template, value: &Value) -> Result<String, Report> {
    template.render(&Context::from(go(value))).map_err(|error| {
        let (words, field) = said(&error);
        let report = failed(1, &words);
        if field { report.hint("`--format json` prints all fields that there are") } else { report }
    })
}

fn failed(code: u8, words: &str) -> Report {
    Report::message(code, format!("template parsing error: {words}"))
}

fn said_of_text(error: &ParseError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Where and what, and whether it is a field that is not there. The template engine would repeat the whole value,
/// which says nothing.
fn said(error: &ExecError) -> (String, bool) {
    let (place, words) = match error.as_structured() {
        Some(error) => (format!("{}:{}: ", error.context.line, error.context.col), error.message.clone()),
        None => (String::new(), error.to_string()),
    };
    match words.strip_prefix("no field `").and_then(|rest| rest.split_once('`')) {
        Some((field, _)) => (format!("{place}there is no field {field}"), true),
        None => (place + words.lines().next().unwrap_or_default(), false),
    }
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
    }

    #[test]
    fn templates_have_go_s_words_and_docker_s() {
        let value = serde_json::json!({"Name": "web app", "Names": ["a", "b"], "Labels": {"a.b": "1"}, "Size": 7, "Gone": null});
        for (format, text) in [
            ("{{split .Name \" \"}} {{split \"ab\" \"\"}}", "[web app] [a b]"),
            ("{{join (split \"a,b\" \",\") \"-\"}} {{join .Names \"\"}}", "a-b ab"),
            ("{{title .Name}} {{title \"it's a_b 1c\"}}", "Web App It'S A_b 1c"),
            ("{{truncate .Name 3}} {{truncate .Name 30}} {{truncate \"\u{fc}x\" 1}}.", "web web app ."),
            ("<{{pad .Name 1 2}}><{{pad \"\" 1 2}}>", "< web app  ><>"),
            ("{{upper .Name}}{{lower \"A\"}}", "WEB APPa"),
            ("{{slice .Name 1 3}} {{slice .Names 1}}", "eb [b]"),
            ("{{html \"<a>&\"}} {{js \"<\"}} {{urlquery \"a b\"}}", "&lt;a&gt;&amp; \\u003C a+b"),
            (
                "{{println .Size}}{{print 1 2}}{{printf \"%q %5d|%-4s|\" .Name 7 \"x\"}}",
                "7\n1 2\"web app\"     7|x   |",
            ),
            ("{{len .Name}} {{len .Labels}} {{index .Labels \"a.b\"}} {{index .Names 0}}", "7 1 1 a"),
            (
                "{{eq .Size 7}} {{eq .Name \"x\" \"web app\"}} {{ne 1 2}} {{lt 1 2}} {{ge 1 2}}",
                "true true true true false",
            ),
            ("{{and 1 0}} {{or 0 \"x\"}} {{not true}} {{if and .Names (gt .Size 3)}}y{{end}}", "0 x false y"),
            ("{{with .Gone}}x{{else}}n{{end}}{{with $n := .Name}}{{$n}}{{.}}{{end}}", "nweb appweb app"),
            (
                "{{range .Gone}}x{{else}}n{{end}}{{range $i, $n := .Names}}{{if $i}},{{end}}{{$n}}{{end}}",
                "na,b",
            ),
            ("{{range .Names}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"),
            ("{{if eq .Size 1}}1{{else if eq .Size 7}}7{{else}}n{{end}}", "7"),
            ("{{$x := 1}}{{range .Names}}{{$x = 2}}{{end}}{{$x}}", "2"),
            ("a  {{- /* \"}} */ -}}  b {{- .Size -}}  c", "ab7c"),
            (
                "\u{251c} {{- .Size}} {{\"}}\"}} {{`{{`}} {{'a'}} {{\"\\\\\"}}{{`\\n\"`}}",
                "\u{251c}7 }} {{ 97 \\\\n\"",
            ),
            ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Size}}", "<7>"),
            ("{{.Name | upper | printf \"%s!\"}} {{(index .Names 1) | len}}", "WEB APP! 1"),
            ("{{json .Names}} {{json .Gone}} {{json \"<\"}}", "[\"a\",\"b\"] null \"<\""),
        ] {
            assert_eq!(one(format, &value).unwrap(), text, "for {format}");
        }
    }

    #[test]
    fn what_is_no_template_and_what_has_no_such_field_are_told_apart() {
        let value = serde_json::json!({"State": {"Pid": 7}, "Name": "x".repeat(5000)});
        let shown = |report: Report| format!("{report:?}");
        for format in [
            "{{.",
            "{{",
            "{{.State",
            "a {{.Name}} {{if",
            "{{nope .Name}}",
            "{{\"}}",
            "{{if .Name}}",
            "{{end}}",
        ] {
            let one = shown(one(format, &value).unwrap_err());
            assert!(one.contains("code: 64") && one.contains("template parsing error"), "{format}: {one}");
            let listed = shown(list(format, &[], &[]).unwrap_err());
            assert!(listed.contains("code: 1,"), "{format}: {listed}");
        }
        for (format, field) in
            [("{{.Nope}}", "Nope"), ("x {{.State.Gone}}", "Gone"), ("{{range .Nope}}{{end}}", "Nope")]
        {
            for error in [
                one(format, &value).unwrap_err(),
                list(format, &[], std::slice::from_ref(&value)).unwrap_err(),
            ] {
                let error = shown(error);
                assert!(
                    error.contains("code: 1,") && error.contains(&format!("there is no field {field}")),
                    "{error}"
                );
                assert!(error.contains("--format json") && error.len() < 300, "{error}");
            }
        }
        let error = shown(one("{{slice .Name 9 3}}", &value).unwrap_err());
        assert!(error.contains("code: 1,") && error.len() < 400, "{error}");
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
        assert_eq!(
            list("table {{truncate .Names 2}}\\t{{upper .ID}}{{json .ID}}", &heads, &values).unwrap(),
            "NAMES   CONTAINER IDCONTAINER ID\nwe      1\"1\"\nb       22\"22\"\n"
        );
    }
}
