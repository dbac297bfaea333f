//! What is known about the contents of files, and how long that holds.
//!
//! A file that looks the same has not changed: every change of its content, its mode or its
//! attributes changes its ctime, which no program can set. One thing can go wrong, as in git's
//! index: a file that is changed twice within one tick of the clock looks the same after the second
//! change. A file that was changed a moment ago is therefore read only once the tick is over. Where
//! the clock of a file system may tick once a second, or ticks on another machine, nothing is kept
//! for later builds.
//!
//! What a cache key was made of is noted, so that a copy can tell whether it took something else.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;
use wharf_model::{Digest, Hasher};

use super::attribute::copyable;
use super::kept::Kept;
use crate::build::resolve::open_file;

/// No kernel's clock for files ticks more slowly than this, where it tells fractions of a second.
const TICK: Duration = Duration::from_millis(20);

/// What is known about files.
#[derive(Debug, Default)]
pub struct Digests {
    home: Option<PathBuf>,
    kept: OnceLock<Option<Kept>>,
    fresh: Mutex<BTreeMap<Looks, Fresh>>,
    /// What else was seen for a cache key: directories and links.
    seen: Mutex<HashSet<Looks>>,
    changed: AtomicBool,
}

/// What tells that a file has not changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Looks {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) changed: (i64, u64),
    pub(super) modified: (i64, u64),
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) digest: Digest,
    /// Attributes that are copied; to be read from the file itself.
    pub(super) has_attributes: bool,
}

#[derive(Debug, Clone, Copy)]
struct Fresh {
    known: Known,
    /// It may be kept for later builds.
    lasts: bool,
}

impl Looks {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.cast_unsigned(),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
        }
    }

    /// Which file it is.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    fn since_change(&self) -> Option<Duration> {
        let seconds = Duration::from_secs(u64::try_from(self.changed.0).ok()?);
        let changed = UNIX_EPOCH + seconds + Duration::from_nanos(self.changed.1);
        SystemTime::now().duration_since(changed).ok()
    }
}

impl Digests {
    /// With what earlier builds found out about the files of a directory.
    pub(in crate::build) fn kept_in(home: PathBuf) -> Self {
        Self { home: Some(home), ..Self::default() }
    }

    pub(super) fn known(&self, root: BorrowedFd<'_>, looks: &Looks) -> Option<Known> {
        let fresh = lock(&self.fresh).get(looks).map(|fresh| fresh.known);
        fresh.or_else(|| self.kept(root).and_then(|kept| kept.find(looks)))
    }

    fn kept(&self, root: BorrowedFd<'_>) -> Option<&Kept> {
        let load = || {
            let home = self.home.as_ref()?;
            let local = rustix::fs::fstatfs(root).is_ok_and(|disk| !is_remote(disk.f_type.cast_unsigned()));
            let stat = rustix::fs::fstat(root).ok()?;
            local.then(|| Kept::load(home, &stat))
        };
        self.kept.get_or_init(load).as_ref()
    }

    /// Notes a directory or a link that a cache key was made of.
    pub(super) fn see(&self, stat: &Stat) {
        lock(&self.seen).insert(Looks::of(stat));
    }

    /// Whether this is what a cache key was made of.
    fn vouches(&self, root: BorrowedFd<'_>, stat: &Stat) -> bool {
        let looks = Looks::of(stat);
        self.known(root, &looks).is_some() || lock(&self.seen).contains(&looks)
    }

    /// Whether everything that was copied is what cache keys were made of.
    pub(in crate::build) fn held_still(&self) -> bool {
        !self.changed.load(Ordering::Relaxed)
    }

    /// Says that something changed between the cache key and the copy.
    pub(super) fn moved(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Checks what was copied after all of it was read.
    pub(in crate::build) fn check(&self, root: BorrowedFd<'_>, stat: &Stat) {
        if !self.vouches(root, stat) {
            self.moved();
        }
    }

    /// Reads a regular file to know what it holds.
    pub(super) fn find_out(&self, root: BorrowedFd<'_>, path: &Path, stat: &Stat) -> io::Result<Known> {
        let looks = Looks::of(stat);
        let lasts = self.home.is_some() && wait_for_tick(&looks);
        let file = File::from(open_file(root, path)?);
        let known = read(&file)?;
        // Else it changed meanwhile: this is what it holds, and nobody knows since when.
        if Looks::of(&rustix::fs::fstat(&file)?) == looks {
            lock(&self.fresh).insert(looks, Fresh { known, lasts });
        }
        Ok(known)
    }

    /// Keeps for later builds what was found out in this one.
    pub(in crate::build) fn keep(&self) {
        let Some(Some(kept)) = self.kept.get() else { return };
        let fresh = lock(&self.fresh);
        let mut lasting: Vec<(&Looks, Known)> = fresh
            .iter()
            .filter(|(_, fresh)| fresh.lasts)
            .map(|(looks, fresh)| (looks, fresh.known))
            .collect();
        // Of a file that changed meanwhile one is enough: the others look like nothing any more.
        lasting.dedup_by_key(|(looks, _)| looks.place());
        if !lasting.is_empty() {
            // It saves time; a build that could not keep it is a good build.
            let _ = kept.add(lasting.into_iter());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the file can not change any more without looking different. A clock that tells no
/// fractions may tick once a second, which nobody wants to wait for.
fn wait_for_tick(looks: &Looks) -> bool {
    let Some(age) = looks.since_change() else { return false };
    if looks.changed.1 == 0 {
        return age > Duration::from_secs(2);
    }
    if age < TICK {
        std::thread::sleep(TICK - age);
    }
    true
}

fn read(file: &File) -> io::Result<Known> {
    let has_attributes = !copyable(file.as_fd())?.is_empty();
    Ok(Known { digest: hash(file)?, has_attributes })
}

fn hash(mut file: &File) -> io::Result<Digest> {
    thread_local!(static BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; 128 << 10]));
    BUFFER.with_borrow_mut(|buffer| {
        let mut hasher = Hasher::new();
        loop {
            match file.read(buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(length) => hasher.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    })
}

/// File systems whose times another machine or program gives: NFS, SMB, CIFS, SMB2, FUSE, 9P, Ceph,
/// AFS, Coda (`statfs(2)`).
fn is_remote(kind: u64) -> bool {
    const REMOTE: [u64; 9] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x6573_5546,
        0x0102_1997,
        0x00c3_6400,
        0x5346_414f,
        0x7375_7245,
    ];
    REMOTE.contains(&(kind & 0xffff_ffff))
}
