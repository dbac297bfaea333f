//! Standard output and standard error.
//!
//! A reader that goes away (`wharf ps | head -1`) ends the program quietly.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use wharf_engine::WholeFile;

use crate::report::Report;

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

/// Where an archive goes: a file, or standard output.
pub(crate) struct Archive<'a>(pub(crate) Option<&'a Path>);

impl Archive<'_> {
    /// Has it written. A file appears when it is whole.
    pub(crate) fn write(
        &self,
        pack: &mut dyn FnMut(&mut dyn Write) -> Result<(), Report>,
    ) -> Result<(), Report> {
        match self.0 {
            Some(path) => to_file(path, pack),
            None if io::stdout().is_terminal() => {
                Err(Report::message(1, "refusing to write an archive to a terminal")
                    .hint("use -o FILE, or a pipe"))
            }
            None => buffered(io::stdout().lock(), pack),
        }
    }
}

fn to_file(path: &Path, pack: &mut dyn FnMut(&mut dyn Write) -> Result<(), Report>) -> Result<(), Report> {
    let failed = |error: io::Error| Report::message(1, format!("cannot write {}: {error}", path.display()));
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return buffered(File::create(path).map_err(failed)?, pack);
    }
    let file = WholeFile::create(path).map_err(failed)?;
    buffered(&file.file, pack)?;
    file.appear().map_err(failed)
}

fn buffered(
    out: impl Write,
    pack: &mut dyn FnMut(&mut dyn Write) -> Result<(), Report>,
) -> Result<(), Report> {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    pack(&mut out)?;
    Ok(out.flush()?)
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
