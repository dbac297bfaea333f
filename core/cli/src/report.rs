//! Every error: what happened, why, what to do next, and docker's exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use crate::output::{self, printable};

/// An error that is ready to be shown.
#[derive(Debug)]
pub(crate) struct Report {
    code: u8,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    quiet: bool,
}

impl Report {
    /// A command failed: exit code 1.
    pub(crate) fn failed(error: impl Error) -> Self {
        Self::with_code(1, &error)
    }

    /// The engine could not do what `run`, `create` or `start` need: exit code 125.
    pub(crate) fn engine(error: impl Error) -> Self {
        Self::with_code(125, &error)
    }

    /// An error with an exit code of its own.
    pub(crate) fn with_code(code: u8, error: &dyn Error) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        let message = error.to_string();
        causes.retain(|cause| !message.contains(cause.as_str()));
        Self { code, message, causes, hint: None, quiet: false }
    }

    /// A message of the front end's own.
    pub(crate) fn message(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), causes: Vec::new(), hint: None, quiet: false }
    }

    /// Everything has been said already.
    pub(crate) fn said(code: u8) -> Self {
        Self { code, message: String::new(), causes: Vec::new(), hint: None, quiet: true }
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says it, and gives the exit code.
    pub(crate) fn print(self) -> ExitCode {
        if !self.quiet {
            self.say();
        }
        ExitCode::from(self.code)
    }

    /// Says it.
    pub(crate) fn say(&self) {
        let label = |text: &str, colour: &str| {
            if output::colours() { format!("\x1b[1;{colour}m{text}:\x1b[0m") } else { format!("{text}:") }
        };
        let mut text = format!("{} {}\n", label("error", "31"), printable(&self.message));
        for cause in &self.causes {
            text += &format!("{} {}\n", label("cause", "33"), printable(cause));
        }
        if let Some(hint) = &self.hint {
            text += &format!("{}  {}\n", label("hint", "36"), printable(hint));
        }
        let _ = io::Write::write_all(&mut io::stderr().lock(), text.as_bytes());
    }
}

/// A reader that went away is no error.
impl From<io::Error> for Report {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::said(0) } else { Self::failed(error) }
    }
}

/// What can be typed, for somebody who did not say what to do.
pub(crate) fn help(command: &mut clap::Command) -> ExitCode {
    let _ = io::Write::write_all(&mut io::stderr().lock(), command.render_help().to_string().as_bytes());
    ExitCode::from(125)
}

/// Help and version are answers; anything else that could not be understood is docker's 125.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 125 } else { 0 })
}
