//! Why each statement did what it did.

use wharf_model::build::Action;
use wharf_model::{Digest, Span};

use super::plan::{Base, Stage, Step};

/// One statement, told from the inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Where it stands.
    pub span: Span,
    /// As written.
    pub statement: String,
    /// The plugin that knows the keyword.
    pub plugin: String,
    /// Its component.
    pub plugin_digest: Digest,
    /// Whether its plan was kept from an earlier build, and why not.
    pub plan: String,
    /// What it looked at while planning.
    pub reads: Vec<String>,
    /// What it wants done.
    pub ops: Vec<String>,
    /// What it may do.
    pub grants: String,
    /// Cached, or why not.
    pub cache: String,
}

impl Explained {
    /// The statement that begins a stage.
    pub(super) fn beginning(stage: &Stage, grants: String) -> Self {
        let start = &stage.start;
        let base = match &stage.base {
            Base::Scratch | Base::Directory(_) => "stands on nothing".to_owned(),
            Base::Image(image) => format!("stands on image {}", image.id),
            Base::Stage(number) => format!("stands on stage {number}"),
        };
        Self {
            span: start.span.clone(),
            statement: start.statement.clone(),
            plugin: start.plugin.clone(),
            plugin_digest: start.plugin_digest,
            plan: start.planned.clone(),
            reads: start.trace.entries.iter().map(|entry| entry.question.to_string()).collect(),
            ops: vec![format!("begin stage {}", stage.name)],
            grants,
            cache: base,
        }
    }

    pub(super) fn of(step: &Step, grants: String, cache: String) -> Self {
        Self {
            span: step.span.clone(),
            statement: step.statement.clone(),
            plugin: step.plugin.clone(),
            plugin_digest: step.plugin_digest,
            plan: step.planned.clone(),
            reads: step.trace.entries.iter().map(|entry| entry.question.to_string()).collect(),
            ops: operations(step),
            grants,
            cache,
        }
    }
}

fn operations(step: &Step) -> Vec<String> {
    let ops = step.plan.ops.iter().map(|op| match &op.action {
        Action::Exec(exec) if !exec.devices.is_empty() => {
            let names: Vec<&str> = exec.devices.iter().map(|device| device.name.as_str()).collect();
            format!("{} (devices: {})", op.label, names.join(" "))
        }
        _ => op.label.clone(),
    });
    let config = step.plan.config.iter().map(|change| format!("config {change:?}"));
    ops.chain(config).collect()
}
