//! For a program: one JSON object a line on standard error, with the keys of BuildKit's `SolveStatus`.
//!
//! | key | of each |
//! |---|---|
//! | `vertexes` | `digest`, `inputs`, `name`, then `started`, `completed`, `cached`, `error` as they become known |
//! | `logs` | `vertex`, `stream` (1 is standard output, 2 standard error), `data` in base64, `timestamp` |
//! | `warnings` | `vertex`, `level`, `short` and each of `detail` in base64, `range` |
//! | `statuses` | `id`, `vertex`, `timestamp`, `started`: an image or a cache is being written |
//!
//! A vertex is told again whole whenever it changes. A step that changes the config only is none; who waits
//! for it waits for what it waits for.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use wharf_engine::build::{BuildEvent, Diagnostic, Outcome, Stream};
use wharf_model::Digest;

use super::AGAIN;
use super::steps::{Step, Steps};

/// What has been told of each vertex.
#[derive(Default)]
pub(super) struct Json {
    vertices: BTreeMap<usize, Value>,
}

impl Json {
    pub(super) fn show(&mut self, event: &BuildEvent<'_>, steps: &Steps) {
        let now = Timestamp::now().to_string();
        match event {
            BuildEvent::Planned(_) => self.plan(steps.all()),
            BuildEvent::Started { step } => self.change(*step, &[("started", json!(now))]),
            BuildEvent::Output { step, stream, bytes } => self.log(*step, *stream, bytes),
            BuildEvent::Finished { step, outcome, .. } => {
                let cached = (*outcome == Outcome::Cached).then_some(("cached", json!(true)));
                let changes: Vec<_> = [("completed", json!(now))].into_iter().chain(cached).collect();
                self.change(*step, &changes);
            }
            BuildEvent::Failed { step, error } => {
                self.change(*step, &[("completed", json!(now)), ("error", json!(error.to_string()))]);
            }
            BuildEvent::Canceled { step } => {
                self.change(*step, &[("completed", json!(now)), ("error", json!("context canceled"))]);
            }
            BuildEvent::Warning { step, warning } => self.warn(*step, warning),
            BuildEvent::Committing => status("exporting to image", &now),
            BuildEvent::Caching(text) => status(text, &now),
            BuildEvent::Restarted => status(AGAIN, &now),
            BuildEvent::Pull(_) | BuildEvent::DebugShell { .. } => {}
        }
    }

    fn plan(&mut self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate().filter(|(_, step)| step.vertex.place.is_some()) {
            let inputs: Vec<String> = inputs(steps, number).into_iter().map(|at| digest(steps, at)).collect();
            let vertex = json!({ "digest": digest(steps, number), "inputs": inputs, "name": step.label });
            self.vertices.insert(number, vertex);
        }
        say(&json!({ "vertexes": self.vertices.values().collect::<Vec<_>>() }));
    }

    fn change(&mut self, step: usize, changes: &[(&str, Value)]) {
        let Some(vertex) = self.vertices.get_mut(&step) else { return };
        for (key, value) in changes {
            vertex[*key] = value.clone();
        }
        say(&json!({ "vertexes": [vertex] }));
    }

    fn log(&self, step: usize, stream: Stream, bytes: &[u8]) {
        let stream = if stream == Stream::Stdout { 1 } else { 2 };
        say(&json!({ "logs": [{ "vertex": self.digest(Some(step)), "stream": stream,
            "data": BASE64_STANDARD.encode(bytes), "timestamp": Timestamp::now().to_string() }] }));
    }

    fn warn(&self, step: Option<usize>, warning: &Diagnostic) {
        let text = |text: &str| BASE64_STANDARD.encode(text);
        let short = text(&format!("{}: {}", warning.code, warning.message));
        let detail: Vec<String> = warning.help.iter().map(|help| text(help)).collect();
        let range = warning
            .span
            .as_ref()
            .map(|span| json!([{ "start": { "line": span.line }, "end": { "line": span.end_line } }]));
        say(&json!({ "warnings": [{ "vertex": self.digest(step), "level": 1, "short": short,
            "detail": detail, "range": range }] }));
    }

    fn digest(&self, step: Option<usize>) -> Value {
        step.and_then(|step| self.vertices.get(&step)).map_or(Value::Null, |vertex| vertex["digest"].clone())
    }
}

/// The vertices that one waits for.
fn inputs(steps: &[Step], number: usize) -> Vec<usize> {
    let after = &steps[number].vertex.after;
    let mut found: Vec<usize> = after
        .iter()
        .flat_map(|before| match steps[*before].vertex.place {
            Some(_) => vec![*before],
            None => inputs(steps, *before),
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What names it within this build.
fn digest(steps: &[Step], number: usize) -> String {
    Digest::of(format!("{number}\0{}\0{}", steps[number].vertex.line, steps[number].label)).to_string()
}

fn status(id: &str, now: &str) {
    say(&json!({ "statuses": [{ "id": id, "vertex": null, "timestamp": now, "started": now }] }));
}

fn say(value: &Value) {
    let _ = writeln!(io::stderr().lock(), "{value}");
}
