//! What is known of each step, whatever way it is shown.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wharf_engine::build::{BuildEvent, Stream, Vertex};

use crate::output::printable;

/// Lines that are shown again when a step failed.
const LAST_WORDS: usize = 10;

/// Longer lines are cut into pieces.
const LONGEST: usize = 64 << 10;

/// The steps of a build.
#[derive(Default)]
pub(super) struct Steps {
    all: Vec<Step>,
    /// How many were begun.
    begun: usize,
    failed: Option<usize>,
    /// What the last event brought.
    new: Vec<String>,
}

/// One step.
pub(super) struct Step {
    pub(super) vertex: Vertex,
    /// `[build 2/4] RUN make`.
    pub(super) label: String,
    /// In the order in which steps begin, from 1; nothing for one that is not shown.
    pub(super) number: Option<usize>,
    begun: Option<Instant>,
    /// Of each stream, what does not end in a line feed yet.
    partial: [Vec<u8>; 2],
    last: VecDeque<String>,
}

impl Steps {
    /// Takes in what is new.
    pub(super) fn hear(&mut self, event: &BuildEvent<'_>) {
        match event {
            BuildEvent::Planned(vertices) => {
                self.all = vertices.iter().map(|vertex| Step::new(vertex, vertices)).collect();
            }
            BuildEvent::Started { step } => self.start(*step),
            BuildEvent::Output { step, stream, bytes } => {
                if let Some(step) = self.all.get_mut(*step) {
                    self.new = step.take(*stream, bytes);
                }
            }
            BuildEvent::Finished { step, .. } | BuildEvent::Canceled { step } => self.flush(*step),
            BuildEvent::Failed { step, .. } => {
                self.failed.get_or_insert(*step);
                self.flush(*step);
            }
            BuildEvent::DebugShell { step, .. } => {
                self.failed = Some(*step);
                self.flush(*step);
            }
            BuildEvent::Pull(_)
            | BuildEvent::Warning { .. }
            | BuildEvent::Restarted
            | BuildEvent::Caching(_)
            | BuildEvent::Committing => {}
        }
    }

    /// The event is over.
    pub(super) fn shown(&mut self) {
        self.new.clear();
    }

    /// A step that is shown and has begun.
    pub(super) fn get(&self, step: usize) -> Option<(usize, &Step)> {
        let step = self.all.get(step)?;
        Some((step.number?, step))
    }

    pub(super) fn all(&self) -> &[Step] {
        &self.all
    }

    /// For something that is no step.
    pub(super) fn next_number(&self) -> usize {
        self.begun + 1
    }

    /// Whole lines of output that the event brought.
    pub(super) fn new_lines(&self) -> &[String] {
        &self.new
    }

    /// What the step that failed said last, between two lines.
    pub(super) fn last_words(&mut self) -> Vec<String> {
        let Some(step) = self.failed.take().and_then(|step| self.all.get_mut(step)) else {
            return Vec::new();
        };
        if step.last.is_empty() {
            return Vec::new();
        }
        let rule = "------".to_owned();
        let name = format!(" > {}:", step.label);
        [rule.clone(), name].into_iter().chain(step.last.drain(..)).chain([rule]).collect()
    }

    fn start(&mut self, step: usize) {
        let Some(step) = self.all.get_mut(step) else { return };
        step.begun = Some(Instant::now());
        if step.vertex.place.is_some() {
            self.begun += 1;
            step.number = Some(self.begun);
        }
    }

    fn flush(&mut self, step: usize) {
        if let Some(step) = self.all.get_mut(step) {
            self.new = step.flush();
        }
    }
}

impl Step {
    fn new(vertex: &Vertex, all: &[Vertex]) -> Self {
        let (partial, last) = (Default::default(), VecDeque::new());
        Self { vertex: vertex.clone(), label: label(vertex, all), number: None, begun: None, partial, last }
    }

    /// How long it has been going on.
    pub(super) fn time(&self) -> Duration {
        self.begun.map(|begun| begun.elapsed()).unwrap_or_default()
    }

    /// Whole lines only, so that two streams do not mix inside one.
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> Vec<String> {
        let partial = &mut self.partial[usize::from(stream == Stream::Stderr)];
        partial.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = line_end(partial) {
            let line: Vec<u8> = partial.drain(..end).collect();
            lines.push(line);
        }
        lines.into_iter().map(|line| self.line(&line)).collect()
    }

    fn flush(&mut self) -> Vec<String> {
        let left = std::mem::take(&mut self.partial);
        left.iter().filter(|line| !line.is_empty()).map(|line| self.line(line)).collect()
    }

    fn line(&mut self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let text = printable(text.trim_end_matches(['\r', '\n']));
        let line = format!("{:.3} {text}", self.time().as_secs_f64());
        self.last.push_back(line.clone());
        if self.last.len() > LAST_WORDS {
            self.last.pop_front();
        }
        line
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    let feed = bytes.iter().position(|byte| *byte == b'\n').map(|place| place + 1);
    feed.or((bytes.len() > LONGEST).then_some(LONGEST))
}

/// A single stage without a name needs none.
fn label(vertex: &Vertex, all: &[Vertex]) -> String {
    let number = vertex.stage.strip_prefix("stage-").unwrap_or_default();
    let is_unnamed = number.parse::<usize>().is_ok();
    let is_single = all.iter().all(|other| other.stage == vertex.stage);
    let stage = if is_unnamed && is_single { String::new() } else { format!("{} ", vertex.stage) };
    let statement = printable(&vertex.statement).replace('\n', " ");
    match vertex.place {
        Some((place, of)) => format!("[{stage}{place}/{of}] {statement}"),
        None => format!("[{}] {statement}", stage.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(stage: &str, place: Option<(usize, usize)>) -> Vertex {
        let statement = "RUN a\nb".to_owned();
        Vertex { stage: stage.to_owned(), place, line: 1, statement, after: Vec::new() }
    }

    #[test]
    fn a_label_names_the_stage_when_there_are_several() {
        let one = [vertex("stage-0", Some((2, 4)))];
        assert_eq!(label(&one[0], &one), "[2/4] RUN a b");
        let two = [vertex("build", Some((1, 1))), vertex("stage-1", Some((2, 2)))];
        assert_eq!(label(&two[0], &two), "[build 1/1] RUN a b");
        assert_eq!(label(&two[1], &two), "[stage-1 2/2] RUN a b");
    }

    #[test]
    fn streams_are_cut_into_lines_each_for_itself() {
        let mut steps = Steps::default();
        steps.hear(&BuildEvent::Planned(&[vertex("0", Some((1, 1)))]));
        steps.hear(&BuildEvent::Started { step: 0 });
        let mut lines = Vec::new();
        for (stream, bytes) in
            [(Stream::Stdout, "a"), (Stream::Stderr, "x\r\ny"), (Stream::Stdout, "b\n\x1b[2J\n")]
        {
            steps.hear(&BuildEvent::Output { step: 0, stream, bytes: bytes.as_bytes() });
            lines.extend(steps.new_lines().to_vec());
        }
        steps.hear(&BuildEvent::Canceled { step: 0 });
        lines.extend(steps.new_lines().to_vec());
        let texts: Vec<&str> = lines.iter().filter_map(|line| Some(line.split_once(' ')?.1)).collect();
        assert_eq!(texts, ["x", "ab", "\\u{1b}[2J", "y"]);
    }
}
