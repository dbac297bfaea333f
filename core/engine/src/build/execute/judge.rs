//! What hooks say to the images that a build stands on and to the ops of a step, before any is carried out.

use wharf_model::build::{Action, Op};
use wharf_model::{Keyword, Span};

use super::{Execution, place};
use crate::build::graph::Node;
use crate::build::plan::{Base, Beginning, Stage, Step};
use crate::build::progress::BuildEvent;
use crate::build::request::BuildError;
use crate::hook::AskedOp;

/// Whose op a hook is asked about.
struct Asking<'a> {
    node: usize,
    plugin: &'a str,
    keyword: &'a Keyword,
    span: &'a Span,
}

impl Execution<'_, '_> {
    pub(super) fn judge_base(&self, node: Node, stage: &Stage) -> Result<(), BuildError> {
        let Some(name) = &stage.reference else { return Ok(()) };
        let Beginning { span, statement, plugin, .. } = &stage.start;
        let Ok(keyword) = statement.split_whitespace().next().unwrap_or_default().parse() else {
            return Ok(());
        };
        self.judge_image(name, statement, &Asking { node: node.number, plugin, keyword: &keyword, span })
    }

    /// The ops as hooks leave them.
    pub(super) fn judged(&self, step: &Step) -> Result<Vec<AskedOp>, BuildError> {
        let source =
            Asking { node: step.number, plugin: &step.plugin, keyword: &step.keyword, span: &step.span };
        let mentioned = |name: &String| {
            let is_it = |op: &Op| matches!(&op.action, Action::Image { reference, .. } if reference == name);
            step.plan.ops.iter().any(is_it)
        };
        for (name, base) in &step.named {
            if matches!(base, Base::Image(_)) && !mentioned(name) {
                self.judge_image(step.given.get(name).unwrap_or(name), &step.statement, &source)?;
            }
        }
        let mut judged = Vec::with_capacity(step.plan.ops.len());
        for op in &step.plan.ops {
            let asked = self.judge_op(as_whom(op.clone(), step), &source)?;
            self.engine.plugins.permit_operation(&step.plugin, &asked.op.action)?;
            judged.push(asked);
        }
        Ok(judged)
    }

    /// An image that something stands on or reads from, for which there is no op.
    fn judge_image(&self, name: &str, label: &str, source: &Asking<'_>) -> Result<(), BuildError> {
        let action = Action::Image { reference: name.to_owned(), platform: None };
        self.judge_op(Op { action, label: label.to_owned() }, source).map(drop)
    }

    fn judge_op(&self, op: Op, source: &Asking<'_>) -> Result<AskedOp, BuildError> {
        let mut asked = AskedOp::new(op, source.plugin, source.keyword, place(source.span));
        let warnings = self.engine.ask_hooks(&mut asked)?;
        for warning in &warnings {
            self.tell(BuildEvent::Warning { step: Some(source.node), warning });
        }
        Ok(asked)
    }
}

/// With the stage's USER where the op has none of its own, so that a hook knows who runs it.
fn as_whom(mut op: Op, step: &Step) -> Op {
    let user = &step.state.config.config.user;
    if let Action::Exec(exec) = &mut op.action
        && !user.is_empty()
    {
        exec.user.get_or_insert_with(|| user.clone());
    }
    op
}
