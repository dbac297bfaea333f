//! Statements that nobody would write, of the form that the core would give them.

use wharf_model::Span;
use wharf_model::statement::{Body, BodyKind, FlagSpec, Heredoc, Invocation, KeywordSpec};
use wharf_plugin::PluginError;
use wharf_plugin::trace::Recorded;

use super::{LONG, check_twice};
use crate::author::inject::Run;
use crate::author::workshop::Stand;

/// Every keyword of the plugin.
pub(super) fn check(stand: &Stand, run: &mut Run<'_>) -> Result<(), PluginError> {
    for (spec, _) in stand.plugins.keywords()? {
        let Some(plugin) = stand.plugins.instruction(&spec.keyword) else { continue };
        let plugin = plugin?;
        let statements = statements(&spec);
        check_twice(run, spec.keyword.as_str(), &statements, |call| {
            plugin.plan(call, &mut Recorded::new(&[]))
        });
    }
    Ok(())
}

/// A short statement that may or may not mean something.
pub(crate) fn plain_statement(spec: &KeywordSpec) -> Option<(String, Invocation)> {
    statements(spec).into_iter().next()
}

fn statements(spec: &KeywordSpec) -> Vec<(String, Invocation)> {
    let plain = Invocation {
        keyword: spec.keyword.clone(),
        flags: vec![],
        body: bodies(spec.body).swap_remove(0),
        heredocs: vec![],
        span: Span { file: "Dockerfile".into(), line: 1, column: 1, end_line: 1, end_column: 80 },
        stage: Some("stage".into()),
    };
    let bodies = bodies(spec.body).into_iter().map(|body| Invocation { body, ..plain.clone() });
    let flags =
        spec.flags.iter().flat_map(flags).map(|flag| Invocation { flags: vec![flag], ..plain.clone() });
    let content = "\u{0}\n$A ${A:-b}\n".repeat(100);
    let heredoc = Heredoc { name: "EOF".into(), expand: true, chomp: false, content };
    let heredocs = spec.heredocs.then(|| {
        let body = match &plain.body {
            Body::Text(_) => Body::Text("<<EOF".into()),
            other => other.clone(),
        };
        Invocation { heredocs: vec![heredoc], body, ..plain.clone() }
    });
    bodies.chain(flags).chain(heredocs).map(|call| (shown(&call), call)).collect()
}

/// As much of a statement as tells it from others.
fn shown(call: &Invocation) -> String {
    let text = format!("{} {:?} {:?}", call.keyword, call.flags, call.body);
    text.chars().take(80).collect()
}

fn words() -> Vec<Vec<String>> {
    let some = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    vec![
        some(&["a"]),
        vec![],
        some(&[""]),
        some(&["a", "b"]),
        some(&["\u{0}"]),
        some(&["--no-such-flag=x", "y"]),
        some(&["$", "${", "\\"]),
        some(&["../../../etc/passwd", "/"]),
        some(&["\u{1f433} \u{202e}", "é"]),
        some(&["0", "-1", "99999999999999999999"]),
        vec!["x".repeat(LONG)],
        vec!["w".to_owned(); 1000],
    ]
}

fn texts() -> Vec<String> {
    words().into_iter().map(|words| words.join(" ")).chain(["\n\t\n".to_owned()]).collect()
}

fn pairs() -> Vec<Vec<(String, String)>> {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    vec![
        vec![pair("a", "b")],
        vec![],
        vec![pair("", "")],
        vec![pair("a b", "\u{0}")],
        vec![pair("=", "=")],
        vec![pair("a", "1"), pair("a", "2")],
        vec![(String::from("x").repeat(LONG), "y".repeat(LONG))],
        vec![pair("k", "v"); 1000],
    ]
}

fn bodies(kind: BodyKind) -> Vec<Body> {
    let json = || words().into_iter().map(Body::Json);
    match kind {
        BodyKind::Words => words().into_iter().map(Body::Words).collect(),
        BodyKind::JsonOrWords => words().into_iter().map(Body::Words).chain(json()).collect(),
        BodyKind::Text => texts().into_iter().map(Body::Text).collect(),
        BodyKind::JsonOrText => texts().into_iter().map(Body::Text).chain(json()).collect(),
        BodyKind::Pairs => {
            let bodies = |legacy| pairs().into_iter().map(move |items| Body::Pairs { items, legacy });
            bodies(false).chain(bodies(true)).collect()
        }
        BodyKind::Assignments => {
            let some = pairs().into_iter();
            let some = some.map(|items| items.into_iter().map(|(key, value)| (key, Some(value))).collect());
            let none = vec![("a".to_owned(), None), (String::new(), None)];
            some.chain([none]).map(Body::Assignments).collect()
        }
    }
}

fn flags(spec: &FlagSpec) -> Vec<(String, Option<String>)> {
    let name = || spec.name.clone();
    if !spec.takes_value {
        return vec![(name(), None), (name(), Some("true".into())), (name(), Some("false".into()))];
    }
    let long = "x".repeat(LONG);
    let values =
        ["", "a", "\u{0}", "a=b,c=d", ",,,", "-1", "99999999999999999999", "../..", "\u{1f433}", &long];
    values.iter().map(|value| (name(), Some((*value).to_owned()))).collect()
}
