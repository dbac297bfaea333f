//! The caller's standard streams, and whether they can serve as a container's terminal.

use std::io::{self, IsTerminal};

use wharf_engine::container::{Connection, DetachKeys, Ended, Local};

use crate::report::Report;

/// `-it` needs a terminal to take the keys from.
pub(crate) fn check(stdin: bool, tty: bool) -> Result<(), Report> {
    if stdin && tty && !io::stdin().is_terminal() {
        return Err(Report::message(
            1,
            "cannot attach stdin to a TTY-enabled container because stdin is not a terminal",
        )
        .hint("leave -t out when the input is a pipe or a file"));
    }
    Ok(())
}

/// `ctrl-p,ctrl-q`.
pub(crate) fn detach_keys(text: &str) -> Result<DetachKeys, Report> {
    text.parse().map_err(Report::engine)
}

/// The caller's own streams.
pub(crate) fn local(stdin: bool) -> Local<'static> {
    let mut local = Local::standard();
    if !stdin {
        local.stdin = None;
    }
    local
}

/// Passes bytes both ways until the program ends; its exit code is the command's. When our own reader
/// has gone away, the command ends quietly with 1 and the program goes on.
pub(crate) fn forward(connection: Connection, stdin: bool) -> Result<u8, Report> {
    match connection.forward(local(stdin)).map_err(Report::failed)? {
        Ended::Exited(exit) => Ok(exit.code),
        Ended::Detached => Ok(0),
        Ended::OutputGone => Err(Report::said(1)), // docker's code
    }
}

/// The width of the terminal that standard error is, in characters.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}
