//! The cases of an instruction plugin: a Dockerfile is planned, and the plans are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value};
use wharf_model::build::Outcome;
use wharf_model::image::{ImageConfig, RunConfig};
use wharf_model::{Digest, Platform, Settings};
use wharf_store::Image;

use super::case::Case;
use super::golden;
use super::grants;
use super::outcome::{Checked, Ended, chain};
use super::project::ProjectError;
use super::replay;
use super::workshop::{Candidate, Stand, Workshop};
use crate::build::plan::Images;
use crate::build::record::{Call, Recorder};
use crate::build::{BuildError, BuildFailure, Rehearsal};

/// Every base image there is.
struct Props(RunConfig);

impl Images for Props {
    fn base_image(&self, name: &str, _: Option<&Platform>) -> Result<Image, BuildError> {
        let mut config = ImageConfig::empty(&Platform::host());
        config.config = self.0.clone();
        let id = Digest::of(format!("{name} {}", serde_json::to_string(&config).unwrap_or_default()));
        Ok(Image { id, config, names: Vec::new(), added: 0, size: 0, layers: Vec::new(), manifest: id })
    }
}

/// Carries out the cases, and tells which rights they needed.
pub(super) fn run(
    workshop: &Workshop,
    candidate: &Candidate,
    cases: &[Case],
    bless: bool,
    checks: &mut Vec<Checked>,
) -> Result<BTreeSet<String>, ProjectError> {
    let mut stands: Vec<(Settings, Stand)> = Vec::new();
    let mut used = BTreeSet::new();
    for case in cases {
        let begun = Instant::now();
        let settings = case.settings()?;
        if !stands.iter().any(|(known, _)| *known == settings) {
            stands.push((settings.clone(), workshop.among_defaults(candidate, &settings)?));
        }
        let Some((_, stand)) = stands.iter().find(|(known, _)| *known == settings) else { continue };
        let run = CaseRun { case, candidate, stand };
        let result = run.carry_out(bless, &mut used)?;
        checks.push(Checked { name: case.name.clone(), result, took: begun.elapsed() });
    }
    Ok(used)
}

/// The calls of the plugin that a case makes.
pub(super) fn record(
    workshop: &Workshop,
    candidate: &Candidate,
    case: &Case,
) -> Result<Vec<Call>, ProjectError> {
    let settings = case.settings()?;
    let stand = workshop.among_defaults(candidate, &settings)?;
    let mut recorder = Recorder::default();
    // A case that expects an error has calls, too.
    let _failure = CaseRun { case, candidate, stand: &stand }.plan(&mut recorder)?;
    recorder.calls.retain(|call| call.plugin == candidate.name());
    Ok(recorder.calls)
}

struct CaseRun<'a> {
    case: &'a Case,
    candidate: &'a Candidate,
    stand: &'a Stand,
}

impl CaseRun<'_> {
    fn carry_out(&self, bless: bool, used: &mut BTreeSet<String>) -> Result<Ended, ProjectError> {
        let mut recorder = Recorder::default();
        let failed = self.plan(&mut recorder)?.err();
        let calls: Vec<&Call> =
            recorder.calls.iter().filter(|call| call.plugin == self.candidate.name()).collect();
        for call in &calls {
            used.extend(grants::used(&self.candidate.config.grants, call.answer.as_ref().ok(), &call.reads));
        }
        let mut why = self.promises(&calls);
        if calls.is_empty() && failed.is_none() {
            why.push(format!("no statement of the Dockerfile is one of `{}`", self.candidate.name()));
        }
        if !why.is_empty() {
            return Ok(Ended::Failed { why });
        }
        self.compare(&calls, failed.as_ref(), bless)
    }

    fn plan(&self, recorder: &mut Recorder) -> Result<Result<(), BuildFailure>, ProjectError> {
        let text = self.case.read("Dockerfile")?.unwrap_or_default();
        let (context, _empty) = self.context()?;
        let rehearsal = Rehearsal {
            plugins: &self.stand.plugins,
            images: &Props(self.case.image()?),
            context: &context,
            file: "Dockerfile",
            text: text.as_bytes(),
            arguments: &self.case.arguments()?,
        };
        Ok(rehearsal.run(recorder))
    }

    /// `context/`, or an empty directory that is gone with the case.
    fn context(&self) -> Result<(PathBuf, Option<tempfile::TempDir>), ProjectError> {
        let own = self.case.path("context");
        if own.is_dir() {
            return Ok((own, None));
        }
        let failed = |source| ProjectError::File { path: std::env::temp_dir(), source };
        let empty = tempfile::tempdir().map_err(failed)?;
        Ok((empty.path().to_owned(), Some(empty)))
    }

    /// What has to hold whatever is expected.
    fn promises(&self, calls: &[&Call]) -> Vec<String> {
        let denied = self.stand.heard.denied();
        let mut why: Vec<String> = denied
            .iter()
            .map(|right| format!("it asks for `{right}`, which its manifest does not request"))
            .collect();
        for call in calls {
            why.extend(replay::differs_from_itself(&self.stand.plugins, call));
        }
        why
    }

    fn compare(
        &self,
        calls: &[&Call],
        failed: Option<&BuildFailure>,
        bless: bool,
    ) -> Result<Ended, ProjectError> {
        let (file, other, text) = match failed {
            None => ("plan.json", "error.txt", golden::text(&plans(calls))),
            Some(failure) => ("error.txt", "plan.json", error_text(failure)),
        };
        let other = self.case.path(other);
        if other.exists() && bless {
            std::fs::remove_file(&other)
                .map_err(|source| ProjectError::File { path: other.clone(), source })?;
        } else if other.exists() {
            let expected = if failed.is_some() {
                "a plan is expected, and this came:"
            } else {
                "an error is expected, and this came:"
            };
            let mut why = vec![expected.to_owned()];
            why.extend(text.lines().map(str::to_owned));
            return Ok(Ended::Failed { why });
        }
        let path = self.case.path(file);
        golden::compare(&path, &text, bless).map_err(|source| ProjectError::File { path, source })
    }
}

/// One statement in `plan.json`.
#[derive(Serialize)]
struct Statement {
    line: u32,
    statement: String,
    reads: Vec<String>,
    #[serde(flatten)]
    planned: BTreeMap<&'static str, Value>,
}

fn plans(calls: &[&Call]) -> Vec<Value> {
    calls.iter().map(|call| statement(call)).collect()
}

fn statement(call: &Call) -> Value {
    let (key, planned) = match &call.answer {
        Ok(Outcome::Plan(plan)) => ("plan", serde_json::to_value(plan)),
        Ok(Outcome::Stage(start)) => ("stage", serde_json::to_value(start)),
        Ok(Outcome::Expand(lines)) => ("expand", serde_json::to_value(lines)),
        Err(refusal) => ("error", serde_json::to_value(refusal)),
    };
    let statement = Statement {
        line: call.invocation.span.line,
        statement: call.statement.clone(),
        reads: call.reads.iter().map(|(question, _)| question.to_string()).collect(),
        planned: BTreeMap::from([(key, planned.unwrap_or_default())]),
    };
    serde_json::to_value(statement).unwrap_or_else(|_| Value::Object(Map::new()))
}

/// The text of `error.txt`.
fn error_text(failure: &BuildFailure) -> String {
    let place = |span: Option<&wharf_model::Span>| match span {
        Some(span) => format!("{}:{}: ", span.file, span.line),
        None => String::new(),
    };
    let mut text = String::new();
    let BuildError::Refused(diagnostics) = &failure.error else {
        text += &format!("{}{}\n", place(failure.span.as_ref()), chain(&failure.error));
        text.extend(failure.hint().map(|hint| format!("  help: {}\n", hint.replace('\n', "\n        "))));
        return text;
    };
    for diagnostic in diagnostics {
        let span = diagnostic.span.as_ref().or(failure.span.as_ref());
        let code = if diagnostic.code.is_empty() { String::new() } else { format!("{}: ", diagnostic.code) };
        text += &format!("{}{code}{}\n", place(span), diagnostic.message);
        text.extend(diagnostic.help.as_ref().map(|help| format!("  help: {help}\n")));
    }
    text
}
