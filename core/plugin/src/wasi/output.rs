//! Standard output and error: lines for the log.

use crate::session::{Asked, Session};

/// Bytes of a line at most; a longer one is logged in pieces.
const LINE: usize = 4096;

/// One of the two.
pub(super) struct Output {
    level: &'static str,
    line: Vec<u8>,
}

impl Output {
    pub(super) fn new(level: &'static str) -> Self {
        Self { level, line: Vec::new() }
    }

    /// Logs every line that is complete now.
    pub(super) fn write(&mut self, session: &mut Session, bytes: impl Iterator<Item = u8>) -> Asked<()> {
        for byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
            }
            if byte == b'\n' || self.line.len() == LINE {
                self.log(session)?;
            }
        }
        Ok(())
    }

    /// Logs the rest.
    pub(super) fn finish(mut self, session: &mut Session) -> Asked<()> {
        if self.line.is_empty() { Ok(()) } else { self.log(session) }
    }

    fn log(&mut self, session: &mut Session) -> Asked<()> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        session.log(self.level, line)
    }
}
