//! `build --debug-shell`: a person at a terminal, where a RUN failed.

use std::io::{self, IsTerminal};

use wharf_engine::container::Connection;

use crate::output;
use crate::report::Report;
use crate::terminal;

/// Nobody can type at a pipe.
pub(super) fn check() -> Result<(), Report> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Ok(());
    }
    let message = "cannot open a debug shell: standard input and output are not a terminal";
    Err(Report::message(1, message).hint("leave --debug-shell out, or build on a terminal"))
}

/// Until the shell ends. How it ends says nothing about the build.
pub(super) fn attend(connection: Connection) {
    if let Err(error) = connection.forward(terminal::local(true)) {
        output::say(&format!("the shell is gone: {error}"));
    }
}
