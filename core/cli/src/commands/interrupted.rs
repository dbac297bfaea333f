use std::io::{IsTerminal, Write};

use crate::globals::Globals;
use crate::report::Report;

/// Take away what this very process was making before it became this command
#[derive(Debug, clap::Args)]
pub(crate) struct Interrupted {
    /// What to exit with
    code: u8,
}

impl Interrupted {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let mut terminal = std::io::stderr();
        if terminal.is_terminal() {
            let _ = write!(terminal, "\r\x1b[2K"); // the line that was moving
        }
        let words = match globals.engine()?.interrupted() {
            true => "interrupted; what was downloaded waits for the next pull, nothing else is left",
            false => "interrupted; nothing of what was being made is left",
        };
        Err(Report::message(self.code, words))
    }
}
