//! A Dockerfile as plans, without running anything: for people and programs that look at what would be
//! done.

use std::path::Path;

use serde::Serialize;
use wharf_model::build::{ConfigChange, Input, Op};
use wharf_model::{Diagnostic, Digest, Keyword};

use super::context::Context;
use super::gather::read;
use super::plan::{Base, BuildPlan, Stage, Step};
use super::request::{BuildFailure, BuildOptions};
use crate::Engine;

/// A planned Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedFile {
    /// Its path, as it was given.
    pub file: String,
    /// The frontend that it names. None is run: it is read as docker's own language.
    pub syntax: Option<String>,
    /// In the order of the file.
    pub stages: Vec<PlannedStage>,
    /// What is odd but allowed.
    pub warnings: Vec<Diagnostic>,
    /// Images that are not here: planned as if they were empty.
    pub assumed: Vec<String>,
}

/// A planned stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedStage {
    /// Its number.
    pub number: usize,
    /// Its name, or its number.
    pub name: String,
    /// The line it begins on.
    pub line: u32,
    /// The statement that begins it.
    pub statement: String,
    /// What it stands on: `scratch`, `stage N`, or an image's id.
    pub base: String,
    /// The plugin that said so.
    pub plugin: String,
    /// Its statements.
    pub steps: Vec<PlannedStep>,
}

/// A planned statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedStep {
    /// The line it begins on.
    pub line: u32,
    /// The line it ends on.
    pub end_line: u32,
    /// As written.
    pub statement: String,
    /// Its keyword.
    pub keyword: Keyword,
    /// The plugin that knows it.
    pub plugin: String,
    /// That plugin's code.
    pub plugin_digest: Digest,
    /// What the plugin looked at.
    pub reads: Vec<String>,
    /// What it wants done.
    pub ops: Vec<Op>,
    /// The stage's file system afterwards.
    pub rootfs: Input,
    /// What changes in the image's config.
    pub config: Vec<ConfigChange>,
}

impl Engine {
    /// The plans of all stages of a Dockerfile. `context` is the directory that COPY would read; the
    /// Dockerfile's own without it.
    ///
    /// # Errors
    /// With the lines of the Dockerfile that are to blame.
    pub fn plan_dockerfile(&self, path: &Path, context: Option<&Path>) -> Result<PlannedFile, BuildFailure> {
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = context.unwrap_or(beside);
        let options = BuildOptions { context: directory.to_owned(), ..BuildOptions::default() };
        let text = read(path).map_err(BuildFailure::anywhere)?;
        let context =
            Context::open(directory, Some(path)).map_err(|error| BuildFailure::anywhere(error.into()))?;
        let planned = self.plan_every_stage(&options, path, &text, &context);
        let (plan, absent) = planned.map_err(|at| at.in_text(&text))?;
        let syntax = options.frontend_of(&text);
        Ok(PlannedFile { syntax, ..file(path, plan, absent.into_iter().collect()) })
    }
}

fn file(path: &Path, plan: BuildPlan, assumed: Vec<String>) -> PlannedFile {
    let stages = plan.stages.into_iter().map(|(number, stage)| planned_stage(number, stage)).collect();
    let file = path.display().to_string();
    PlannedFile { file, syntax: None, stages, warnings: plan.warnings, assumed }
}

fn planned_stage(number: usize, stage: Stage) -> PlannedStage {
    PlannedStage {
        number,
        name: stage.name,
        line: stage.start.span.line,
        statement: stage.start.statement,
        base: match stage.base {
            Base::Scratch | Base::Directory(_) => "scratch".to_owned(),
            Base::Image(image) => image.id.to_string(),
            Base::Stage(number) => format!("stage {number}"),
        },
        plugin: stage.start.plugin,
        steps: stage.steps.into_iter().map(planned_step).collect(),
    }
}

fn planned_step(step: Step) -> PlannedStep {
    PlannedStep {
        line: step.span.line,
        end_line: step.span.end_line,
        statement: step.statement,
        keyword: step.keyword,
        plugin: step.plugin,
        plugin_digest: step.plugin_digest,
        reads: step.trace.entries.iter().map(|entry| entry.question.to_string()).collect(),
        ops: step.plan.ops,
        rootfs: step.plan.rootfs,
        config: step.plan.config,
    }
}
