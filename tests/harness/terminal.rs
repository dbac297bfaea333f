//! A command on a real pseudo-terminal, typed at by a test.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{eventually, output};

/// The person's end.
#[derive(Debug)]
pub(crate) struct Terminal {
    master: File,
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    /// How much of it has been expected already.
    read: usize,
}

impl Terminal {
    /// Starts a command with the terminal as its controlling one, 80 by 24.
    pub(super) fn start(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        resize(&master, 24, 80);
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = || File::options().read(true).write(true).open(&name).unwrap();
        let child = on_terminal(command).stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        let master = File::from(master);
        let seen = Arc::new(Mutex::new(Vec::new()));
        listen(master.try_clone().unwrap(), Arc::clone(&seen));
        Self { master, child, seen, read: 0 }
    }

    /// Types.
    pub(crate) fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line.
    pub(crate) fn line(&mut self, text: &str) {
        self.send(&format!("{text}\r"));
    }

    /// Waits until this text appears after what was expected before.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            if let Some(at) = find(&self.seen.lock().unwrap()[self.read..], text.as_bytes()) {
                self.read += at + text.len();
                return;
            }
            assert!(std::time::Instant::now() < end, "no {text:?} on the terminal:\n{}", self.screen());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Everything that was shown.
    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Changes its size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        resize(&self.master, rows, columns);
    }

    /// The exit code, once the command has ended.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> i32 {
        let mut status = None;
        eventually("the command on the terminal ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        output::code(status.unwrap())
    }
}

/// A test that fails half way leaves no command.
impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `setsid --ctty` makes the terminal the controlling one.
fn on_terminal(command: &Command) -> Command {
    let mut wrapped = Command::new("setsid");
    wrapped
        .arg("--ctty")
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .env("TERM", "xterm");
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

fn resize(master: impl AsFd, rows: u16, columns: u16) {
    tcsetwinsize(master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

fn listen(mut master: File, seen: Arc<Mutex<Vec<u8>>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // The kernel answers EIO when the last one has closed the other end.
        while let Ok(length @ 1..) = master.read(&mut buffer) {
            seen.lock().unwrap().extend_from_slice(&buffer[..length]);
        }
    });
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
