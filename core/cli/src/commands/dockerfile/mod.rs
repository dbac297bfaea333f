//! Looking at Dockerfiles without building them.

mod lint;
mod parse;
mod plan;
mod words;

use std::path::Path;

pub(super) use lint::lines;

use crate::globals::Globals;
use crate::report::Report;

/// Look at Dockerfiles without building them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Dockerfile {
    Lint(lint::Lint),
    Parse(parse::Parse),
    Plan(plan::Plan),
    Words(words::Words),
}

impl Dockerfile {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        match self {
            Self::Lint(verb) => verb.run(globals),
            Self::Parse(verb) => verb.run(globals),
            Self::Plan(verb) => verb.run(globals),
            Self::Words(verb) => verb.run(globals),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Report> {
    std::fs::read(path)
        .map_err(|error| Report::message(1, format!("cannot read {}: {error}", path.display())))
}

/// An error with its causes, and where in the file it is.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
