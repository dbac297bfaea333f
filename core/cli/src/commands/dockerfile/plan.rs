use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wharf_engine::Engine;
use wharf_engine::build::{PlannedFile, PlannedStep};

use super::in_words;
use crate::commands::inspect::pretty;
use crate::globals::Globals;
use crate::output::{self, printable};
use crate::report::Report;

/// Print what each statement of Dockerfiles would do; images that are not here count as empty
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// Print one JSON object a file
    #[arg(long)]
    json: bool,
    /// Directory that COPY and ADD would read; the Dockerfile's own without it
    #[arg(long, value_name = "DIR")]
    context: Option<PathBuf>,
    /// Dockerfiles
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Plan {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let mut code = 0;
        for file in &self.files {
            code = code.max(self.file(engine, file)?);
        }
        Ok(code)
    }

    fn file(&self, engine: &Engine, file: &Path) -> Result<u8, Report> {
        let planned = engine.plan_dockerfile(file, self.context.as_deref());
        match (planned, self.json) {
            (Ok(planned), true) => output::lines([serde_json::to_string(&planned).unwrap_or_default()])?,
            (Ok(planned), false) => output::lines(lines(&planned))?,
            (Err(error), true) => {
                output::lines([json!({ "file": file, "error": in_words(&error) }).to_string()])?;
                return Ok(1);
            }
            (Err(failure), false) => {
                crate::commands::build::report(engine, failure).say();
                return Ok(1);
            }
        }
        Ok(0)
    }
}

/// The line's number, the statement, and what it would do.
fn lines(planned: &PlannedFile) -> Vec<String> {
    let head = |line: u32, text: &str| printable(&format!("{line:>4}  {text}"));
    let mut lines = Vec::new();
    for stage in &planned.stages {
        lines.push(head(stage.line, &stage.statement));
        for step in &stage.steps {
            lines.push(head(step.line, &step.statement));
            lines.extend(actions(step).iter().flat_map(indented));
        }
    }
    let absent = planned.assumed.iter();
    lines.extend(absent.map(|name| format!("note: {name} is not here and counts as empty")));
    lines
}

fn actions(step: &PlannedStep) -> Vec<Value> {
    let ops = step.ops.iter().map(|op| serde_json::to_value(&op.action).unwrap_or_default());
    let config = step.config.iter().map(|change| serde_json::to_value(change).unwrap_or_default());
    ops.chain(config).collect()
}

fn indented(value: &Value) -> Vec<String> {
    pretty(value).lines().map(|line| format!("          {}", printable(line))).collect()
}
