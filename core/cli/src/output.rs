//! Standard output and standard error.
//!
//! A reader that goes away (`wharf ps | head -1`) ends the program quietly.

use std::io::{self, IsTerminal, Write};

/// A line for the person, on standard error.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", printable(line));
}

/// Standard output, buffered.
pub(crate) fn data() -> io::BufWriter<io::StdoutLock<'static>> {
    io::BufWriter::new(io::stdout().lock())
}

/// Writes lines to standard output.
pub(crate) fn lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> io::Result<()> {
    let mut out = data();
    for line in lines {
        writeln!(out, "{}", line.as_ref())?;
    }
    out.flush()
}

/// Writes a whole text to standard output.
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut out = data();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whether standard error is a terminal that shows colours.
pub(crate) fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Text from images, files and networks without what would steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    let escape = |letter: char| match letter {
        '\n' | '\t' => letter.to_string(),
        control if control.is_control() => control.escape_default().to_string(),
        plain => plain.to_string(),
    };
    text.chars().map(escape).collect()
}
