//! Plain lines, as BuildKit writes them: `#3 [build 2/4] RUN make`, `#3 0.512 output`, `#3 DONE 1.2s`.

use wharf_engine::build::{BuildEvent, Outcome};

use super::steps::Steps;
use super::{AGAIN, words};
use crate::output::say;

/// Lines on standard error; an empty one where they go on about another step.
#[derive(Default)]
pub(super) struct Plain {
    last: Option<usize>,
}

impl Plain {
    pub(super) fn show(&mut self, event: &BuildEvent<'_>, steps: &Steps) {
        match event {
            BuildEvent::Warning { warning, .. } => say(&words(warning)),
            BuildEvent::Started { step } => self.about(*step, steps, |step| Some(step.to_owned())),
            BuildEvent::Output { step, .. } => self.lines(*step, steps),
            BuildEvent::Finished { step, outcome, took, .. } => {
                self.lines(*step, steps);
                self.about(*step, steps, |_| match outcome {
                    Outcome::Cached => Some("CACHED".to_owned()),
                    Outcome::Done => Some(format!("DONE {:.1}s", took.as_secs_f64())),
                    Outcome::Config => None,
                });
            }
            BuildEvent::Failed { step, error } => {
                self.lines(*step, steps);
                self.about(*step, steps, |_| Some(format!("ERROR: {error}")));
            }
            BuildEvent::Canceled { step } => {
                self.lines(*step, steps);
                self.about(*step, steps, |_| Some("CANCELED".to_owned()));
            }
            BuildEvent::Committing => self.line(steps.next_number(), "exporting to image"),
            BuildEvent::Caching(text) => self.line(steps.next_number(), text),
            BuildEvent::Restarted => self.line(steps.next_number(), AGAIN),
            BuildEvent::Pull(_) | BuildEvent::Planned(_) | BuildEvent::DebugShell { .. } => {}
        }
    }

    fn lines(&mut self, step: usize, steps: &Steps) {
        if let Some((number, _)) = steps.get(step) {
            steps.new_lines().iter().for_each(|line| self.line(number, line));
        }
    }

    fn about(&mut self, step: usize, steps: &Steps, text: impl FnOnce(&str) -> Option<String>) {
        if let Some((number, step)) = steps.get(step)
            && let Some(text) = text(&step.label)
        {
            self.line(number, &text);
        }
    }

    fn line(&mut self, number: usize, text: &str) {
        if self.last.replace(number).is_some_and(|last| last != number) {
            say("");
        }
        say(&format!("#{number} {text}"));
    }
}
