//! Looking for files by patterns in a root file system.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::Stat;

use super::{Entry, Origin, Source, SourceError, Visitor, Walk};
use crate::build::ignore::Ignore;
use crate::build::pattern::Glob;

/// Tells of each entry below `root` whose path matches one of the patterns, which are those of
/// `.dockerignore`. Links are entries and lead nowhere.
///
/// # Errors
/// When a directory cannot be read, a pattern is none, or more than `limit` entries match.
pub(crate) fn find_below(
    root: BorrowedFd<'_>,
    patterns: &[String],
    limit: u32,
    found: &mut dyn FnMut(String, &Stat),
) -> Result<(), SourceError> {
    let patterns: Vec<&str> = patterns.iter().map(|pattern| pattern.trim_start_matches('/')).collect();
    let globs = patterns.iter().map(|pattern| Glob::path(pattern)).collect::<Result<Vec<_>, _>>()?;
    let include = Ignore::new(patterns.iter().filter(|pattern| !pattern.starts_with('!')))?;
    let source = Source { root, ignore: None, origin: Origin::Rootfs, digests: None };
    let mut search = Search { globs, limit, count: 0, found };
    Walk { source: &source, top: Path::new(""), include: Some(&include), exclude: None }.run(&mut search)
}

struct Search<'a> {
    globs: Vec<Glob>,
    limit: u32,
    count: u32,
    found: &'a mut dyn FnMut(String, &Stat),
}

impl Search<'_> {
    fn shown(&mut self, entry: &Entry<'_>) -> Result<(), SourceError> {
        let path = entry.path.to_string_lossy();
        if !self.globs.iter().any(|glob| glob.matches(&path)) {
            return Ok(());
        }
        self.count += 1;
        if self.count > self.limit {
            return Err(SourceError::TooMany(self.limit));
        }
        (self.found)(path.into_owned(), entry.stat);
        Ok(())
    }
}

impl Visitor for Search<'_> {
    type Failure = SourceError;

    fn enter(&mut self, entry: &Entry<'_>) -> Result<(), SourceError> {
        self.shown(entry)
    }

    fn leave(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    fn leaf(&mut self, entry: &Entry<'_>) -> Result<(), SourceError> {
        self.shown(entry)
    }
}
