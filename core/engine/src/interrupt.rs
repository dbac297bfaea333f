//! Ctrl-C while something is made, at any moment.
//!
//! One thread waits for the signal. It does not ask the others to stop, who may be anywhere: it
//! replaces the whole process by a command that ends in [`Engine::interrupted`](crate::Engine::interrupted),
//! which keeps the process's number and nothing else, and takes away what was claimed. So there is one way to clean up, the same as after
//! a crash, and no place in the code where a signal comes at a bad time.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigSet, Signal};

/// Those that ask a program to end.
const ENDING: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// From now on a signal that asks this process to end makes it `command` instead, with one more
/// argument: 128 and the signal's number, which is what that is to exit with. To be called before there
/// is a second thread.
pub fn when_interrupted(command: &[String]) {
    let ignored = ignored();
    let signals: SigSet = ENDING.into_iter().filter(|signal| !ignored.contains(signal)).collect();
    let [program, arguments @ ..] = command else { return };
    let mut after = Command::new(program);
    after.args(arguments);
    // Without the mask or the thread, the signals do what they always do.
    if signals.thread_block().is_ok() {
        let waiting = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let Ok(signal) = signals.wait() else { return };
            let _ = after.arg((128 + signal as i32).to_string()).exec();
            std::process::exit(128 + signal as i32); // the program is gone; so is this process then
        });
        if waiting.is_err() {
            let _ = signals.thread_unblock();
        }
    }
}

/// What whoever started this program has set to be ignored (`nohup`, a shell's `&`), and so stays.
fn ignored() -> Vec<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default();
    ENDING.into_iter().filter(|signal| mask & (1 << (*signal as i32 - 1)) != 0).collect()
}
