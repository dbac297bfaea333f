//! A build context: a directory of the user's, opened once, seen through its ignore file.
//!
//! The ignore file is the first of these that is there; it and the Dockerfile may be ignored themselves
//! and are still read. As in buildah, of the two names the other one wins beside a Dockerfile.
//!
//! ```text
//! <Dockerfile>.dockerignore   <Dockerfile>.containerignore    beside the Dockerfile
//! .containerignore            .dockerignore                   at the top of the context
//! ```
//!
//! Everything is looked up below the descriptor, so links cannot leave the directory.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use wharf_model::Digest;

use super::gather::Held;
use super::ignore::{Ignore, IgnoreError};
use super::named::{Given, Named};
use super::pattern::{Glob, below_root};
use super::provenance::Material;
use super::resolve::{Last, file_type, open_file, regular, resolve};
use super::source::{self, Digests, Origin, Source, SourceError, Visitor, Walk};

/// An open context.
#[derive(Debug)]
pub struct Context {
    root: OwnedFd,
    ignore: Ignore,
    /// What the ignore file is called.
    ignored_by: String,
    digests: Digests,
    /// What goes with it.
    held: Option<Held>,
    /// Where it is from, when that is not a directory of the user's.
    came_from: Option<Material>,
    /// Further ones that have names.
    named: Named,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Other,
}

/// One file of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Below the context's top.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its length.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// The digest of a regular file's content.
    pub content: Option<Digest>,
}

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// It is not a directory, or may not be read.
    #[error("cannot open build context `{path}`")]
    Open {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The ignore file cannot be read.
    #[error("cannot read `{path}`")]
    Ignore {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The ignore file has a line that is no pattern.
    #[error("{path}:{line}: {cause}", path = .path.display(), line = .error.line, cause = .error.source)]
    Pattern {
        /// Which file.
        path: PathBuf,
        /// Which line, and why not. Not a source: all of it has been said.
        error: IgnoreError,
    },
}

impl ContextError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Pattern { error, .. } => Some(error.next_step()),
            Self::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("the context is a directory, an address, or - for standard input".to_owned())
            }
            Self::Open { .. } | Self::Ignore { .. } => None,
        }
    }
}

const DOCKERIGNORE: &str = ".dockerignore";
const CONTAINERIGNORE: &str = ".containerignore";
const MAX_IGNORE_SIZE: u64 = 4 << 20;

impl Context {
    /// Opens `dir`. `dockerfile` is where the Dockerfile lies, if it is a file.
    ///
    /// # Errors
    /// When the directory or its ignore file cannot be read.
    pub fn open(dir: &Path, dockerfile: Option<&Path>) -> Result<Self, ContextError> {
        let root = open_root(dir)?;
        let own = dockerfile.into_iter().flat_map(beside).map(own_ignore);
        let found = first(own.chain(at_top(&root, dir)))?;
        Ok(Self::with_rules(root, found))
    }

    /// Opens a directory whose content comes from elsewhere; `dockerfile` lies in it, and nothing
    /// is looked up outside.
    ///
    /// # Errors
    /// When the directory or its ignore file cannot be read.
    pub(super) fn open_alone(dir: &Path, dockerfile: Option<&Path>) -> Result<Self, ContextError> {
        let root = open_root(dir)?;
        let own = dockerfile.into_iter().flat_map(beside).map(|path| ignore_inside(&root, dir, &path));
        let found = first(own.chain(at_top(&root, dir)))?;
        Ok(Self::with_rules(root, found))
    }

    fn with_rules(root: OwnedFd, found: Option<Found>) -> Self {
        let (path, ignore) = found.unwrap_or_else(|| (DOCKERIGNORE.into(), Ignore::default()));
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self { ignored_by: name, ..Self::new(root, ignore) }
    }

    /// What its files were taken from.
    pub(super) fn from(mut self, material: Option<Material>) -> Self {
        self.came_from = material;
        self
    }

    /// Where it is from; nothing for a directory of the user's, and for what came in by standard input.
    pub(super) fn came_from(&self) -> Option<&Material> {
        self.came_from.as_ref()
    }

    /// With what earlier builds found out about its files, kept in the directory `home`.
    pub(super) fn remembering(mut self, home: PathBuf) -> Self {
        self.digests = Digests::kept_in(home);
        self
    }

    /// Whether every copy took what its cache key was made of.
    pub(super) fn held_still(&self) -> bool {
        self.digests.held_still() && self.named.directories().all(|context| context.held_still())
    }

    /// Keeps for later builds what was found out about its files.
    pub(super) fn keep(&self) {
        self.digests.keep();
        self.named.directories().for_each(|context| context.keep());
    }

    /// With further contexts that have names.
    pub(super) fn naming(mut self, named: Named) -> Self {
        self.named = named;
        self
    }

    /// What `--build-context` gave that name to.
    pub(super) fn given(&self, name: &str) -> Option<&Given> {
        self.named.get(name)
    }

    /// With something that must stay as long as the context.
    pub(super) fn holding(mut self, held: Held) -> Self {
        self.held = Some(held);
        self
    }

    /// A file's content, whether it is ignored or not.
    ///
    /// # Errors
    /// When it is not there, not a regular file, or longer than `limit` bytes.
    pub(super) fn text(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let path = below_root(&path.to_string_lossy());
        let resolved = resolve(self.root.as_fd(), Path::new(&path), Last::Follow)?;
        if resolved.stat.is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let bytes = read_bounded(open_file(self.root.as_fd(), &resolved.path), limit)?;
        bytes.ok_or_else(|| io::ErrorKind::FileTooLarge.into())
    }

    /// An open directory and what is left out of it.
    pub fn new(root: OwnedFd, ignore: Ignore) -> Self {
        Self {
            root,
            ignore,
            ignored_by: DOCKERIGNORE.to_owned(),
            digests: Digests::default(),
            held: None,
            came_from: None,
            named: Named::default(),
        }
    }

    /// The context as something to copy from.
    pub fn source(&self) -> Source<'_> {
        let ignore = (!self.ignore.is_empty()).then_some(&self.ignore);
        Source { root: self.root.as_fd(), ignore, origin: Origin::Context, digests: Some(&self.digests) }
    }

    /// What the ignore file is called.
    pub(super) fn ignored_by(&self) -> &str {
        &self.ignored_by
    }

    /// Whether the ignore file leaves `path` out.
    pub fn leaves_out(&self, path: &str) -> bool {
        self.ignore.judge_alone(&below_root(path)).0
    }

    /// The entry at `path`, a link at its end not followed; `None` when there is none or it is
    /// ignored.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stat(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        let path = below_root(path);
        let Some((found, stat)) = self.find(&path, Last::Keep)? else { return Ok(None) };
        self.entry(&path, &found, &stat).map(Some)
    }

    /// The content of the regular file at `path`, links followed; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, is something else, or is longer than `limit` bytes.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
        let path = below_root(path);
        let Some((found, _)) = self.find(&path, Last::Follow)? else { return Ok(None) };
        let bytes = read_bounded(open_file(self.root.as_fd(), &found), limit)
            .map_err(|error| SourceError::read(&found, error))?;
        bytes.map(Some).ok_or(SourceError::TooLong { path, limit })
    }

    /// The entries that match one of the patterns, which are those of `.dockerignore`, sorted.
    ///
    /// # Errors
    /// When something cannot be read, a pattern is none, or more than `limit` entries match.
    pub fn glob(&self, patterns: &[String], limit: u32) -> Result<Vec<Entry>, SourceError> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| below_root(pattern)).collect();
        let globs = patterns.iter().map(|pattern| Glob::path(pattern)).collect::<Result<Vec<_>, _>>()?;
        let include = Ignore::new(patterns.iter().filter(|pattern| !pattern.starts_with('!')))?;
        let mut matching = Matching { context: self, globs, limit, found: Vec::new() };
        let source = self.source();
        Walk { source: &source, top: Path::new(""), include: Some(&include), exclude: None }
            .run(&mut matching)?;
        matching.found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(matching.found)
    }

    fn find(&self, path: &str, last: Last) -> Result<Option<(PathBuf, Stat)>, SourceError> {
        let resolved = match resolve(self.root.as_fd(), Path::new(path), last) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            resolved => resolved.map_err(|error| SourceError::read(Path::new(path), error))?,
        };
        let is_dir = resolved.is_dir();
        let Some(stat) = resolved.stat else { return Ok(None) };
        let shown = self.source().shows(&resolved.path, is_dir)?;
        Ok(shown.then_some((resolved.path, stat)))
    }

    fn entry(&self, path: &str, found: &Path, stat: &Stat) -> Result<Entry, SourceError> {
        let kind = match file_type(stat) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            _ => EntryKind::Other,
        };
        let content = match kind {
            EntryKind::File => {
                let content = self.source().content(found, stat);
                Some(content.map_err(|error| SourceError::read(found, error))?)
            }
            _ => None,
        };
        Ok(Entry {
            path: path.to_owned(),
            kind,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mode: stat.st_mode & 0o7777,
            content,
        })
    }
}

/// An ignore file and its rules.
type Found = (PathBuf, Ignore);

/// The first that is there; a later one is not even read.
fn first(
    mut files: impl Iterator<Item = Result<Option<Found>, ContextError>>,
) -> Result<Option<Found>, ContextError> {
    files.find_map(Result::transpose).transpose()
}

/// A Dockerfile's own ignore files.
fn beside(dockerfile: &Path) -> impl Iterator<Item = PathBuf> {
    let dockerfile = OsString::from(dockerfile);
    [DOCKERIGNORE, CONTAINERIGNORE].into_iter().map(move |end| {
        let mut path = dockerfile.clone();
        path.push(end);
        path.into()
    })
}

/// Those of a whole context.
fn at_top(root: &OwnedFd, dir: &Path) -> impl Iterator<Item = Result<Option<Found>, ContextError>> {
    let names = [CONTAINERIGNORE, DOCKERIGNORE].into_iter();
    names.map(move |name| ignore_inside(root, dir, Path::new(name)))
}

fn open_root(dir: &Path) -> Result<OwnedFd, ContextError> {
    let open = || -> io::Result<OwnedFd> {
        let file = File::open(dir)?;
        let is_dir = file.metadata()?.is_dir();
        if is_dir { Ok(file.into()) } else { Err(io::ErrorKind::NotADirectory.into()) }
    };
    open().map_err(|source| ContextError::Open { path: dir.to_owned(), source })
}

/// Beside a Dockerfile that may lie anywhere.
fn own_ignore(path: PathBuf) -> Result<Option<Found>, ContextError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::open(&path, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        file => rules(file.map_err(Into::into).and_then(regular), path).map(Some),
    }
}

fn ignore_inside(root: &OwnedFd, dir: &Path, name: &Path) -> Result<Option<Found>, ContextError> {
    let path = dir.join(name);
    let name = below_root(&name.to_string_lossy());
    match resolve(root.as_fd(), Path::new(&name), Last::Follow) {
        Ok(resolved) if resolved.stat.is_none() => Ok(None),
        Ok(resolved) => rules(open_file(root.as_fd(), &resolved.path), path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(source) => Err(ContextError::Ignore { path, source }),
    }
}

fn rules(file: io::Result<OwnedFd>, path: PathBuf) -> Result<Found, ContextError> {
    let bytes = read_bounded(file, MAX_IGNORE_SIZE)
        .and_then(|bytes| bytes.ok_or(io::ErrorKind::FileTooLarge.into()))
        .map_err(|source| ContextError::Ignore { path: path.clone(), source })?;
    match Ignore::parse(&String::from_utf8_lossy(&bytes)) {
        Ok(ignore) => Ok((path, ignore)),
        Err(error) => Err(ContextError::Pattern { path, error }),
    }
}

/// `None` when there is more than `limit`.
fn read_bounded(file: io::Result<OwnedFd>, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::from(file?).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

struct Matching<'a> {
    context: &'a Context,
    globs: Vec<Glob>,
    limit: u32,
    found: Vec<Entry>,
}

impl Matching<'_> {
    fn shown(&mut self, entry: &source::Entry<'_>) -> Result<(), SourceError> {
        let path = entry.path.to_string_lossy();
        if !self.globs.iter().any(|glob| glob.matches(&path)) {
            return Ok(());
        }
        if self.found.len() as u64 >= u64::from(self.limit) {
            return Err(SourceError::TooMany(self.limit));
        }
        self.found.push(self.context.entry(&path, entry.path, entry.stat)?);
        Ok(())
    }
}

impl Visitor for Matching<'_> {
    type Failure = SourceError;

    fn enter(&mut self, entry: &source::Entry<'_>) -> Result<(), SourceError> {
        self.shown(entry)
    }

    fn leave(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    fn leaf(&mut self, entry: &source::Entry<'_>) -> Result<(), SourceError> {
        self.shown(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(files: &[&str], ignore: &str) -> (tempfile::TempDir, Context) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        std::fs::write(dir.path().join(DOCKERIGNORE), ignore).unwrap();
        let context = Context::open(dir.path(), None).unwrap();
        (dir, context)
    }

    #[test]
    fn a_dockerfiles_own_ignore_file_wins() {
        let (dir, common) = context(&["a", "b", "Dockerfile"], "a");
        std::fs::write(dir.path().join("Dockerfile.dockerignore"), "b").unwrap();
        let own = Context::open(dir.path(), Some(&dir.path().join("Dockerfile"))).unwrap();
        for (path, in_common, in_own) in [("a", false, true), ("b", true, false)] {
            assert_eq!(common.stat(path).unwrap().is_some(), in_common, "{path}");
            assert_eq!(own.stat(path).unwrap().is_some(), in_own, "{path}");
        }
    }

    #[test]
    fn of_several_ignore_files_one_counts() {
        let (dir, _) = context(&["a", "b", "c", "d"], "a");
        let left_out = |dockerfile: Option<&Path>| {
            let context = Context::open(dir.path(), dockerfile).unwrap();
            let out: String =
                ["a", "b", "c", "d"].into_iter().filter(|name| context.leaves_out(name)).collect();
            (out, context.ignored_by().to_owned())
        };
        let dockerfile = dir.path().join("Dockerfile");
        for (file, out) in [
            (".dockerignore", "a"),
            (".containerignore", "b"),
            ("Dockerfile.containerignore", "c"),
            ("Dockerfile.dockerignore", "d"),
        ] {
            std::fs::write(dir.path().join(file), out).unwrap();
            assert_eq!(left_out(Some(&dockerfile)), (out.to_owned(), file.to_owned()));
        }
        assert_eq!(left_out(None), ("b".to_owned(), ".containerignore".to_owned()));
    }

    #[test]
    fn a_line_that_is_no_pattern_is_named() {
        let (dir, _) = context(&[], "a");
        for (text, said, next) in [
            ("a\n# b\n\nc[", ".dockerignore:4: syntax error in pattern `c[`", "close the `[`"),
            ("!", ".dockerignore:1: syntax error in pattern `!`", "behind the `!`"),
            ("x\\", ".dockerignore:1: syntax error in pattern `x\\`", "for a backslash"),
        ] {
            std::fs::write(dir.path().join(DOCKERIGNORE), text).unwrap();
            let error = Context::open(dir.path(), None).unwrap_err();
            assert!(error.to_string().ends_with(said), "{error}");
            assert!(error.next_step().unwrap().contains(next), "{error}");
        }
    }

    #[test]
    fn what_is_ignored_is_not_there() {
        let (_dir, context) = context(&["keep/a", "drop/a", "drop/b", "gone/a"], "drop\n!drop/b\ngone");
        for (path, exists) in [
            ("keep/a", true),
            ("drop", true),
            ("drop/a", false),
            ("drop/b", true),
            ("gone", false),
            ("keep/a/x", false),
            ("/../keep", true),
        ] {
            assert_eq!(context.stat(path).unwrap().is_some(), exists, "{path}");
        }
    }

    #[test]
    fn entries_are_described_and_read() {
        let (dir, context) = context(&["a/b"], "");
        std::os::unix::fs::symlink("a/b", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("out")).unwrap();
        let entry = context.stat("a/b").unwrap().unwrap();
        assert_eq!((entry.kind, entry.size, entry.content), (EntryKind::File, 3, Some(Digest::of("a/b"))));
        assert_eq!(context.stat("link").unwrap().unwrap().kind, EntryKind::Symlink);
        assert_eq!(context.read("link", 3).unwrap().unwrap(), b"a/b");
        assert!(matches!(context.read("a/b", 2), Err(SourceError::TooLong { .. })));
        assert_eq!(context.read("out", 9).unwrap(), None);
        assert_eq!(context.read("none", 9).unwrap(), None);
        assert!(context.read("a", 9).is_err());
    }

    #[test]
    fn globs_match_whole_paths() {
        let (_dir, context) = context(&["a/x.c", "a/b/y.c", "z.c", "a/n.h"], "a/n.h");
        let glob = |pattern: &str| -> Vec<String> {
            let found = context.glob(&[pattern.to_owned()], 10).unwrap();
            found.into_iter().map(|entry| entry.path).collect()
        };
        assert_eq!(glob("**/*.c"), ["a/b/y.c", "a/x.c", "z.c"]);
        assert_eq!(glob("*.c"), ["z.c"]);
        assert_eq!(glob("/a/*"), ["a/b", "a/x.c"]);
        assert_eq!(glob("a"), ["a"]);
        assert!(matches!(context.glob(&["**".into()], 2), Err(SourceError::TooMany(2))));
    }
}
