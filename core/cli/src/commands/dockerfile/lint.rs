use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wharf_engine::Engine;
use wharf_engine::build::{BuildOptions, Checked, Diagnostic};

use super::{in_words, read};
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Say what is allowed in Dockerfiles but probably not meant
///
/// The rules are docker's build checks, and what the plugins of the keywords say. Images that are not here
/// are not asked about. Ends with 1 when there was something to say.
#[derive(Debug, clap::Args)]
pub(crate) struct Lint {
    /// Print one JSON object a file
    #[arg(long)]
    json: bool,
    /// Directory that COPY and ADD are held against; that of the file without it
    #[arg(long, value_name = "DIRECTORY")]
    context: Option<PathBuf>,
    /// Dockerfiles
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Lint {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let mut code = 0;
        for file in &self.files {
            let checked = self.check(engine, file)?;
            if !checked.warnings.is_empty() || checked.failure.is_some() {
                code = 1;
            }
            if self.json {
                output::lines([object(file, &checked).to_string()])?;
            } else {
                output::lines(lines(&checked))?;
            }
        }
        Ok(code)
    }

    fn check(&self, engine: &Engine, file: &Path) -> Result<Checked, Report> {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let context = self.context.clone().or_else(|| parent.map(Path::to_owned));
        let context = context.unwrap_or_else(|| PathBuf::from("."));
        let options = BuildOptions { context, ..BuildOptions::default() };
        let checked = engine.check(&options, file, &read(file)?);
        checked.map_err(|failure| crate::commands::build::report(engine, failure))
    }
}

/// One file's findings, one a line.
pub(in crate::commands) fn lines(checked: &Checked) -> Vec<String> {
    let mut lines: Vec<String> = checked.warnings.iter().map(line).collect();
    if let Some(failure) = &checked.failure {
        lines.push(format!("error: {}", output::printable(&in_words(failure))));
    }
    lines
}

fn line(warning: &Diagnostic) -> String {
    let place =
        warning.span.as_ref().map(|span| format!("{}:{}: ", span.file, span.line)).unwrap_or_default();
    let help = warning.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("{place}{}: {}{help}", warning.code, output::printable(&warning.message))
}

fn object(file: &Path, checked: &Checked) -> Value {
    let warnings: Vec<Value> = checked
        .warnings
        .iter()
        .map(|warning| {
            json!({
                "rule": warning.code,
                "message": warning.message,
                "line": warning.span.as_ref().map(|span| span.line),
                "help": warning.help,
                "url": warning.url,
            })
        })
        .collect();
    let mut object = json!({ "file": file, "warnings": warnings });
    if let (Some(failure), Some(fields)) = (&checked.failure, object.as_object_mut()) {
        fields.insert("error".to_owned(), in_words(&failure.error).into());
        fields.insert("line".to_owned(), failure.span.as_ref().map(|span| span.line).into());
    }
    object
}
