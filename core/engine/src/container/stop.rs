//! `stop`, `kill`, `restart` and `wait`.

use std::time::Duration;

use nix::sys::signal::Signal;
use wharf_runtime::monitor::{self, Exit, SignalError, Status, WaitError};

use super::{Container, LookupError, StartError};
use crate::Engine;
use crate::event::Entry;

/// Docker's patience.
const GRACE: i64 = 10;

/// Why a container could not be stopped, killed or waited for.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// No such container.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The signal has no number.
    #[error("invalid signal: {0}")]
    Signal(String),
    /// It does not run.
    #[error("cannot kill container: {name}: container {id} is not running")]
    NotRunning {
        /// As typed.
        name: String,
        /// Its id.
        id: String,
    },
    /// The kernel refused.
    #[error("cannot signal container `{name}`")]
    Send {
        /// Which.
        name: String,
        /// Why not.
        source: SignalError,
    },
    /// Its end can not be seen.
    #[error("cannot wait for container `{name}`")]
    Wait {
        /// Which.
        name: String,
        /// Why not.
        source: WaitError,
    },
    /// It survived SIGKILL for so long that something is wrong with the kernel or its disk.
    #[error("container `{0}` does not end even after SIGKILL")]
    Survives(String),
    /// It did not start again.
    #[error(transparent)]
    Start(Box<StartError>),
}

impl Engine {
    /// Stops a container: its stop signal, then, after some seconds, SIGKILL. One that does not
    /// run is left alone.
    ///
    /// `signal` and `timeout` (seconds; negative waits for ever) stand in for the container's own.
    ///
    /// # Errors
    /// When there is none, or the kernel refuses.
    pub fn stop(
        &self,
        name: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<Container, StopError> {
        let container = self.container(name)?;
        if let Status::Running { .. } = self.status(&container) {
            let text = signal.or(container.config.stop_signal.as_deref()).unwrap_or("SIGTERM");
            let number = signal_number(text).ok_or_else(|| StopError::Signal(text.to_owned()))?;
            self.stop_running(&container, number, timeout)?;
            let _ = self.ended(&container.id);
            self.note([Entry::of(&container, "stop")]);
        } else {
            let _ = self.ended(&container.id);
        }
        Ok(container)
    }

    fn stop_running(
        &self,
        container: &Container,
        signal: i32,
        timeout: Option<i64>,
    ) -> Result<(), StopError> {
        let seconds = timeout.or(container.stop_timeout).unwrap_or(GRACE);
        if seconds != 0 {
            self.send(container, signal)?;
            let limit = u64::try_from(seconds).ok().map(Duration::from_secs);
            if self.wait_for(container, limit)?.is_some() {
                return Ok(());
            }
        }
        self.kill_and_wait(container)
    }

    /// SIGKILL, and the end of the process.
    pub(super) fn kill_and_wait(&self, container: &Container) -> Result<(), StopError> {
        self.send(container, Signal::SIGKILL as i32)?;
        match self.wait_for(container, Some(Duration::from_secs(30)))? {
            Some(_) => Ok(()),
            None => Err(StopError::Survives(container.name.clone())),
        }
    }

    /// Sends a signal to a running container.
    ///
    /// # Errors
    /// When there is none, it does not run, or the signal is none.
    pub fn kill(&self, name: &str, signal: &str) -> Result<Container, StopError> {
        let container = self.container(name)?;
        let number = signal_number(signal).ok_or_else(|| StopError::Signal(signal.to_owned()))?;
        let Status::Running { .. } = self.status(&container) else {
            return Err(StopError::NotRunning { name: name.to_owned(), id: container.id });
        };
        self.send(&container, number)?;
        if number == Signal::SIGKILL as i32 {
            self.wait_for(&container, Some(Duration::from_secs(30)))?;
        }
        Ok(container)
    }

    /// Stops a container and starts it again.
    ///
    /// # Errors
    /// As for stop and start.
    pub fn restart(
        &self,
        name: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<Container, StopError> {
        let container = self.stop(name, signal, timeout)?;
        let started = self.start(&container.id, None).map_err(|error| StopError::Start(Box::new(error)))?;
        self.note([Entry::of(&started.container, "restart")]);
        Ok(started.container)
    }

    /// Waits until a container does not run any more, and says how it ended.
    ///
    /// # Errors
    /// When there is none.
    pub fn wait(&self, name: &str) -> Result<Exit, StopError> {
        let container = self.container(name)?;
        if let Status::Exited(exit) = self.status(&container) {
            return Ok(exit);
        }
        match self.wait_for(&container, None)? {
            Some(exit) => Ok(exit),
            None => Err(StopError::Survives(container.name)),
        }
    }

    fn wait_for(&self, container: &Container, limit: Option<Duration>) -> Result<Option<Exit>, StopError> {
        let waited = monitor::wait(&self.run_dir(&container.id), limit);
        waited.map_err(|source| StopError::Wait { name: container.name.clone(), source })
    }

    /// A container that has ended in the meantime needs no signal.
    fn send(&self, container: &Container, signal: i32) -> Result<(), StopError> {
        match monitor::signal(&self.run_dir(&container.id), signal) {
            Ok(()) => {
                self.note([Entry::of(container, "kill").with("signal", signal.to_string())]);
                Ok(())
            }
            Err(SignalError::NotRunning) => Ok(()),
            Err(source) => Err(StopError::Send { name: container.name.clone(), source }),
        }
    }
}

/// `SIGTERM`, `TERM`, `term` or `15`; also the real-time signals `SIGRTMIN+3`.
pub(super) fn signal_number(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    if let Ok(number) = upper.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    real_time(&full).or_else(|| full.parse::<Signal>().ok().map(|signal| signal as i32))
}

/// The kernel's numbers as C libraries show them.
fn real_time(name: &str) -> Option<i32> {
    const FIRST: i32 = 34;
    const LAST: i32 = 64;
    let number = |rest: &str, base: i32| match rest {
        "" => Some(base),
        rest => rest.parse::<i32>().ok().map(|offset| base + offset),
    };
    let found = match (name.strip_prefix("SIGRTMIN"), name.strip_prefix("SIGRTMAX")) {
        (Some(rest), _) => number(rest, FIRST),
        (_, Some(rest)) => number(rest, LAST),
        _ => None,
    };
    found.filter(|signal| (FIRST..=LAST).contains(signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("TERM", Some(15)),
            ("sigkill", Some(9)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("SIGRTMAX-14", Some(50)),
            ("RTMIN", Some(34)),
            ("0", None),
            ("65", None),
            ("FOO", None),
            ("", None),
        ] {
            assert_eq!(signal_number(text), number, "for {text:?}");
        }
    }
}
