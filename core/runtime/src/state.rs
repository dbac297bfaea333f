//! Which process a recorded number means.
//!
//! The kernel gives process numbers out again. A process is the same one when its start time (clock
//! ticks since boot, field 22 of `/proc/PID/stat`) and the boot are the same.

use std::{fs, io};

/// When process `pid` started, in clock ticks since boot.
///
/// # Errors
/// When there is no such process.
pub fn start_time(pid: i32) -> io::Result<u64> {
    Ok(stat(pid)?.1)
}

/// A number of this boot: 36 characters.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

/// Whether `pid` is still the process that started at `start_time`, and more than a zombie.
pub fn same_process(pid: i32, start_time: u64) -> bool {
    stat(pid).is_ok_and(|(state, started)| started == start_time && !matches!(state, 'Z' | 'X'))
}

fn stat(pid: i32) -> io::Result<(char, u64)> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    parse(&String::from_utf8_lossy(&text))
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not as expected")))
}

/// State and start time. The program's name is in parentheses and may hold anything, also `)`.
fn parse(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_does_not_confuse() {
        let stat = "12 (a) S) b) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 2 3";
        assert_eq!(parse(stat), Some(('S', 4711)));
    }

    #[test]
    fn this_process_is_the_same_and_another_start_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let started = start_time(pid).unwrap();
        assert!(same_process(pid, started));
        assert!(!same_process(pid, started + 1));
    }
}
