//! Reading the journal: what was, and what comes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use jiff::Timestamp;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use wharf_store::Journal;

use super::{Entry, Filter};
use crate::Engine;

/// Which entries, and for how long.
#[derive(Debug, Clone, Default)]
pub struct EventsOptions {
    /// Not before. Without this and `until`, from now on.
    pub since: Option<Timestamp>,
    /// Not after; `None` goes on for ever.
    pub until: Option<Timestamp>,
    /// Which ones.
    pub filter: Filter,
    /// What plugins asked for, instead of docker's events: of all plugins, or of one.
    pub plugin: Option<Plugins>,
}

/// Whose operations and answers are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plugins {
    /// Everybody's.
    All,
    /// One plugin's.
    Named(String),
}

/// Why the journal can not be read.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// Its files.
    #[error("cannot read the journal in {path}", path = .path.display())]
    Journal {
        /// Where they are.
        path: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The caller does not want more.
    #[error(transparent)]
    Reader(io::Error),
}

impl Engine {
    /// Hands over entries in the order they were written, and goes on as they come until `until`.
    ///
    /// # Errors
    /// When the journal can not be read, or `each` fails.
    pub fn events(
        &self,
        options: &EventsOptions,
        each: &mut dyn FnMut(&Entry) -> io::Result<()>,
    ) -> Result<(), EventsError> {
        let journal = self.store.journal();
        let failed = |source| EventsError::Journal { path: journal.directory().to_owned(), source };
        let since = match (options.since, options.until) {
            (Some(since), _) => nanoseconds(since),
            (None, Some(_)) => 0,
            (None, None) => nanoseconds(Timestamp::now()),
        };
        let until = options.until.map_or(i64::MAX, nanoseconds);
        let watch = watch(&journal).map_err(failed)?;
        let mut tail = journal.tail(since);
        loop {
            let now = Timestamp::now();
            let mut refused = None;
            let read = tail.read(&mut |line| match serde_json::from_str::<Entry>(line) {
                Ok(entry) if (since..=until).contains(&entry.time) && options.wants(&entry) => {
                    each(&entry).inspect_err(|error| refused = Some(error.kind()))
                }
                _ => Ok(()),
            });
            match (read, refused) {
                (Err(error), Some(_)) => return Err(EventsError::Reader(error)),
                (read, _) => read.map_err(failed)?,
            }
            if nanoseconds(now) >= until {
                return Ok(());
            }
            wait(&watch, until).map_err(failed)?;
        }
    }
}

impl EventsOptions {
    fn wants(&self, entry: &Entry) -> bool {
        let asked = match &self.plugin {
            None => entry.kind.is_dockers() || self.filter.names(entry.kind),
            Some(Plugins::All) => entry.plugin.is_some(),
            Some(Plugins::Named(name)) => entry.plugin.as_ref().is_some_and(|plugin| plugin.name == *name),
        };
        asked && self.filter.fits(entry)
    }
}

/// Set before the first look, so that nothing is missed between a look and the waiting.
fn watch(journal: &Journal) -> io::Result<OwnedFd> {
    journal.make()?;
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, journal.directory(), WatchFlags::MODIFY | WatchFlags::CREATE)?;
    Ok(watch)
}

/// Until something is written, at most a second.
fn wait(watch: &OwnedFd, until: i64) -> io::Result<()> {
    let left = until.saturating_sub(nanoseconds(Timestamp::now())).max(0) / 1_000_000;
    let milliseconds = u16::try_from(left.saturating_add(1)).unwrap_or(u16::MAX).min(1000);
    let mut polled = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
    match nix::poll::poll(&mut polled, PollTimeout::from(milliseconds)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut seen = [0; 4096];
    match rustix::io::read(watch, &mut seen) {
        Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}
