//! Listing directories ahead of a walk.
//!
//! A walk goes through its directories in order, and most of its time goes into asking the kernel for
//! what is in them. While it is busy with one, a helper lists the next ones, some at most, and when
//! the walk is faster than its helper it does the same instead of waiting.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use rustix::fs::{AtFlags, Stat, statat};

use crate::build::resolve::{names, open_dir};

/// Listings that wait for the walk, of each of the two.
pub(super) const AHEAD: usize = 16;
/// What is in a longer directory is looked at one by one, as it would take much memory.
const LONG: usize = 5_000;

/// An open directory with what is in it, sorted.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) dir: OwnedFd,
    pub(super) entries: Vec<(OsString, Option<Stat>)>,
}

impl Listing {
    pub(super) fn of(above: BorrowedFd<'_>, name: &OsStr) -> io::Result<Self> {
        let dir = open_dir(above, Path::new(name))?;
        let names = names(dir.as_fd())?;
        let is_long = names.len() > LONG;
        let look = |name: &OsString| {
            // What is gone by then is an error of who asks for it.
            statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()
        };
        let entries = names.into_iter().map(|name| {
            let stat = if is_long { None } else { look(&name) };
            (name, stat)
        });
        let entries = entries.collect();
        Ok(Self { dir, entries })
    }
}

/// Directories in one directory, some of which somebody is listing.
#[derive(Debug)]
pub(super) struct Upcoming {
    pub(super) above: OwnedFd,
    names: Vec<OsString>,
    taken: Vec<AtomicBool>,
}

impl Upcoming {
    pub(super) fn new(above: OwnedFd, names: Vec<OsString>) -> Self {
        let taken = names.iter().map(|_| AtomicBool::new(false)).collect();
        Self { above, names, taken }
    }

    fn take(&self, number: usize) -> Option<io::Result<Listing>> {
        let free = !self.taken.get(number)?.swap(true, Ordering::Relaxed);
        free.then(|| Listing::of(self.above.as_fd(), &self.names[number]))
    }

    /// Lists what nobody has taken, until nobody wants it any more.
    pub(super) fn help(&self, ready: &SyncSender<io::Result<Listing>>) {
        // The walk begins with the first.
        for number in 1..self.names.len() {
            if let Some(listing) = self.take(number)
                && ready.send(listing).is_err()
            {
                return;
            }
        }
    }
}

/// The walk's side: asks for one directory after the other.
pub(super) struct Ahead<'a> {
    upcoming: &'a Upcoming,
    ready: Receiver<io::Result<Listing>>,
    own: HashMap<usize, io::Result<Listing>>,
    next: usize,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(upcoming: &'a Upcoming, ready: Receiver<io::Result<Listing>>) -> Self {
        Self { upcoming, ready, own: HashMap::new(), next: 0 }
    }

    /// The next directory's listing.
    pub(super) fn next(&mut self) -> io::Result<Listing> {
        let number = self.next;
        self.next += 1;
        if let Some(listing) = self.own.remove(&number).or_else(|| self.upcoming.take(number)) {
            return listing;
        }
        // The helper has it, and sends in order.
        loop {
            match self.ready.try_recv() {
                Ok(listing) => return listing,
                Err(TryRecvError::Disconnected) => return Err(io::ErrorKind::Other.into()),
                Err(TryRecvError::Empty) if self.own.len() < AHEAD && self.list_one() => {}
                Err(TryRecvError::Empty) => {
                    return self.ready.recv().map_err(|_| io::Error::from(io::ErrorKind::Other))?;
                }
            }
        }
    }

    fn list_one(&mut self) -> bool {
        let reach = self.next..self.next + AHEAD;
        for number in reach {
            if let Some(listing) = self.upcoming.take(number) {
                self.own.insert(number, listing);
                return true;
            }
        }
        false
    }
}
