//! A build as it goes on: a moving line on a terminal, plain lines in a pipe.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use wharf_engine::build::{BuildEvent, Outcome};

use crate::output::{self, printable};

/// How a build is shown.
pub(crate) struct Progress {
    /// The moving line; `None` is plain.
    bar: Option<ProgressBar>,
    quiet: bool,
    step: String,
    /// Output that does not end in a line feed yet.
    partial: Vec<u8>,
}

impl Progress {
    /// `auto`, `plain`, `tty` or `quiet`.
    pub(crate) fn new(how: &str) -> Self {
        let moving = match how {
            "tty" => true,
            "auto" => io::stderr().is_terminal(),
            _ => false,
        };
        let bar = moving.then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
            let bar = ProgressBar::new_spinner();
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, quiet: how == "quiet", step: String::new(), partial: Vec::new() }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &BuildEvent<'_>) {
        match event {
            BuildEvent::Warning(warning) => self.warn(warning),
            BuildEvent::Started { number, total, stage, label } => {
                let label = printable(label).replace('\n', " ");
                self.step = format!("[{stage} {number}/{total}] {label}");
                match &self.bar {
                    Some(bar) => bar.set_message(self.step.clone()),
                    None => self.line(&self.step.clone()),
                }
            }
            BuildEvent::Output { bytes, .. } => self.output(bytes),
            BuildEvent::Finished { outcome, took } => self.finished(*outcome, *took),
            BuildEvent::DebugShell { command } => self.make_room(command),
            BuildEvent::Committing => self.step = "exporting the image".to_owned(),
        }
    }

    /// For a person at a shell; what comes after it is plain.
    fn make_room(&mut self, command: &str) {
        self.flush();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        output::say(&format!("ERROR {}", printable(&self.step)));
        output::say(&format!(
            "{} where it failed; nothing of it is kept, and its end is the build's",
            printable(command)
        ));
    }

    /// Takes the moving line away.
    pub(crate) fn finish(&mut self, fine: bool) {
        self.flush();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            if !fine {
                output::say(&format!("ERROR {}", self.step));
            }
        }
    }

    fn warn(&mut self, warning: &wharf_engine::build::Diagnostic) {
        let place =
            warning.span.as_ref().map(|span| format!("{}:{}: ", span.file, span.line)).unwrap_or_default();
        let help = warning.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        let word = match warning.severity {
            wharf_engine::build::Severity::Info | wharf_engine::build::Severity::Hint => "note",
            _ => "warning",
        };
        self.line(&format!("{word}: {place}{}: {}{help}", warning.code, warning.message));
    }

    fn finished(&mut self, outcome: Outcome, took: Duration) {
        self.flush();
        let word = match outcome {
            Outcome::Cached => "CACHED".to_owned(),
            Outcome::Done => format!("DONE {:.1}s", took.as_secs_f64()),
            Outcome::Config => return,
        };
        let text = if self.bar.is_some() { format!("{word} {}", self.step) } else { word };
        self.line(&text);
    }

    /// Whole lines only, so that two streams do not mix inside one.
    fn output(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.line(&format!("  {}", String::from_utf8_lossy(&line[..end]).trim_end_matches('\r')));
        }
    }

    fn flush(&mut self) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.line(&format!("  {}", String::from_utf8_lossy(&line)));
        }
    }

    fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        let text = printable(text);
        match &self.bar {
            Some(bar) => bar.suspend(|| drop(writeln!(io::stderr().lock(), "{text}"))),
            None => output::say(&text),
        }
    }
}
