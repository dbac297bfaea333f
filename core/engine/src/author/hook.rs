//! The cases of a hook: an event is shown to it, and its answers are compared.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use wharf_model::Failure;
use wharf_model::hook::{Adjustment, Event, Phase, Verdict};
use wharf_plugin::{Entry, ImageFiles, PluginError};

use super::case::Case;
use super::event;
use super::golden;
use super::outcome::{Checked, Ended, chain};
use super::project::ProjectError;
use super::workshop::{Candidate, Stand, Workshop};
use crate::build::context::Context;
use crate::build::look;

/// Carries out the cases, and tells which rights they needed.
pub(super) fn run(
    workshop: &Workshop,
    candidate: &Candidate,
    cases: &[Case],
    bless: bool,
    checks: &mut Vec<Checked>,
) -> Result<BTreeSet<String>, ProjectError> {
    let mut used = BTreeSet::new();
    for case in cases {
        let begun = Instant::now();
        let stand = workshop.alone(candidate, &case.settings()?)?;
        let result = CaseRun { case, stand: &stand }.carry_out(bless, &mut used)?;
        checks.push(Checked { name: case.name.clone(), result, took: begun.elapsed() });
    }
    Ok(used)
}

struct CaseRun<'a> {
    case: &'a Case,
    stand: &'a Stand,
}

/// What one phase answered.
struct Answer {
    file: &'static str,
    text: String,
}

impl CaseRun<'_> {
    fn carry_out(&self, bless: bool, used: &mut BTreeSet<String>) -> Result<Ended, ProjectError> {
        let event = self.event()?;
        let mut answers = Vec::new();
        let mut why = Vec::new();
        for phase in [Phase::Adjust, Phase::Judge, Phase::Observe] {
            let Some(first) = self.ask(&event, phase)? else { continue };
            used.insert(format!("ops:{}", word(phase)));
            if self.ask(&event, phase)?.is_none_or(|second| second.text != first.text) {
                why.push(format!("{}: asked again, it answers something else", word(phase)));
            }
            answers.push(first);
        }
        let denied = self.stand.heard.denied();
        why.extend(
            denied.iter().map(|right| format!("it asks for `{right}`, which its manifest does not request")),
        );
        if answers.is_empty() {
            why.push(format!("it does not subscribe to `{}`", event.subject.moment().as_str()));
        }
        if !why.is_empty() {
            return Ok(Ended::Failed { why });
        }
        self.compare(answers, bless)
    }

    fn event(&self) -> Result<Event, ProjectError> {
        let text = self.case.read("event.json")?.unwrap_or_default();
        event::read(&text).map_err(|error| ProjectError::Content {
            path: self.case.path("event.json"),
            source: chain(&error).into(),
        })
    }

    /// `None` when the hook does not want to be asked.
    fn ask(&self, event: &Event, phase: Phase) -> Result<Option<Answer>, ProjectError> {
        let Some(hook) = self.stand.plugins.hooks(event.subject.moment(), phase).into_iter().next() else {
            return Ok(None);
        };
        let mut image = self.image()?;
        let image = image.as_mut().map(|image| image as &mut dyn ImageFiles);
        let (file, answer) = match phase {
            Phase::Adjust => {
                ("adjustments.json", hook.adjust(event, image).map(|answer| adjustments(&answer)))
            }
            Phase::Judge => ("verdict.json", hook.judge(event, image).map(|answer| verdict(&answer))),
            Phase::Observe => ("", hook.observe(event).map(|()| String::new())),
        };
        Ok(Some(match answer {
            Ok(text) => Answer { file, text },
            Err(error) => Answer { file: "error.txt", text: error_text(&error) },
        }))
    }

    /// `image/` is what an image that is committed holds.
    fn image(&self) -> Result<Option<Files>, ProjectError> {
        let directory = self.case.path("image");
        if !directory.is_dir() {
            return Ok(None);
        }
        let wrong = |error| ProjectError::Content { path: directory.clone(), source: chain(&error).into() };
        Ok(Some(Files(Context::open(&directory, None).map_err(wrong)?)))
    }

    /// Files for what it does not answer are no longer expected.
    fn compare(&self, answers: Vec<Answer>, bless: bool) -> Result<Ended, ProjectError> {
        let (mut why, mut blessed) = (Vec::new(), false);
        let written: BTreeSet<&str> = answers.iter().map(|answer| answer.file).collect();
        for file in ["adjustments.json", "verdict.json", "error.txt"] {
            let path = self.case.path(file);
            if written.contains(file) || !path.exists() {
                continue;
            }
            if bless {
                std::fs::remove_file(&path).map_err(|source| ProjectError::File { path, source })?;
            } else {
                why.push(format!("{file} is expected, and did not come"));
            }
        }
        for answer in answers.iter().filter(|answer| !answer.file.is_empty()) {
            let path: PathBuf = self.case.path(answer.file);
            let compared = golden::compare(&path, &answer.text, bless);
            match compared.map_err(|source| ProjectError::File { path, source })? {
                Ended::Failed { why: more } => why.extend(more),
                Ended::Blessed => blessed = true,
                Ended::Passed | Ended::Skipped { .. } => {}
            }
        }
        Ok(if blessed && why.is_empty() { Ended::Blessed } else { Ended::of(why) })
    }
}

/// A directory as the file system of an image.
struct Files(Context);

impl ImageFiles for Files {
    fn stat(&mut self, path: &str) -> Result<Option<Entry>, Failure> {
        look::stat(&self.0, path)
    }

    fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        look::read(&self.0, path, limit)
    }

    fn glob(&mut self, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
        look::glob(&self.0, patterns, limit)
    }
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Adjust => "adjust",
        Phase::Judge => "judge",
        Phase::Observe => "observe",
    }
}

fn adjustments(answer: &[Adjustment]) -> String {
    golden::text(&answer)
}

fn verdict(answer: &Verdict) -> String {
    match answer {
        Verdict::Allow => golden::text(&Value::String("allow".into())),
        Verdict::Warn(_) | Verdict::Deny(_) => golden::text(answer),
    }
}

fn error_text(error: &PluginError) -> String {
    let function = error.function().unwrap_or_default();
    let Some(failure) = error.failure() else { return format!("{function}: {}\n", chain(error)) };
    let mut text = String::new();
    for diagnostic in &failure.diagnostics {
        let code = if diagnostic.code.is_empty() { String::new() } else { format!("{}: ", diagnostic.code) };
        text += &format!("{function}: {code}{}\n", diagnostic.message);
        text.extend(diagnostic.help.as_ref().map(|help| format!("  help: {help}\n")));
    }
    text
}
