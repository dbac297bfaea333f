//! The terminal of the person who runs a command.
//!
//! In raw mode every key goes to the container as a byte, ctrl-c too. The mode belongs to the
//! terminal and not to the process, so it must be given back however the process ends: [`RawMode`]
//! does so when it is dropped, which covers every return and a panic; deadly signals are the business
//! of whoever holds it (`monitor::Connection::forward` blocks them and lets go first).

use std::{io, os::fd::BorrowedFd};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// How many rows and columns a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// Whether `fd` is a terminal.
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    isatty(fd)
}

/// How large the terminal `fd` is; `None` when it is none, or does not know.
pub fn size(fd: BorrowedFd<'_>) -> Option<TerminalSize> {
    let size = tcgetwinsize(fd).ok()?;
    let known = size.ws_row > 0 && size.ws_col > 0;
    known.then_some(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}

/// A terminal that hands every key through; back to what it was when dropped.
#[derive(Debug)]
pub struct RawMode<'fd> {
    fd: BorrowedFd<'fd>,
    before: Termios,
}

impl<'fd> RawMode<'fd> {
    /// Puts the terminal `fd` into raw mode.
    pub fn enter(fd: BorrowedFd<'fd>) -> io::Result<Self> {
        let before = tcgetattr(fd)?;
        let mode = Self { fd, before };
        mode.again()?;
        Ok(mode)
    }

    /// Puts it into raw mode once more, after a shell has had the terminal meanwhile.
    pub fn again(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        Ok(tcsetattr(self.fd, OptionalActions::Now, &raw)?)
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // A terminal that has gone away needs no restoring.
        let _ = tcsetattr(self.fd, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::{
        fs::{Mode, OFlags, open},
        pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
        termios::{LocalModes, Winsize, tcsetwinsize},
    };

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        (master, slave)
    }

    fn echoes(fd: BorrowedFd<'_>) -> bool {
        tcgetattr(fd).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    #[test]
    fn raw_mode_ends_with_its_scope_and_with_a_panic() {
        let (_master, slave) = pair();
        assert!(echoes(slave.as_fd()));
        {
            let _raw = RawMode::enter(slave.as_fd()).unwrap();
            assert!(!echoes(slave.as_fd()));
        }
        assert!(echoes(slave.as_fd()));
        let panicked = std::panic::catch_unwind(|| {
            let _raw = RawMode::enter(slave.as_fd()).unwrap();
            panic!("in raw mode");
        });
        assert!(panicked.is_err() && echoes(slave.as_fd()));
    }

    #[test]
    fn only_terminals_have_a_size() {
        let (master, slave) = pair();
        assert_eq!(size(slave.as_fd()), None, "0x0 is no size");
        tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        assert_eq!(size(slave.as_fd()), Some(TerminalSize { rows: 24, columns: 80 }));
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(!is_terminal(null.as_fd()) && size(null.as_fd()).is_none());
    }
}
