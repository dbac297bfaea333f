//! What a monitor leaves on disk, and what it tells about its container.
//!
//! Numbers of processes are used again, also after a reboot; so a process is known by its number, the
//! boot it belongs to and the clock tick at which it started. The lock is an OFD lock: it belongs to
//! the monitor's open file, so the kernel gives it back whatever becomes of the monitor, and looking
//! at it (`F_OFD_GETLK`) never takes it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nix::fcntl::{FcntlArg, fcntl};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::state::{boot_id, start_time};

const STATE: &str = "state.json";
const EXIT: &str = "exit.json";
/// What a container's exit code is when nobody saw its end.
const CRASHED: u8 = 255;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code; 128 + n when signal n ended it.
    pub code: u8,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether the kernel killed a process of the container for want of memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How many lines of output could not be logged (a full disk).
    #[serde(default)]
    pub log_lines_dropped: u64,
}

/// What became of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It was never started, or its start failed.
    Created,
    /// It runs.
    Running {
        /// Its process, as the host sees it.
        pid: i32,
        /// When it was started.
        started_at: Timestamp,
    },
    /// It has ended; code 255 when nobody saw how.
    Exited(Exit),
}

/// `state.json`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) pid: i32,
    pub(crate) start_time: u64,
    pub(crate) boot_id: String,
    pub(crate) started_at: Timestamp,
    pub(crate) data_dir: PathBuf,
}

impl State {
    /// A process that was just started in this boot.
    pub(crate) fn new(pid: i32, start_time: u64, data_dir: &Path) -> io::Result<Self> {
        let boot_id = boot_id()?;
        Ok(Self { pid, start_time, boot_id, started_at: Timestamp::now(), data_dir: data_dir.into() })
    }

    pub(crate) fn read(run_dir: &Path) -> Option<Self> {
        read_json(&run_dir.join(STATE))
    }

    pub(crate) fn write(&self, run_dir: &Path) -> io::Result<()> {
        write_json(run_dir, STATE, self, Durable::No)
    }

    pub(crate) fn remove(run_dir: &Path) {
        // Nothing is gained by telling that a file which should go is already gone.
        let _ = fs::remove_file(run_dir.join(STATE));
    }

    /// A descriptor of the very process this is about, if it still exists.
    pub(crate) fn process(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(self.pid).filter(|_| boot_id().is_ok_and(|now| now == self.boot_id))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Read after opening: from here on the number cannot pass to another process unnoticed.
        let same = start_time(self.pid).ok()? == self.start_time;
        (same && !has_ended(&pidfd)).then_some(pidfd)
    }
}

/// Tells whether the container of these directories runs, and how it ended if it does not.
pub fn state(run_dir: &Path, data_dir: &Path) -> Status {
    let state = State::read(run_dir);
    // The lock is looked at before the exit: a monitor writes the exit first.
    let held = is_locked(run_dir);
    if let Some(exit) = read_exit(run_dir, data_dir) {
        return Status::Exited(exit);
    }
    match state {
        Some(state) if held && state.process().is_some() => {
            Status::Running { pid: state.pid, started_at: state.started_at }
        }
        Some(state) if held => just_ended(run_dir, data_dir, &state),
        Some(state) => Status::Exited(crashed(&state)),
        None => Status::Created,
    }
}

/// The process is gone but its monitor is still busy with the end: give it a moment to write it down.
fn just_ended(run_dir: &Path, data_dir: &Path, state: &State) -> Status {
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until && is_locked(run_dir) {
        if let Some(exit) = read_exit(run_dir, data_dir) {
            return Status::Exited(exit);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Status::Exited(read_exit(run_dir, data_dir).unwrap_or_else(|| crashed(state)))
}

/// The end that nobody saw.
pub(crate) fn crashed(state: &State) -> Exit {
    let finished_at = state.started_at;
    Exit { code: CRASHED, signal: None, oom_killed: false, finished_at, log_lines_dropped: 0 }
}

/// How the last run ended, if it did.
pub(crate) fn read_exit(run_dir: &Path, data_dir: &Path) -> Option<Exit> {
    read_json(&data_dir.join(EXIT)).or_else(|| read_json(&run_dir.join(EXIT)))
}

/// Forgets how the last run ended.
pub(crate) fn remove_exit(run_dir: &Path, data_dir: &Path) -> io::Result<()> {
    for path in [data_dir.join(EXIT), run_dir.join(EXIT)] {
        match fs::remove_file(path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    Ok(())
}

/// Writes down how this run ended, where memory is the disk first.
pub(crate) fn write_exit(run_dir: &Path, data_dir: &Path, exit: &Exit, durable: Durable) -> io::Result<()> {
    let in_memory = write_json(run_dir, EXIT, exit, Durable::No);
    write_json(data_dir, EXIT, exit, durable).or(in_memory)
}

/// Whether nothing more will come from the container of these directories.
pub(crate) fn is_over(run_dir: &Path, data_dir: &Path) -> bool {
    !is_locked(run_dir) || read_exit(run_dir, data_dir).is_some()
}

/// The lock of a running container, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `run_dir`, waiting for an earlier monitor that is about to leave; `None` when
    /// it stays.
    pub(crate) fn take(run_dir: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let path = run_dir.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let until = Instant::now() + patience;
        loop {
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
                Ok(_) => return Ok(Some(Self { _file: file })),
                Err(nix::Error::EAGAIN | nix::Error::EACCES) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(nix::Error::EAGAIN | nix::Error::EACCES) => return Ok(None),
                Err(err) => return Err(err.into()),
            }
        }
    }
}

/// Whether a monitor holds the lock of `run_dir`.
pub(crate) fn is_locked(run_dir: &Path) -> bool {
    let Ok(file) = File::open(run_dir.join("lock")) else { return false };
    let mut question = whole_file();
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut question)).is_ok()
        && question.l_type != nix::libc::F_UNLCK as nix::libc::c_short
}

fn whole_file() -> nix::libc::flock {
    nix::libc::flock {
        l_type: nix::libc::F_WRLCK as nix::libc::c_short,
        l_whence: nix::libc::SEEK_SET as nix::libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Whether the process has ended, also when nobody has waited for it yet. (The state in `/proc` is of
/// its first thread only, and other threads may go on.)
fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Whether a file must survive a power cut from the moment it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    Yes,
    No,
}

/// Makes a directory that only its owner can enter, and those above it.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Puts `value` as `dir/name`, whole or not at all.
fn write_json(dir: &Path, name: &str, value: &impl Serialize, durable: Durable) -> io::Result<()> {
    let new = dir.join(format!(".{name}.new"));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        if durable == Durable::Yes {
            file.sync_all()?;
        }
        fs::rename(&new, dir.join(name))
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new); // the error that matters is the one above
    }
    written?;
    if durable == Durable::Yes {
        rustix::fs::fsync(File::open(dir)?.as_fd())?;
    }
    Ok(())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (run, data) = (dir.path().join("run"), dir.path().join("data"));
        make_dir(&run).unwrap();
        make_dir(&data).unwrap();
        (dir, run, data)
    }

    fn own_state(data: &Path) -> State {
        let pid = std::process::id() as i32;
        State::new(pid, start_time(pid).unwrap(), data).unwrap()
    }

    fn exit(code: u8) -> Exit {
        Exit { code, signal: None, oom_killed: false, finished_at: Timestamp::now(), log_lines_dropped: 0 }
    }

    #[test]
    fn a_container_runs_only_when_everything_fits() {
        let (_dir, run, data) = dirs();
        assert_eq!(state(&run, &data), Status::Created);
        let own = own_state(&data);
        let lock = Lock::take(&run, Duration::ZERO).unwrap().unwrap();
        assert_eq!(state(&run, &data), Status::Created, "no state yet");
        own.write(&run).unwrap();
        assert_eq!(state(&run, &data), Status::Running { pid: own.pid, started_at: own.started_at });
        drop(lock);
        assert_eq!(state(&run, &data), Status::Exited(crashed(&own)), "no lock");
    }

    #[test]
    fn forged_states_name_no_process() {
        let (_dir, _run, data) = dirs();
        let own = own_state(&data);
        assert!(own.process().is_some());
        for forged in [
            State { boot_id: "another".into(), ..own.clone() },
            State { start_time: own.start_time + 1, ..own.clone() },
            State { pid: 1, ..own.clone() },
            State { pid: 0, ..own.clone() },
            State { pid: -1, ..own.clone() },
            State { pid: i32::MAX, ..own.clone() },
        ] {
            assert!(forged.process().is_none(), "for {forged:?}");
        }
    }

    #[test]
    fn an_exit_counts_more_than_the_lock_and_can_be_forgotten() {
        let (_dir, run, data) = dirs();
        own_state(&data).write(&run).unwrap();
        let _lock = Lock::take(&run, Duration::ZERO).unwrap().unwrap();
        let ended = exit(7);
        write_exit(&run, &data, &ended, Durable::Yes).unwrap();
        assert_eq!(state(&run, &data), Status::Exited(ended.clone()));
        fs::remove_file(data.join(EXIT)).unwrap();
        assert_eq!(state(&run, &data), Status::Exited(ended), "the copy in memory");
        remove_exit(&run, &data).unwrap();
        remove_exit(&run, &data).unwrap();
        assert!(matches!(state(&run, &data), Status::Running { .. }));
    }

    #[test]
    fn the_lock_is_taken_once_and_looking_does_not_disturb() {
        let (_dir, run, _data) = dirs();
        assert!(!is_locked(&run));
        let lock = Lock::take(&run, Duration::ZERO).unwrap().unwrap();
        assert!(is_locked(&run) && is_locked(&run));
        assert!(Lock::take(&run, Duration::from_millis(5)).unwrap().is_none());
        drop(lock);
        assert!(!is_locked(&run));
        assert!(Lock::take(&run, Duration::ZERO).unwrap().is_some());
    }

    #[test]
    fn the_dead_are_no_processes_before_somebody_waits_for_them() {
        let (_dir, _run, data) = dirs();
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = child.id() as i32;
        let alive = State::new(pid, start_time(pid).unwrap(), &data).unwrap();
        assert!(alive.process().is_some());
        child.kill().unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        while alive.process().is_some() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(alive.process().is_none() && start_time(pid).is_ok(), "a zombie");
        child.wait().unwrap();
    }

    #[test]
    fn half_a_record_is_no_record() {
        let (_dir, run, data) = dirs();
        fs::write(run.join(STATE), "{\"pid\":1,").unwrap();
        fs::write(data.join(EXIT), "").unwrap();
        assert_eq!(state(&run, &data), Status::Created);
    }
}
