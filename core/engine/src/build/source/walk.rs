//! Walking a directory of a source, sorted, with patterns applied.
//!
//! A directory that is itself left out is entered when something below may be wanted, and shown
//! to the visitor only just before the first such thing.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread::Builder;

use rustix::fs::{AtFlags, FileType, Stat, statat};

use crate::build::ignore::{Ignore, Matched};
use crate::build::resolve::file_type;

use super::ahead::{AHEAD, Ahead, Listing, Upcoming};
use super::{Kind, Source, SourceError, kind_of};

/// As deep as a layer can be.
const DEPTH: usize = 1024;
/// For fewer directories a helper is not worth its while.
const FEW: usize = 4;

/// Something found.
#[derive(Debug)]
pub(in crate::build) struct Entry<'a> {
    /// The directory it is in.
    pub(in crate::build) dir: BorrowedFd<'a>,
    /// Itself, if it is a directory.
    pub(in crate::build) own: Option<BorrowedFd<'a>>,
    /// Its name there.
    pub(in crate::build) name: &'a OsStr,
    /// Below the directory that is walked.
    pub(in crate::build) path: &'a Path,
    pub(in crate::build) stat: &'a Stat,
    pub(in crate::build) kind: Kind,
}

/// Who is shown what is found.
pub(in crate::build) trait Visitor {
    type Failure: From<SourceError>;
    /// A directory; what is in it comes next.
    fn enter(&mut self, entry: &Entry<'_>) -> Result<(), Self::Failure>;
    /// The end of the directory entered last.
    fn leave(&mut self) -> Result<(), Self::Failure>;
    /// Anything else.
    fn leaf(&mut self, entry: &Entry<'_>) -> Result<(), Self::Failure>;
}

/// What to walk and what to leave out. `include` and `exclude` match paths below `top`.
#[derive(Debug, Clone, Copy)]
pub(in crate::build) struct Walk<'a> {
    pub(in crate::build) source: &'a Source<'a>,
    pub(in crate::build) top: &'a Path,
    pub(in crate::build) include: Option<&'a Ignore>,
    pub(in crate::build) exclude: Option<&'a Ignore>,
}

impl Walk<'_> {
    /// Shows everything below `top`, which is not shown itself.
    pub(in crate::build) fn run<V: Visitor>(&self, visitor: &mut V) -> Result<(), V::Failure> {
        let failed = |error: io::Error| SourceError::read(self.top, error);
        let Listing { dir, entries } = Listing::of(self.source.root, self.top.as_os_str()).map_err(failed)?;
        let stat = rustix::fs::fstat(&dir).map_err(|error| failed(error.into()))?;
        let ignore = self.source.ignore.map(|ignore| ignore.judge_alone(&text(self.top)).1);
        let judges = [self.source.ignore, self.include, self.exclude].iter().any(Option::is_some);
        let state = State { ignore: ignore.unwrap_or_default(), ..State::default() };
        let level = Level { dir, name: OsString::new(), path: PathBuf::new(), stat, state, is_shown: true };
        Walker { walk: self, visitor, judges, has_help: false, levels: vec![level] }.directory(entries)
    }
}

/// What matched a directory.
#[derive(Debug, Default)]
struct State {
    ignore: Matched,
    include: Matched,
    exclude: Matched,
}

/// Whether an entry is wanted, and whether something below it may be.
struct Judged {
    is_wanted: bool,
    may_hold_wanted: bool,
    state: State,
}

struct Level {
    dir: OwnedFd,
    name: OsString,
    path: PathBuf,
    stat: Stat,
    state: State,
    is_shown: bool,
}

struct Walker<'a, V> {
    walk: &'a Walk<'a>,
    visitor: &'a mut V,
    /// Whether there are any patterns.
    judges: bool,
    /// Whether somebody lists directories ahead already.
    has_help: bool,
    /// From the top to the directory being listed; never empty.
    levels: Vec<Level>,
}

/// An entry that is wanted, or may hold what is.
struct Found {
    name: OsString,
    path: PathBuf,
    stat: Stat,
    judged: Judged,
}

impl Found {
    fn is_dir(&self) -> bool {
        file_type(&self.stat) == FileType::Directory
    }
}

impl<V: Visitor> Walker<'_, V> {
    /// The directory that was entered last.
    fn directory(&mut self, entries: Vec<(OsString, Option<Stat>)>) -> Result<(), V::Failure> {
        if entries.iter().any(|(_, stat)| stat.is_none()) {
            return self.long_directory(entries);
        }
        let mut found = Vec::with_capacity(entries.len());
        for (name, stat) in entries {
            found.extend(self.found(name, stat)?);
        }
        let directories = found.iter().filter(|found| found.is_dir());
        let names: Vec<OsString> = directories.map(|found| found.name.clone()).collect();
        if self.has_help || names.len() < FEW {
            return found.into_iter().try_for_each(|found| self.entry(found, None));
        }
        self.with_help(found, names)
    }

    /// What takes too much memory when all of it is looked at at once.
    fn long_directory(&mut self, entries: Vec<(OsString, Option<Stat>)>) -> Result<(), V::Failure> {
        for (name, stat) in entries {
            if let Some(found) = self.found(name, stat)? {
                self.entry(found, None)?;
            }
        }
        Ok(())
    }

    fn with_help(&mut self, found: Vec<Found>, names: Vec<OsString>) -> Result<(), V::Failure> {
        let Some(level) = self.levels.last() else { return Ok(()) };
        let above = level.dir.try_clone().map_err(|error| self.failed(&level.path, error))?;
        let upcoming = Upcoming::new(above, names);
        let (send, receive) = sync_channel(AHEAD);
        self.has_help = true;
        let walked = std::thread::scope(|scope| {
            let upcoming = &upcoming;
            // Without a helper everything is done here.
            let _ = Builder::new().spawn_scoped(scope, move || upcoming.help(&send));
            // Dropped before the scope ends, so that the helper does as well.
            let mut ahead = Ahead::new(upcoming, receive);
            found.into_iter().try_for_each(|found| self.entry(found, Some(&mut ahead)))
        });
        self.has_help = false;
        walked
    }

    fn found(&self, name: OsString, stat: Option<Stat>) -> Result<Option<Found>, SourceError> {
        let Some(level) = self.levels.last() else { return Ok(None) };
        let path = level.path.join(&name);
        let judged = self.judge(&level.state, &path);
        if !judged.is_wanted && !judged.may_hold_wanted {
            return Ok(None);
        }
        let stat = match stat {
            Some(stat) => stat,
            None => statat(&level.dir, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| self.failed(&path, error.into()))?,
        };
        Ok(Some(Found { name, path, stat, judged }))
    }

    fn entry(&mut self, found: Found, ahead: Option<&mut Ahead<'_>>) -> Result<(), V::Failure> {
        if found.is_dir() {
            return self.subdirectory(found, ahead);
        }
        if found.judged.is_wanted { self.leaf(&found.name, &found.path, &found.stat) } else { Ok(()) }
    }

    fn leaf(&mut self, name: &OsStr, path: &Path, stat: &Stat) -> Result<(), V::Failure> {
        let kind = match file_type(stat) {
            FileType::RegularFile => Some(Kind::File),
            _ => kind_of(stat),
        };
        let Some(kind) = kind else { return Ok(()) };
        self.show_directories()?;
        let Some(level) = self.levels.last() else { return Ok(()) };
        self.visitor.leaf(&Entry { dir: level.dir.as_fd(), own: None, name, path, stat, kind })
    }

    fn subdirectory(&mut self, found: Found, ahead: Option<&mut Ahead<'_>>) -> Result<(), V::Failure> {
        let Some(level) = self.levels.last() else { return Ok(()) };
        let Found { name, path, stat, judged } = found;
        if self.levels.len() > DEPTH {
            return Err(self.failed(&path, io::Error::other("it is too many directories deep")).into());
        }
        let listing = match ahead {
            Some(ahead) => ahead.next(),
            None => Listing::of(level.dir.as_fd(), &name),
        };
        let Listing { dir, entries } = listing.map_err(|error| self.failed(&path, error))?;
        self.levels.push(Level { dir, name, path, stat, state: judged.state, is_shown: false });
        if judged.is_wanted {
            self.show_directories()?;
        }
        self.directory(entries)?;
        match self.levels.pop() {
            Some(level) if level.is_shown => self.visitor.leave(),
            _ => Ok(()),
        }
    }

    /// Shows the directories on the way that were not shown yet.
    fn show_directories(&mut self) -> Result<(), V::Failure> {
        for at in 1..self.levels.len() {
            if self.levels[at].is_shown {
                continue;
            }
            let (level, dir) = (&self.levels[at], self.levels[at - 1].dir.as_fd());
            let Level { name, path, stat, .. } = level;
            let own = Some(level.dir.as_fd());
            self.visitor.enter(&Entry { dir, own, name, path, stat, kind: Kind::Directory })?;
            self.levels[at].is_shown = true;
        }
        Ok(())
    }

    fn judge(&self, above: &State, path: &Path) -> Judged {
        if !self.judges {
            return Judged { is_wanted: true, may_hold_wanted: true, state: State::default() };
        }
        let Walk { source, top, include, exclude } = self.walk;
        let below = text(path);
        let whole = top.join(path);
        let whole = text(&whole);
        let left_out = |rules: Option<&Ignore>, path: &str, above: &Matched| {
            let Some(rules) = rules else { return (false, false, Matched::default()) };
            let (out, matched) = rules.judge(path, above);
            (out, out && !rules.may_take_in_below(path), matched)
        };
        let (is_ignored, all_ignored, ignore) = left_out(source.ignore, &whole, &above.ignore);
        let (is_excluded, all_excluded, exclude) = left_out(*exclude, &below, &above.exclude);
        let (is_included, may_include, include) = match include {
            Some(rules) => {
                let (included, matched) = rules.judge(&below, &above.include);
                (included, included || rules.may_match_below(&below), matched)
            }
            None => (true, true, Matched::default()),
        };
        Judged {
            is_wanted: is_included && !is_ignored && !is_excluded,
            may_hold_wanted: may_include && !all_ignored && !all_excluded,
            state: State { ignore, include, exclude },
        }
    }

    fn failed(&self, path: &Path, error: io::Error) -> SourceError {
        SourceError::read(&self.walk.top.join(path), error)
    }
}

/// A path as patterns see it.
pub(super) fn text(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}
