//! What waits for what.
//!
//! A node is a step, or the beginning of a stage. A step waits for the one before it, and for the stages
//! that its plan reads; a stage begins when the one it stands on is done. Nodes are numbered stage by
//! stage, each stage after those it needs, so a node only ever waits for lower numbers.

use std::collections::BTreeSet;

use super::plan::{Base, BuildPlan, Stage, Step};
use super::progress::Vertex;

/// Which step it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) number: usize,
    pub(super) stage: usize,
    /// The stage's beginning without it.
    pub(super) step: Option<usize>,
}

/// All nodes of a build.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) vertices: Vec<Vertex>,
}

/// Gives each step its number.
pub(super) fn number(plan: &mut BuildPlan) {
    let mut next = 0;
    for number in &plan.order {
        next += 1;
        for step in plan.stages.get_mut(number).into_iter().flat_map(|stage| &mut stage.steps) {
            step.number = next;
            next += 1;
        }
    }
}

impl Graph {
    /// Of steps that have their numbers.
    pub(super) fn of(plan: &BuildPlan) -> Self {
        let mut graph = Self { nodes: Vec::new(), vertices: Vec::new() };
        for number in &plan.order {
            graph.add(plan, *number, &plan.stages[number]);
        }
        graph
    }

    /// For each node, which ones it waits for.
    pub(super) fn after(&self) -> Vec<&[usize]> {
        self.vertices.iter().map(|vertex| vertex.after.as_slice()).collect()
    }

    fn add(&mut self, plan: &BuildPlan, number: usize, stage: &Stage) {
        let of = 1 + stage.steps.iter().filter(|step| changes_files(step)).count();
        let first = self.nodes.len();
        self.nodes.push(Node { number: first, stage: number, step: None });
        self.vertices.push(Vertex {
            stage: stage.name.clone(),
            place: Some((1, of)),
            line: stage.start.span.line,
            statement: stage.start.statement.clone(),
            after: below(&stage.base).and_then(|stage| last_of(plan, stage)).into_iter().collect(),
        });
        let mut place = 1;
        for (index, step) in stage.steps.iter().enumerate() {
            place += usize::from(changes_files(step));
            let before = self.nodes.len() - 1;
            let read = step.named.values().filter_map(below).filter_map(|stage| last_of(plan, stage));
            let after: BTreeSet<usize> = read.chain([before]).collect();
            self.nodes.push(Node { number: before + 1, stage: number, step: Some(index) });
            self.vertices.push(Vertex {
                stage: stage.name.clone(),
                place: changes_files(step).then_some((place, of)),
                line: step.span.line,
                statement: step.statement.clone(),
                after: after.into_iter().collect(),
            });
        }
    }
}

fn changes_files(step: &Step) -> bool {
    !step.plan.ops.is_empty()
}

fn below(base: &Base) -> Option<usize> {
    match base {
        Base::Stage(number) => Some(*number),
        _ => None,
    }
}

/// The node after which a stage is done.
fn last_of(plan: &BuildPlan, stage: usize) -> Option<usize> {
    let before = plan.order.iter().take_while(|number| **number != stage);
    let nodes = |number: &usize| 1 + plan.stages[number].steps.len();
    Some(before.map(nodes).sum::<usize>() + plan.stages.get(&stage)?.steps.len())
}
