//! Part of a blob on its way here, in a file that outlives whoever brings it.
//!
//! ```text
//! blobs/partial/<hex>   the first bytes of the blob of that digest; locked by who adds to it
//! ```
//!
//! Bytes are only ever added at the end, so whoever comes next goes on from there. Whether they are the
//! right ones is known when all are there: the digest is that of the whole file. Until then the file is
//! no blob, and a file whose digest turns out to be wrong is emptied.
//!
//! A file that is whole stays where it is until its layer is unpacked, and is moved to the blobs then. It is
//! locked only while somebody adds to it: of two processes that want the same blob one brings it, and the
//! other one finds it whole.
//!
//! One thread brings the bytes and another one reads them as they come ([`Arriving::reader`]). The end
//! of the file is only shown to the reader once the digest was found right.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use wharf_model::{Digest, Hasher};

use super::error::RegistryError;
use super::session::locked;
use crate::lock::is_same;
use crate::{BlobError, Blobs};

/// How often a reader looks up while nothing comes.
const TICK: Duration = Duration::from_millis(100);

/// A blob that is on its way.
#[derive(Debug)]
pub(super) struct Arriving {
    pub(super) digest: Digest,
    pub(super) size: u64,
    path: PathBuf,
    blobs: Blobs,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes in the file.
    have: u64,
    /// Counts how often it was begun anew.
    round: u32,
    /// Whether it is right is not known yet, and it will be begun anew if it is not: an earlier run or
    /// another server left some of it, or there are more servers to ask.
    unsure: bool,
    stage: Stage,
}

/// Who adds to a file.
#[derive(Debug)]
pub(super) enum Began<'a> {
    /// We do.
    Own(Incoming<'a>),
    /// Somebody else does.
    Busy,
    /// Nobody needs to.
    Here,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was done yet.
    #[default]
    Waiting,
    /// Bytes come.
    Flowing,
    /// All is there, and right.
    Whole,
    /// It will not come.
    Lost,
}

impl Arriving {
    pub(super) fn new(blobs: &Blobs, digest: Digest, size: u64) -> Self {
        let path = blobs.partial().join(digest.hex());
        Self { digest, size, path, blobs: blobs.clone(), state: Mutex::default(), changed: Condvar::new() }
    }

    /// Bytes so far, and how far it is.
    pub(super) fn progress(&self) -> (u64, Stage) {
        let state = locked(&self.state);
        (state.have, state.stage)
    }

    /// It will not come.
    pub(super) fn lose(&self) {
        let mut state = locked(&self.state);
        if state.stage != Stage::Whole {
            state.stage = Stage::Lost;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Opens the file to add to it.
    pub(super) fn begin(&self) -> Result<Began<'_>, RegistryError> {
        let failed = |source| RegistryError::Keep { path: self.path.clone(), source };
        if self.is_here() {
            return Ok(Began::Here);
        }
        let file = open(&self.path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_same(&self.path, &file) => {}
            Ok(()) | Err(Errno::WOULDBLOCK) => return Ok(Began::Busy),
            Err(errno) => return Err(failed(errno.into())),
        }
        let mut incoming = Incoming { arriving: self, file: file.into(), hasher: Hasher::new(), have: 0 };
        incoming.read_again().map_err(failed)?;
        if incoming.have == 0 && self.is_here() {
            // It was moved to the blobs between the two looks, and the file is a new one.
            std::fs::remove_file(&self.path).map_err(failed)?;
            return Ok(Began::Here);
        }
        self.has_room(incoming.have).map_err(failed)?;
        self.set(|state| {
            (state.have, state.stage, state.unsure) = (incoming.have, Stage::Flowing, incoming.have > 0);
        });
        Ok(Began::Own(incoming))
    }

    /// What is too long for the disk is not begun: it would be full for whoever comes next.
    fn has_room(&self, have: u64) -> io::Result<()> {
        let room = self.blobs.room().map_err(io::Error::other)?.room;
        let missing = self.size - have;
        if missing <= room {
            return Ok(());
        }
        let text = format!("{missing} bytes are missing, and there is no space for more than {room}");
        Err(io::Error::new(io::ErrorKind::StorageFull, text))
    }

    /// Whether the blob is in the store, and not damaged.
    fn is_here(&self) -> bool {
        let here = self.blobs.contains(&self.digest) && self.blobs.verify(&self.digest).is_ok();
        if here {
            self.set(|state| (state.have, state.stage) = (self.size, Stage::Whole));
        }
        here
    }

    /// Moves the file, which is whole, to the blobs; another process may have done that.
    pub(super) fn keep(&self) -> Result<(), BlobError> {
        match self.blobs.adopt(&self.path, &self.digest) {
            Err(_) if self.blobs.contains(&self.digest) && !self.path.exists() => Ok(()),
            kept => kept,
        }
    }

    fn open(&self) -> io::Result<File> {
        match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                File::open(self.blobs.path(&self.digest))
            }
            opened => opened,
        }
    }

    /// A reader of what came and will come; `tick` is called now and then.
    pub(super) fn reader<'a>(&'a self, tick: &'a mut dyn FnMut()) -> io::Result<Reader<'a>> {
        let mut state = locked(&self.state);
        while state.stage == Stage::Waiting {
            state = self.wait(state);
            drop(state);
            tick();
            state = locked(&self.state);
        }
        let round = state.round;
        if state.stage == Stage::Lost {
            return Err(lost());
        }
        drop(state);
        Ok(Reader { arriving: self, file: self.open()?, at: 0, round, tick })
    }

    /// How often it was begun anew.
    pub(super) fn round(&self) -> u32 {
        locked(&self.state).round
    }

    /// Whether what was read in a round may have been wrong, and comes once more; waits until that is known.
    pub(super) fn was_wrong(&self, round: u32, tick: &mut dyn FnMut()) -> bool {
        loop {
            let state = locked(&self.state);
            match state.stage {
                Stage::Lost => return false,
                _ if state.round != round => return true,
                Stage::Flowing if state.unsure => drop(self.wait(state)),
                _ => return false,
            }
            tick();
        }
    }

    /// Waits until nothing more comes.
    pub(super) fn settle(&self, tick: &mut dyn FnMut()) {
        loop {
            let state = locked(&self.state);
            if matches!(state.stage, Stage::Whole | Stage::Lost) {
                return;
            }
            drop(self.wait(state));
            tick();
        }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut locked(&self.state));
        self.changed.notify_all();
    }

    fn wait<'s>(&self, state: std::sync::MutexGuard<'s, State>) -> std::sync::MutexGuard<'s, State> {
        let waited = self.changed.wait_timeout(state, TICK);
        waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state)
    }
}

fn lost() -> io::Error {
    io::Error::other("the download was broken off")
}

/// The directory is made with the first one.
fn open(path: &Path) -> io::Result<File> {
    let open = || File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    match (open(), path.parent()) {
        (Err(error), Some(dir)) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(dir)?;
            open()
        }
        (opened, _) => opened,
    }
}

/// The right to add to the file.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    arriving: &'a Arriving,
    file: Arc<File>,
    hasher: Hasher,
    pub(super) have: u64,
}

impl Incoming<'_> {
    /// What an earlier one left; more than there can be is nothing.
    fn read_again(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length > self.arriving.size {
            return self.file.set_len(0);
        }
        self.have = io::copy(&mut (&*self.file).take(length), &mut self.hasher)?;
        Ok(())
    }

    /// Adds bytes at the end.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        let failed = |source| RegistryError::Keep { path: self.arriving.path.clone(), source };
        self.file.write_all_at(bytes, self.have).map_err(failed)?;
        self.hasher.update(bytes);
        self.have += bytes.len() as u64;
        self.arriving.set(|state| state.have = self.have);
        Ok(())
    }

    /// Whether it would be begun anew if it turned out to be wrong.
    pub(super) fn doubt(&self, unsure: bool) {
        self.arriving.set(|state| state.unsure = unsure);
    }

    /// Forgets all of it.
    pub(super) fn begin_anew(&mut self) -> Result<(), RegistryError> {
        let failed = |source| RegistryError::Keep { path: self.arriving.path.clone(), source };
        self.file.set_len(0).map_err(failed)?;
        (self.hasher, self.have) = (Hasher::new(), 0);
        self.arriving.set(|state| {
            (state.have, state.unsure) = (0, false);
            state.round += 1;
        });
        Ok(())
    }

    /// The digest of what is there.
    pub(super) fn found(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// It is all there, and right. What comes back is the file, to be synced.
    pub(super) fn whole(self) -> Arc<File> {
        self.arriving.set(|state| state.stage = Stage::Whole);
        let _ = flock(&self.file, FlockOperation::Unlock);
        Arc::clone(&self.file)
    }
}

/// A file without bytes is of no use to whoever comes next.
impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        if self.have == 0 && self.arriving.progress().1 != Stage::Whole {
            let _ = std::fs::remove_file(&self.arriving.path);
        }
    }
}

/// Reads a blob while it comes.
pub(super) struct Reader<'a> {
    arriving: &'a Arriving,
    file: File,
    at: u64,
    round: u32,
    tick: &'a mut dyn FnMut(),
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let state = locked(&self.arriving.state);
            if state.round != self.round || state.stage == Stage::Lost {
                return Err(lost());
            }
            let there = state.have - self.at;
            if there > 0 {
                drop(state);
                let most = usize::try_from(there).unwrap_or(usize::MAX).min(buffer.len());
                let count = self.file.read_at(&mut buffer[..most], self.at)?;
                self.at += count as u64;
                (self.tick)();
                return Ok(count);
            }
            if state.stage == Stage::Whole {
                return Ok(0);
            }
            drop(self.arriving.wait(state));
            (self.tick)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    fn own(began: Began<'_>) -> Incoming<'_> {
        match began {
            Began::Own(incoming) => incoming,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_sees_what_comes_and_the_end_only_when_it_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let arriving = Arriving::new(store.blobs(), Digest::of("hello world"), 11);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut text, mut ticks) = (String::new(), 0);
                let mut tick = || ticks += 1;
                arriving.reader(&mut tick).unwrap().read_to_string(&mut text).unwrap();
                (text, ticks)
            });
            let mut incoming = own(arriving.begin().unwrap());
            incoming.add(b"hello ").unwrap();
            std::thread::sleep(Duration::from_millis(250));
            assert!(!reader.is_finished());
            incoming.add(b"world").unwrap();
            assert_eq!(incoming.found(), arriving.digest);
            std::thread::sleep(Duration::from_millis(50));
            assert!(!reader.is_finished(), "not yet found to be right");
            incoming.whole();
            let (text, ticks) = reader.join().unwrap();
            assert_eq!(text, "hello world");
            assert!(ticks >= 3, "{ticks}");
        });
        assert!(!store.blobs().contains(&arriving.digest));
        arriving.keep().unwrap();
        arriving.keep().unwrap();
        assert_eq!(store.blobs().verify(&arriving.digest).unwrap(), 11);
        let again = Arriving::new(store.blobs(), Digest::of("hello world"), 11);
        assert!(matches!(again.begin().unwrap(), Began::Here));
        let mut text = String::new();
        again.reader(&mut || {}).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello world");
    }

    #[test]
    fn the_next_one_goes_on_where_the_last_one_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = Arriving::new(store.blobs(), Digest::of("hello"), 5);
        let mut incoming = own(first.begin().unwrap());
        incoming.add(b"hel").unwrap();
        let second = Arriving::new(store.blobs(), Digest::of("hello"), 5);
        assert!(matches!(second.begin().unwrap(), Began::Busy), "one at a time");
        drop(incoming);
        store.sweep().unwrap();
        let mut incoming = own(second.begin().unwrap());
        assert_eq!(incoming.have, 3);
        incoming.add(b"lo").unwrap();
        assert_eq!(incoming.found(), Digest::of("hello"));
        incoming.begin_anew().unwrap();
        assert_eq!((incoming.have, second.round()), (0, 1));
        drop(incoming);
        std::fs::write(&second.path, "far too long").unwrap();
        assert_eq!(own(second.begin().unwrap()).have, 0);
        assert!(!second.path.exists(), "nothing is kept of nothing");
        own(second.begin().unwrap()).add(b"he").unwrap();
        assert!(second.path.exists());
        store.forget_partial().unwrap();
        assert!(!second.path.exists());
    }

    #[test]
    fn a_damaged_blob_is_brought_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = store.blobs().put(b"hello").unwrap();
        std::fs::write(store.blobs().path(&digest), "hallo").unwrap();
        let arriving = Arriving::new(store.blobs(), digest, 5);
        let mut incoming = own(arriving.begin().unwrap());
        incoming.add(b"hello").unwrap();
        incoming.whole();
        arriving.keep().unwrap();
        store.blobs().verify(&digest).unwrap();
    }

    #[test]
    fn whoever_waits_for_what_is_lost_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let arriving = Arriving::new(store.blobs(), Digest::of("hello"), 5);
        let mut incoming = own(arriving.begin().unwrap());
        incoming.add(b"he").unwrap();
        let mut tick = || {};
        let mut reader = arriving.reader(&mut tick).unwrap();
        arriving.lose();
        assert!(reader.read(&mut [0; 9]).is_err());
        assert!(arriving.reader(&mut || {}).is_err());
    }
}
