//! A Dockerfile cut into its stages: what each begins with, and the statements that follow.

use wharf_model::build::{ConfigChange, Outcome, StageStart};
use wharf_model::statement::KeywordSpec;

use super::{Beginning, Planner};
use crate::build::dockerfile::{self, Dockerfile, Statement};
use crate::build::inputs::names_an_image;
use crate::build::lint;
use crate::build::request::{At, BuildError};
use crate::build::stage::{State, TARGET_STAGE};

/// A stage's statements, before they are planned.
pub(super) struct Section<'a> {
    pub(super) start: StageStart,
    pub(super) beginning: Beginning,
    pub(super) statements: &'a [Statement],
}

impl<'a> Planner<'a> {
    /// Cuts the Dockerfile into stages, and declares the arguments before the first one.
    pub(super) fn split(&mut self, dockerfile: &'a Dockerfile, target: Option<&str>) -> Result<(), At> {
        let statements = &dockerfile.statements[..];
        let starts: Vec<usize> =
            (0..statements.len()).filter(|index| self.starts_stage(&statements[*index])).collect();
        let first = starts.first().copied().unwrap_or(statements.len());
        for statement in &statements[..first] {
            self.declare_globals(statement).map_err(|at| at.on(&statement.span))?;
        }
        if starts.is_empty() {
            return Err(BuildError::NoStage.into());
        }
        self.name_target(&starts, statements, target)?;
        for (number, start) in starts.iter().enumerate() {
            let end = starts.get(number + 1).copied().unwrap_or(statements.len());
            let statement = &statements[*start];
            let (begin, beginning) = self.stage_start(statement).map_err(|at| at.on(&statement.span))?;
            let body = &statements[start + 1..end];
            self.sections.push(Section { start: begin, beginning, statements: body });
        }
        Ok(())
    }

    /// What `ARG TARGETSTAGE` gives: the target as it was asked for, or what the last stage is called. A
    /// FROM that uses it is answered after the last FROM has told its name.
    fn name_target(
        &mut self,
        starts: &[usize],
        statements: &[Statement],
        target: Option<&str>,
    ) -> Result<(), At> {
        if let Some(target) = target {
            self.arguments.set_target_stage(target);
            return Ok(());
        }
        let Some(last) = starts.last().map(|last| &statements[*last]) else { return Ok(()) };
        let is_used = statements.iter().any(|statement| statement.original.contains(TARGET_STAGE));
        if !is_used {
            return Ok(());
        }
        let recorder = self.recorder.take();
        let (spec, arguments) = (self.spec(last)?, self.arguments.clone());
        let state = State::before_stages(arguments.clone());
        let answer = self.ask(last, &spec, &arguments, &state, None, true);
        self.recorder = recorder;
        if let Outcome::Stage(StageStart { name: Some(name), .. }) =
            answer.map_err(|at| at.on(&last.span))?.planned.outcome
        {
            self.arguments.set_target_stage(&name);
        }
        Ok(())
    }

    pub(super) fn starts_stage(&self, statement: &Statement) -> bool {
        let spec = statement.keyword.as_ref().and_then(|keyword| self.keywords.get(keyword));
        spec.is_some_and(|spec| spec.starts_stage)
    }

    fn declare_globals(&mut self, statement: &Statement) -> Result<(), At> {
        let spec = self.spec(statement)?;
        if !spec.before_from {
            return Err(BuildError::NoStage.into());
        }
        let arguments = self.arguments.clone();
        let state = State::before_stages(arguments.clone());
        let answer = self.ask(statement, &spec, &arguments, &state, None, true)?;
        if let Outcome::Plan(plan) = answer.planned.outcome {
            for change in &plan.config {
                if let ConfigChange::DeclareArg(name, default) = change {
                    self.used.insert(name.clone());
                    self.arguments.declare_global(name, default.as_deref());
                    self.defaults.declare_global(name, default.as_deref());
                }
            }
            self.warn(&plan.diagnostics, statement);
        }
        Ok(())
    }

    fn stage_start(&mut self, statement: &Statement) -> Result<(StageStart, Beginning), At> {
        let spec = self.spec(statement)?;
        let arguments = self.arguments.clone();
        let state = State::before_stages(arguments.clone());
        self.check_start(statement, &spec)?;
        let answer = self.ask(statement, &spec, &arguments, &state, None, true)?;
        match answer.planned.outcome {
            Outcome::Stage(start) => {
                self.warn(&start.diagnostics, statement);
                let twice = start.name.as_deref().and_then(|name| self.names.add(name, &statement.span));
                self.say(&statement.comments, twice);
                Ok((
                    start,
                    Beginning {
                        span: statement.span.clone(),
                        statement: statement.original.clone(),
                        comments: statement.comments.clone(),
                        plugin: answer.plugin,
                        plugin_digest: answer.plugin_digest,
                        trace: answer.planned.trace,
                        planned: answer.planned.how,
                    },
                ))
            }
            Outcome::Plan(_) | Outcome::Expand(_) => {
                Err(BuildError::Plan { plugin: answer.plugin, cause: "it begins no stage".to_owned() }.into())
            }
        }
    }

    /// What there is to say about a stage's first line.
    fn check_start(&mut self, statement: &Statement, spec: &KeywordSpec) -> Result<(), At> {
        let reading = dockerfile::read(statement, spec, self.escape, &self.arguments, None)?;
        let by_default = dockerfile::read(statement, spec, self.escape, &self.defaults, None);
        let has_variables = !reading.used.is_empty() || !reading.unset.is_empty();
        let declared = self.arguments.global.keys().chain(&self.used).cloned().collect();
        let check = lint::FromCheck {
            statement,
            unset: &reading.unset,
            declared: &declared,
            invalid_default: has_variables
                && !by_default.is_ok_and(|reading| names_an_image(&reading.invocation)),
        };
        self.say(&statement.comments, check.warnings());
        Ok(())
    }
}
