//! Moving lines on a terminal: below what is finished, a line for each step that runs, with its time and
//! the last lines that it wrote.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use wharf_engine::build::{BuildEvent, Outcome};

use super::steps::Steps;
use super::{AGAIN, words};
use crate::output::{self, printable};
use crate::terminal;

/// Lines of output below a step.
const BELOW: usize = 4;

#[derive(Default)]
pub(super) struct Terminal {
    all: MultiProgress,
    running: BTreeMap<usize, Running>,
}

/// A step that goes on.
struct Running {
    head: ProgressBar,
    /// One for each line of output.
    below: VecDeque<ProgressBar>,
}

impl Terminal {
    pub(super) fn show(&mut self, event: &BuildEvent<'_>, steps: &Steps) {
        match event {
            BuildEvent::Warning { warning, .. } => self.above(&words(warning)),
            BuildEvent::Started { step } => self.begin(*step, steps),
            BuildEvent::Output { step, .. } => self.write(*step, steps),
            BuildEvent::Finished { step, outcome, took, .. } => match outcome {
                Outcome::Cached => self.end(*step, steps, "CACHED ", "36", ""),
                Outcome::Done => self.end(*step, steps, "", "32", &format!("{:.1}s", took.as_secs_f64())),
                Outcome::Config => self.end(*step, steps, "", "", ""),
            },
            BuildEvent::Failed { step, .. } => self.end(*step, steps, "ERROR ", "31", ""),
            BuildEvent::Canceled { step } => self.end(*step, steps, "CANCELED ", "33", ""),
            BuildEvent::Committing => self.above(" => exporting to image"),
            BuildEvent::Caching(text) => self.above(&format!(" => {text}")),
            BuildEvent::Restarted => self.above(&format!(" => {AGAIN}")),
            BuildEvent::Pull(_) | BuildEvent::Planned(_) | BuildEvent::DebugShell { .. } => {}
        }
    }

    /// Takes away what moves.
    pub(super) fn clear(&mut self) {
        self.running.clear();
        let _ = self.all.clear();
    }

    fn begin(&mut self, step: usize, steps: &Steps) {
        let Some((_, known)) = steps.get(step) else { return };
        let head = self.all.add(ProgressBar::new_spinner());
        head.set_style(style(" {spinner} {wide_msg} {elapsed}"));
        head.set_message(known.label.clone());
        head.enable_steady_tick(Duration::from_millis(100));
        self.running.insert(step, Running { head, below: VecDeque::new() });
    }

    fn write(&mut self, step: usize, steps: &Steps) {
        let Some(running) = self.running.get_mut(&step) else { return };
        for line in steps.new_lines() {
            let bar = ProgressBar::new_spinner();
            let after = running.below.back().unwrap_or(&running.head);
            let bar = self.all.insert_after(after, bar);
            bar.set_style(style("   {wide_msg:.dim}"));
            bar.set_message(line.replace('\t', "    "));
            bar.tick();
            running.below.push_back(bar);
            if running.below.len() > BELOW
                && let Some(old) = running.below.pop_front()
            {
                old.finish_and_clear();
                self.all.remove(&old);
            }
        }
    }

    fn end(&mut self, step: usize, steps: &Steps, word: &str, colour: &str, time: &str) {
        if let Some(running) = self.running.remove(&step) {
            for bar in running.below.iter().chain([&running.head]) {
                bar.finish_and_clear();
                self.all.remove(bar);
            }
        }
        let Some((_, step)) = steps.get(step) else { return };
        let text = to_the_right(format!(" => {word}{}", step.label), time);
        let painted = output::colours() && !colour.is_empty();
        let text = if painted { format!("\x1b[{colour}m{text}\x1b[0m") } else { text };
        self.all.suspend(|| drop(writeln!(io::stderr().lock(), "{text}")));
    }

    fn above(&self, text: &str) {
        self.all.suspend(|| drop(writeln!(io::stderr().lock(), "{}", printable(text))));
    }
}

/// A text, and at the end of the terminal's line when there is room, else behind it, a time.
fn to_the_right(text: String, time: &str) -> String {
    let columns = terminal::columns().unwrap_or(0);
    let used = text.chars().count() + time.len();
    match time {
        "" => text,
        _ => format!("{text}{}{time}", " ".repeat(columns.saturating_sub(used).max(1))),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
