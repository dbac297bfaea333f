//! Which entries of a source the paths of a COPY mean.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

use crate::build::dockerfile;
use crate::build::ignore::Ignore;
use crate::build::pattern::{Glob, below_root, is_pattern};
use crate::build::resolve::{Last, Resolved, names, open_dir, resolve, stat};

use super::walk::text;
use super::{Entry, Kind, Source, SourceError, Visitor, Walk, kind_of};

/// One file, or one directory whose content is meant.
#[derive(Debug)]
pub(in crate::build) struct Selected {
    /// Below the root, without links.
    pub(in crate::build) path: PathBuf,
    /// The last name of the path that was written: what the copy is called.
    pub(in crate::build) name: OsString,
    pub(in crate::build) stat: Stat,
    pub(in crate::build) kind: Kind,
    /// Only these of a directory's entries, if not all (`--parents`).
    pub(in crate::build) include: Option<Ignore>,
}

/// Everything that the paths of a COPY mean, in the order written.
#[derive(Debug)]
pub(in crate::build) struct Selection {
    pub(in crate::build) entries: Vec<Selected>,
    pub(in crate::build) exclude: Ignore,
}

impl Selection {
    /// A path without wildcards must exist; wildcards may match nothing.
    pub(in crate::build) fn of(
        source: &Source<'_>,
        paths: &[String],
        excludes: &[String],
        parents: bool,
    ) -> Result<Self, SourceError> {
        let exclude = Ignore::new(excludes)?;
        let mut entries = Vec::new();
        for path in paths {
            match (parents, is_pattern(path)) {
                (true, _) => entries.extend(source.with_parents(path)?),
                (false, false) => entries.extend(source.literal(path)?),
                (false, true) => entries.extend(source.matching(path, &exclude)?),
            }
        }
        Ok(Self { entries, exclude })
    }

    pub(in crate::build) fn walk<'a>(&'a self, source: &'a Source<'a>, selected: &'a Selected) -> Walk<'a> {
        let exclude = (!self.exclude.is_empty()).then_some(&self.exclude);
        Walk { source, top: &selected.path, include: selected.include.as_ref(), exclude }
    }
}

impl Source<'_> {
    /// Whether the entry at a path without links exists for whoever copies.
    pub(in crate::build) fn shows(&self, path: &Path, is_dir: bool) -> Result<bool, SourceError> {
        let Some(ignore) = self.ignore else { return Ok(true) };
        let whole = text(path);
        if !ignore.judge_alone(&whole).0 {
            return Ok(true);
        }
        if !is_dir || !ignore.may_take_in_below(&whole) {
            return Ok(false);
        }
        match (Walk { source: self, top: path, include: None, exclude: None }).run(&mut First) {
            Ok(()) => Ok(false),
            Err(Found::Something) => Ok(true),
            Err(Found::Failure(error)) => Err(error),
        }
    }

    /// What a path means, links followed; an error when it is not there, with what may have been meant.
    pub(in crate::build) fn find(&self, path: &str) -> Result<(PathBuf, Stat), SourceError> {
        self.look(path).map_err(|error| match error {
            SourceError::NotFound { path, ignored: false, .. } => {
                let meant = self.nearest(&path);
                SourceError::NotFound { path, ignored: false, meant }
            }
            other => other,
        })
    }

    fn look(&self, path: &str) -> Result<(PathBuf, Stat), SourceError> {
        let wanted = below_root(path);
        let failed = |error| SourceError::read(Path::new(&wanted), error);
        let Resolved { path, stat } = resolve(self.root, Path::new(&wanted), Last::Follow).map_err(failed)?;
        let Some(stat) = stat else { return Err(not_found(wanted, false)) };
        let is_dir = kind_of(&stat) == Some(Kind::Directory);
        if !self.shows(&path, is_dir)? {
            return Err(not_found(wanted, true));
        }
        Ok((path, stat))
    }

    /// A path that is there, each component as it is written or nearly so.
    fn nearest(&self, wanted: &str) -> Option<String> {
        let mut found = String::new();
        for part in wanted.split('/').filter(|part| !part.is_empty()) {
            let below = |name: &str| format!("{found}/{name}");
            let next = if self.look(&below(part)).is_ok() {
                below(part)
            } else {
                let directory = self.look(&found).ok()?.0;
                let names = names(open_dir(self.root, &directory).ok()?.as_fd()).ok()?;
                let meant = dockerfile::nearest(part, names.iter().filter_map(|name| name.to_str()))?;
                below(meant)
            };
            found = next;
        }
        self.look(&found).ok()?;
        Some(found.trim_start_matches('/').to_owned())
    }

    fn literal(&self, written: &str) -> Result<Option<Selected>, SourceError> {
        let name = Path::new(&below_root(written)).file_name().unwrap_or_default().to_owned();
        let (path, stat) = self.find(written)?;
        let kind = kind_of(&stat);
        Ok(kind.map(|kind| Selected { path, name, stat, kind, include: None }))
    }

    /// `a/./b/*.c`: the entries of `a` that match `b/*.c`, with their directories. `*/./b` means the entries
    /// called `b` of every directory.
    fn with_parents(&self, written: &str) -> Result<Vec<Selected>, SourceError> {
        let (top, pattern) = written.split_once("/./").unwrap_or(("", written));
        let pattern = below_root(pattern);
        if !is_pattern(top) && !is_pattern(&pattern) {
            self.find(&format!("{top}/{pattern}"))?;
        }
        let mut tops = if is_pattern(top) {
            self.matching(top, &Ignore::default())?
        } else {
            self.literal(top)?.into_iter().collect()
        };
        tops.retain(|top| top.kind == Kind::Directory);
        if tops.is_empty() && !is_pattern(top) {
            return Err(not_found(written.to_owned(), false));
        }
        let include = if pattern.is_empty() { None } else { Some(Ignore::new([pattern])?) };
        Ok(tops
            .into_iter()
            .map(|top| Selected { name: OsString::new(), include: include.clone(), ..top })
            .collect())
    }

    /// Components are matched one by one, and links on the way are not followed.
    fn matching(&self, written: &str, exclude: &Ignore) -> Result<Vec<Selected>, SourceError> {
        let written = below_root(written);
        let parts: Vec<&str> = written.split('/').collect();
        let fixed = parts.iter().take_while(|part| !is_pattern(part)).count();
        let top = match self.look(&parts[..fixed].join("/")) {
            Err(SourceError::NotFound { .. }) => return Ok(Vec::new()),
            found => found?.0,
        };
        let mut paths = vec![top];
        for part in &parts[fixed..] {
            paths = self.matching_below(&paths, &Glob::component(part)?)?;
        }
        let mut selected = Vec::new();
        for path in paths {
            selected.extend(self.matched(&path, exclude)?);
        }
        Ok(selected)
    }

    fn matching_below(&self, dirs: &[PathBuf], glob: &Glob) -> Result<Vec<PathBuf>, SourceError> {
        let mut found = Vec::new();
        for path in dirs {
            let failed = |error| SourceError::read(path, error);
            if kind_of(&stat(self.root, path).map_err(failed)?) != Some(Kind::Directory) {
                continue;
            }
            let dir = open_dir(self.root, path).map_err(failed)?;
            let names = names(dir.as_fd()).map_err(failed)?;
            let matching = names.iter().filter(|name| glob.matches(&name.to_string_lossy()));
            found.extend(matching.map(|name| path.join(name)));
        }
        Ok(found)
    }

    /// A link that a wildcard matched is followed when that leads somewhere. A file that is
    /// excluded by its own name is left out.
    fn matched(&self, matched: &Path, exclude: &Ignore) -> Result<Option<Selected>, SourceError> {
        let failed = |error| SourceError::read(matched, error);
        let own = stat(self.root, matched).map_err(failed)?;
        let own_kind = kind_of(&own);
        if !self.shows(matched, own_kind == Some(Kind::Directory))? {
            return Ok(None);
        }
        let name = matched.file_name().unwrap_or_default().to_owned();
        let (path, stat) = match resolve(self.root, matched, Last::Follow).map_err(failed)? {
            Resolved { path, stat: Some(stat) } => (path, stat),
            Resolved { stat: None, .. } => (matched.to_owned(), own),
        };
        let kind = kind_of(&stat);
        let is_excluded = |text: &str| exclude.judge_alone(text).0;
        if kind != Some(Kind::Directory)
            && (is_excluded(&name.to_string_lossy()) || is_excluded(&text(matched)))
        {
            return Ok(None);
        }
        Ok(kind.map(|kind| Selected { path, name, stat, kind, include: None }))
    }
}

fn not_found(path: String, ignored: bool) -> SourceError {
    SourceError::NotFound { path, ignored, meant: None }
}

/// Stops at the first thing it is shown.
struct First;

enum Found {
    Something,
    Failure(SourceError),
}

impl From<SourceError> for Found {
    fn from(error: SourceError) -> Self {
        Self::Failure(error)
    }
}

impl Visitor for First {
    type Failure = Found;

    fn enter(&mut self, _: &Entry<'_>) -> Result<(), Found> {
        Err(Found::Something)
    }

    fn leave(&mut self) -> Result<(), Found> {
        Ok(())
    }

    fn leaf(&mut self, _: &Entry<'_>) -> Result<(), Found> {
        Err(Found::Something)
    }
}
