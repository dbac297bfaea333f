//! A build as it goes on: moving lines on a terminal, plain lines in a pipe, JSON for a program.
//!
//! Steps run side by side, so every line says which one it is about. A step that changes the config only
//! is not shown, as nothing happens in it.

mod json;
mod plain;
mod pull;
mod push;
mod steps;
mod terminal;

use std::io::{self, IsTerminal};

use wharf_engine::build::{BuildEvent, Diagnostic, Severity};

use crate::output;
use crate::report::Report;
use json::Json;
use plain::Plain;
pub(crate) use pull::{Pulling, heading};
pub(crate) use push::Pushing;
use steps::Steps;
use terminal::Terminal;

/// Names the way to show a build, where the command line does not.
const VARIABLE: &str = "BUILDKIT_PROGRESS";

/// The ways there are.
pub(crate) const WAYS: [&str; 5] = ["auto", "plain", "tty", "rawjson", "quiet"];

/// How a build is shown.
pub(crate) struct Progress {
    view: View,
    steps: Steps,
    /// Base images, before there are steps.
    pulling: Pulling,
}

enum View {
    Quiet,
    Plain(Plain),
    Terminal(Box<Terminal>),
    Json(Json),
}

impl Progress {
    /// One of [`WAYS`]; without one, as `BUILDKIT_PROGRESS` says.
    pub(crate) fn new(how: Option<&str>) -> Result<Self, Report> {
        let variable = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
        let view = match how.or(variable.as_deref()).unwrap_or("auto") {
            "quiet" => View::Quiet,
            "plain" => View::Plain(Plain::default()),
            "rawjson" => View::Json(Json::default()),
            "tty" => View::Terminal(Box::default()),
            "auto" if io::stderr().is_terminal() => View::Terminal(Box::default()),
            "auto" => View::Plain(Plain::default()),
            other => {
                let message = format!("invalid {VARIABLE} \"{other}\"");
                return Err(Report::message(1, message).hint(format!("one of {}", WAYS.join(", "))));
            }
        };
        let pulling = match view {
            View::Quiet | View::Json(_) => Pulling::Quiet,
            View::Plain(_) => Pulling::Plain,
            View::Terminal(_) => Pulling::new(false),
        };
        Ok(Self { view, steps: Steps::default(), pulling })
    }

    /// Whether what is said besides goes to the same place as text.
    pub(crate) fn is_text(&self) -> bool {
        !matches!(self.view, View::Json(_))
    }

    /// Whether only the result is wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.view, View::Quiet)
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &BuildEvent<'_>) {
        if let BuildEvent::Pull(event) = event {
            return self.pulling.show(*event);
        }
        self.steps.hear(event);
        if let BuildEvent::DebugShell { command, .. } = event {
            return self.make_room(command);
        }
        match &mut self.view {
            View::Quiet => {}
            View::Plain(plain) => plain.show(event, &self.steps),
            View::Terminal(terminal) => terminal.show(event, &self.steps),
            View::Json(json) => json.show(event, &self.steps),
        }
        self.steps.shown();
    }

    /// Takes moving lines away, and says again what the step that failed said last.
    pub(crate) fn finish(&mut self) {
        if let View::Terminal(terminal) = &mut self.view {
            terminal.clear();
        }
        if self.is_text() {
            self.steps.last_words().iter().for_each(|line| output::say(line));
        }
    }

    /// For a person at a shell; what comes after it is plain.
    fn make_room(&mut self, command: &str) {
        if let View::Terminal(terminal) = &mut self.view {
            terminal.clear();
            self.view = View::Plain(Plain::default());
        }
        self.steps.last_words().iter().for_each(|line| output::say(line));
        output::say(&format!(
            "{} where it failed; nothing of it is kept, and its end is the build's",
            output::printable(command)
        ));
    }
}

/// When a layer of a cache can not be had.
const AGAIN: &str = "beginning anew without what the cache does not give";

fn words(warning: &Diagnostic) -> String {
    let place =
        warning.span.as_ref().map(|span| format!("{}:{}: ", span.file, span.line)).unwrap_or_default();
    let help = warning.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    let word = match warning.severity {
        Severity::Info | Severity::Hint => "note",
        _ => "warning",
    };
    format!("{word}: {place}{}: {}{help}", warning.code, warning.message)
}
