//! The course of a build, as a graph: its steps, what waited for what, how each ended and how long it took.
//!
//! It is made of the events of the build, so there is one of a build that failed too. A build that is done a
//! second time to be compared is told of the first time.

use std::time::{Duration, Instant};

use super::progress::{BuildEvent, Outcome, Vertex};

/// The steps of a build.
#[derive(Debug, Clone, Default)]
pub struct BuildGraph {
    /// By their numbers: each waits for lower ones only.
    pub steps: Vec<GraphStep>,
    /// From the first step's beginning to the end of the last one that ended.
    pub took: Duration,
    begun: Option<Instant>,
    is_over: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphStep {
    /// What it is, and what it waits for.
    pub vertex: Vertex,
    /// How it ended.
    pub state: StepState,
    /// How long it took.
    pub took: Duration,
    /// Why it was or was not in the cache, or why it failed.
    pub why: String,
    begun: Option<Instant>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepState {
    /// Well.
    Ended(Outcome),
    /// It failed.
    Failed,
    /// It was given up, as another one failed.
    Canceled,
    /// It was never begun.
    Waiting,
}

impl BuildGraph {
    /// One that is over.
    pub fn of(steps: Vec<GraphStep>, took: Duration) -> Self {
        Self { steps, took, begun: None, is_over: true }
    }

    /// Takes in what happened.
    pub fn hear(&mut self, event: &BuildEvent<'_>) {
        if self.is_over {
            return;
        }
        match event {
            BuildEvent::Planned(_) if !self.steps.is_empty() => self.is_over = true,
            BuildEvent::Planned(vertices) => {
                self.steps = vertices.iter().cloned().map(GraphStep::new).collect();
                self.begun = Some(Instant::now());
            }
            BuildEvent::Started { step } => {
                if let Some(step) = self.steps.get_mut(*step) {
                    step.begun = Some(Instant::now());
                }
            }
            BuildEvent::Finished { step, outcome, took, why } => {
                self.end(*step, StepState::Ended(*outcome), Some(*took), why);
            }
            BuildEvent::Failed { step, error } => {
                self.end(*step, StepState::Failed, None, &error.to_string());
            }
            BuildEvent::Canceled { step } => self.end(*step, StepState::Canceled, None, ""),
            BuildEvent::Restarted => self.steps.clear(),
            BuildEvent::Pull(_)
            | BuildEvent::Caching(_)
            | BuildEvent::Warning { .. }
            | BuildEvent::Output { .. }
            | BuildEvent::DebugShell { .. }
            | BuildEvent::Committing => {}
        }
    }

    /// The chain of steps that took longest: a build is not faster than that, however much runs side by
    /// side. Nothing when no step took any time.
    pub fn critical_path(&self) -> Vec<usize> {
        let mut until: Vec<Duration> = Vec::new();
        for step in &self.steps {
            let before = self.slowest_before(step, &until).map_or(Duration::ZERO, |before| until[before]);
            until.push(before + step.took);
        }
        let begun = (0..until.len()).filter(|step| self.steps[*step].state != StepState::Waiting);
        let last = begun.max_by_key(|step| until[*step]);
        let mut path: Vec<usize> = last.filter(|last| !until[*last].is_zero()).into_iter().collect();
        while let Some(before) = path.last().and_then(|step| self.slowest_before(&self.steps[*step], &until))
        {
            path.push(before);
        }
        path.reverse();
        path
    }

    fn slowest_before(&self, step: &GraphStep, until: &[Duration]) -> Option<usize> {
        step.vertex.after.iter().copied().max_by_key(|before| until[*before])
    }

    fn end(&mut self, step: usize, state: StepState, took: Option<Duration>, why: &str) {
        let Some(step) = self.steps.get_mut(step) else { return };
        let since_begun = || step.begun.map(|begun| begun.elapsed()).unwrap_or_default();
        step.took = took.unwrap_or_else(since_begun);
        step.state = state;
        why.clone_into(&mut step.why);
        self.took = self.begun.map(|begun| begun.elapsed()).unwrap_or_default();
    }
}

impl GraphStep {
    /// One that has not begun.
    pub fn new(vertex: Vertex) -> Self {
        Self { vertex, state: StepState::Waiting, took: Duration::ZERO, why: String::new(), begun: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::BuildError;

    fn vertex(stage: &str, after: &[usize]) -> Vertex {
        Vertex { stage: stage.into(), place: None, line: 1, statement: "RUN x".into(), after: after.into() }
    }

    fn graph(steps: &[(u64, &[usize])]) -> BuildGraph {
        let step = |(millis, after): &(u64, &[usize])| GraphStep {
            took: Duration::from_millis(*millis),
            state: StepState::Ended(Outcome::Done),
            ..GraphStep::new(vertex("s", after))
        };
        BuildGraph::of(steps.iter().map(step).collect(), Duration::ZERO)
    }

    #[test]
    fn the_critical_path_is_the_slowest_chain() {
        for (steps, path) in [
            (&[(0, &[] as &[usize]), (5, &[0]), (0, &[]), (9, &[2]), (1, &[1, 3])][..], &[2, 3, 4][..]),
            (&[(0, &[]), (5, &[0]), (0, &[]), (4, &[2]), (1, &[1, 3])], &[0, 1, 4]),
            (&[(3, &[])], &[0]),
            (&[(2, &[]), (9, &[]), (1, &[0])], &[1]),
            (&[(0, &[]), (0, &[0])], &[]),
            (&[], &[]),
        ] {
            assert_eq!(graph(steps).critical_path(), path, "of {steps:?}");
        }
        let mut failed = graph(&[(1, &[]), (5, &[0]), (0, &[1])]);
        failed.steps[2].state = StepState::Waiting;
        assert_eq!(failed.critical_path(), [0, 1], "what was not begun is on no path");
    }

    #[test]
    fn the_events_of_the_first_time_make_the_graph() {
        let mut graph = BuildGraph::default();
        let vertices = [vertex("a", &[]), vertex("a", &[0]), vertex("b", &[]), vertex("b", &[1])];
        let took = Duration::from_millis(7);
        let error = BuildError::Canceled;
        for event in [
            BuildEvent::Planned(&vertices),
            BuildEvent::Started { step: 0 },
            BuildEvent::Finished { step: 0, outcome: Outcome::Cached, took, why: "cached: x" },
            BuildEvent::Started { step: 1 },
            BuildEvent::Started { step: 2 },
            BuildEvent::Failed { step: 1, error: &error },
            BuildEvent::Canceled { step: 2 },
            BuildEvent::Planned(&vertices),
            BuildEvent::Finished { step: 3, outcome: Outcome::Done, took, why: "again" },
        ] {
            graph.hear(&event);
        }
        let states: Vec<StepState> = graph.steps.iter().map(|step| step.state).collect();
        let cached = StepState::Ended(Outcome::Cached);
        assert_eq!(states, [cached, StepState::Failed, StepState::Canceled, StepState::Waiting]);
        assert_eq!((graph.steps[0].took, &*graph.steps[0].why), (took, "cached: x"));
        assert_eq!(graph.steps[1].why, error.to_string());
    }
}
