use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wharf_engine::Engine;
use wharf_engine::build::dockerfile::{Dockerfile, Statement};

use super::{in_words, read};
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Print the statements of Dockerfiles, before anybody has said what they mean
#[derive(Debug, clap::Args)]
pub(crate) struct Parse {
    /// Print one JSON object a file
    #[arg(long)]
    json: bool,
    /// Dockerfiles
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Parse {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let mut code = 0;
        for file in &self.files {
            code = code.max(self.file(engine, file)?);
        }
        Ok(code)
    }

    fn file(&self, engine: &Engine, file: &Path) -> Result<u8, Report> {
        let parsed = engine.parse_dockerfile(file, &read(file)?);
        match (&parsed, self.json) {
            (Ok(parsed), true) => output::lines([object(file, parsed).to_string()])?,
            (Ok(parsed), false) => output::lines(parsed.statements.iter().map(line))?,
            (Err(error), true) => {
                output::lines([json!({ "file": file, "error": in_words(error) }).to_string()])?;
            }
            (Err(error), false) => output::say(&format!("{}: {}", file.display(), in_words(error))),
        }
        Ok(u8::from(parsed.is_err()))
    }
}

fn object(file: &Path, parsed: &Dockerfile) -> Value {
    json!({
        "file": file,
        "escape": parsed.escape,
        "directives": parsed.directives,
        "statements": parsed.statements.iter().map(statement).collect::<Vec<_>>(),
        "warnings": parsed.warnings,
    })
}

/// With the statement that its words are, if they are one.
fn statement(statement: &Statement) -> Value {
    json!({
        "keyword": statement.written,
        "words": statement.words(),
        "flags": statement.flags,
        "body": statement.body,
        "statement": statement.inner.as_deref().map(self::statement),
        "original": statement.original,
        "start_line": statement.span.line,
        "end_line": statement.span.end_line,
        "heredocs": statement.heredocs,
        "comments": statement.comments,
    })
}

fn line(statement: &Statement) -> String {
    let place = format!("{}-{}", statement.span.line, statement.span.end_line);
    format!("{place}\t{}\t{}", statement.written, output::printable(&statement.words().join(" ")))
}
