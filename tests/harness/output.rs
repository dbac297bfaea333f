//! What a command said and how it ended. Every expectation shows the whole session when it fails.

use std::fmt;
use std::process::ExitStatus;

/// The end of a command.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// What was typed.
    pub(crate) typed: String,
    /// The exit code; 128+n when a signal ended it, as a shell shows it.
    pub(crate) status: i32,
    /// Data.
    pub(crate) stdout: String,
    /// Talk.
    pub(crate) stderr: String,
}

impl fmt::Display for Output {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "$ {}", self.typed)?;
        writeln!(out, "{}--- stderr\n{}--- exit code {}", self.stdout, self.stderr, self.status)
    }
}

impl Output {
    pub(super) fn new(typed: String, output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            typed,
            status: code(output.status),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// It ended with 0.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        self.fails(0)
    }

    /// It ended with this exit code.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> Self {
        assert_eq!(self.status, code, "exit code\n{self}");
        self
    }

    /// Standard error holds this text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "standard error does not say {text:?}\n{self}");
        self
    }

    /// Standard output holds this text.
    #[track_caller]
    pub(crate) fn shows(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "standard output does not show {text:?}\n{self}");
        self
    }

    /// Neither stream holds this text.
    #[track_caller]
    pub(crate) fn without(self, text: &str) -> Self {
        let held = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(!held, "{text:?} is not expected here\n{self}");
        self
    }

    /// Standard output is exactly this.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert_eq!(self.stdout, text, "standard output\n{self}");
        self
    }

    /// The only line of standard output.
    #[track_caller]
    pub(crate) fn line(&self) -> &str {
        let lines: Vec<&str> = self.stdout.lines().collect();
        assert_eq!(lines.len(), 1, "expected one line\n{self}");
        lines[0]
    }

    /// The line of standard output that holds this text.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str) -> &str {
        let found = self.stdout.lines().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no line with {text:?}\n{self}"))
    }

    /// Standard output, which is JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }
}

/// As a shell shows it.
pub(super) fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
