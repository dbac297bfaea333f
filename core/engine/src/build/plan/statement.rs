//! One statement: its plugin is asked, and its answer changes the stage, begins one, or is lines to read.

use wharf_model::Digest;
use wharf_model::build::{ConfigChange, Outcome};
use wharf_model::statement::{Invocation, KeywordSpec};

use super::{Ground, Planner, Step};
use crate::build::dockerfile::{self, Statement};
use crate::build::expanding::Expanding;
use crate::build::kept::Planned;
use crate::build::lint;
use crate::build::request::{At, BuildError};
use crate::build::stage::State;
use crate::build::tree::View;
use crate::build::words::Scope;

/// A plugin's answer to one statement, with where it came from.
pub(super) struct Answer {
    pub(super) planned: Planned,
    pub(super) call: Invocation,
    pub(super) plugin: String,
    pub(super) plugin_digest: Digest,
}

/// A stage while its statements are planned.
pub(super) struct Walk {
    pub(super) number: usize,
    pub(super) state: State,
    pub(super) steps: Vec<Step>,
    pub(super) inside: lint::Inside,
    pub(super) expanding: Expanding,
}

impl Planner<'_> {
    pub(super) fn plan_statements(&mut self, statements: &[Statement], walk: &mut Walk) -> Result<(), At> {
        for statement in statements {
            self.plan_statement(statement, walk).map_err(|at| at.on(&statement.span))?;
        }
        Ok(())
    }

    fn plan_statement(&mut self, statement: &Statement, walk: &mut Walk) -> Result<(), At> {
        let spec = self.spec(statement)?;
        let stage = self.sections[walk.number].start.name.clone();
        let known = !self.unknown.contains(&walk.number);
        let answer = self.ask(statement, &spec, &walk.state, &walk.state, stage.as_deref(), known)?;
        match answer.planned.outcome {
            Outcome::Plan(plan) => {
                self.warn(&plan.diagnostics, statement);
                let said = walk.inside.planned(spec.keyword.as_str(), &plan.config, &statement.span);
                self.say(&statement.comments, said);
                let said = lint::ignored(&spec.keyword, &plan, self.ground.context, &statement.span);
                self.say(&statement.comments, said);
                let named = self.named_inputs(&plan, walk.number)?;
                let given = named.keys().filter_map(|name| Some((name.clone(), self.real_name(name)?)));
                let given = given.collect();
                let before = walk.state.clone();
                for change in &plan.config {
                    if let ConfigChange::DeclareArg(name, _) = change {
                        self.used.insert(name.clone());
                    }
                    walk.state.apply(change);
                }
                walk.steps.push(Step {
                    number: 0,
                    span: statement.span.clone(),
                    statement: statement.original.clone(),
                    keyword: spec.keyword.clone(),
                    plugin: answer.plugin,
                    plugin_digest: answer.plugin_digest,
                    trace: answer.planned.trace,
                    planned: answer.planned.how,
                    plan,
                    state: before,
                    named,
                    given,
                });
                Ok(())
            }
            Outcome::Expand(lines) => {
                walk.expanding.enter(answer.call, answer.planned.trace)?;
                let lines = dockerfile::parse_lines(&lines, &statement.span, self.escape, self.keywords)?;
                lines.iter().try_for_each(|line| line.check(self.keywords).map(drop))?;
                self.plan_statements(&lines, walk)?;
                walk.expanding.leave();
                Ok(())
            }
            Outcome::Stage(_) => {
                let cause = "it begins a stage inside a stage".to_owned();
                Err(BuildError::Plan { plugin: answer.plugin, cause }.into())
            }
        }
    }

    pub(super) fn spec(&self, statement: &Statement) -> Result<KeywordSpec, At> {
        Ok(statement.check(self.keywords)?.clone())
    }

    pub(super) fn ask(
        &mut self,
        statement: &Statement,
        spec: &KeywordSpec,
        scope: &dyn Scope,
        state: &State,
        stage: Option<&str>,
        known: bool,
    ) -> Result<Answer, At> {
        let reading = dockerfile::read(statement, spec, self.escape, scope, stage)?;
        if known && !spec.starts_stage {
            let said = reading.unset.iter().map(|name| lint::undefined(name, scope, &statement.span));
            self.say(&statement.comments, said);
        }
        self.plan_invocation(&statement.original, &reading.invocation, state)
    }

    fn plan_invocation(&mut self, statement: &str, call: &Invocation, state: &State) -> Result<Answer, At> {
        let Ground { plugins, images, context } = self.ground;
        let unclaimed = || BuildError::Unclaimed(call.keyword.to_string());
        let plugin = plugins.instruction(&call.keyword).ok_or_else(unclaimed)??;
        let mut view = View { images, context, state };
        let planned = match (&mut self.kept, &mut self.recorder) {
            (Some(kept), None) => kept.plan(plugin.as_ref(), call, &mut view)?,
            (_, recorder) => {
                let config = plugins.config().plugin(plugin.name());
                Planned::recorded(plugin.as_ref(), call, &mut view, |reads, outcome| {
                    if let (Some(recorder), Some(config)) = (recorder, config) {
                        recorder.add(statement, (config, plugin.digest()), call, reads, outcome);
                    }
                })?
            }
        };
        let (call, plugin_digest) = (call.clone(), plugin.digest());
        Ok(Answer { planned, call, plugin: plugin.name().to_owned(), plugin_digest })
    }
}
