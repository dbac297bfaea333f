//! What a COPY takes from a source, as one digest: the part of a cache key that is content.
//!
//! For each path of the COPY, the entries in the order of the walk: path, kind, permission bits,
//! and what a file holds, where a link points, which device it is; then the attributes that are
//! copied. Owners count for root file systems alone. Times never count, and nothing that is
//! ignored or excluded does.
//!
//! One walk finds the entries. Files that are not known yet are read in heaps, by several threads.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{Stat, readlinkat};
use wharf_model::{Digest, Hasher};

use crate::build::resolve::{open_dir, open_file};

use super::attribute::{Attributes, copyable};
use super::known::{Known, Looks};
use super::{Digests, Entry, Kind, Origin, Selected, Selection, Source, SourceError, Visitor};

/// So many files wait for their digests at most.
const HEAP: usize = 4096;
/// A thread is not worth its while for less.
const FEW: usize = 16;
const SMALL: u64 = 1 << 20;
const THREADS: usize = 8;

impl Source<'_> {
    /// The digest of what a COPY with these paths takes.
    ///
    /// # Errors
    /// When a path without wildcards is not there, or something cannot be read or copied.
    pub fn digest(
        &self,
        paths: &[String],
        excludes: &[String],
        parents: bool,
    ) -> Result<Digest, SourceError> {
        let selection = Selection::of(self, paths, excludes, parents)?;
        let own = Digests::default();
        let digests = self.digests.unwrap_or(&own);
        let mut tree = Tree::new(self, digests);
        tree.text.extend_from_slice(&(selection.entries.len() as u64).to_le_bytes());
        for selected in &selection.entries {
            tree.selected(&selection, selected)?;
        }
        tree.finish()
    }

    /// The digest of one regular file at a path without links.
    pub(in crate::build) fn content(&self, path: &Path, stat: &Stat) -> io::Result<Digest> {
        let own = Digests::default();
        let digests = self.digests.unwrap_or(&own);
        let known = digests.known(self.root, &Looks::of(stat));
        let known = known.map_or_else(|| digests.find_out(self.root, path, stat), Ok)?;
        Ok(known.digest)
    }
}

/// What was walked, as bytes to hash with gaps for the contents of files.
struct Tree<'a> {
    source: &'a Source<'a>,
    digests: &'a Digests,
    top: PathBuf,
    hasher: Hasher,
    text: Vec<u8>,
    files: Vec<Gap>,
}

/// A file whose content belongs at a place of the text.
struct Gap {
    at: usize,
    /// Below the root.
    path: PathBuf,
    stat: Stat,
}

impl<'a> Tree<'a> {
    fn new(source: &'a Source<'a>, digests: &'a Digests) -> Self {
        let (top, hasher) = (PathBuf::new(), Hasher::new());
        Self { source, digests, top, hasher, text: Vec::new(), files: Vec::new() }
    }

    fn finish(mut self) -> Result<Digest, SourceError> {
        self.fill()?;
        Ok(self.hasher.finish())
    }

    fn selected(&mut self, selection: &Selection, selected: &Selected) -> Result<(), SourceError> {
        self.text.push(u8::from(selected.kind == Kind::Directory));
        if selected.kind == Kind::Directory {
            self.digests.see(&selected.stat);
            self.top.clone_from(&selected.path);
            selection.walk(self.source, selected).run(self)?;
            self.text.push(END);
            return Ok(());
        }
        let failed = |error| SourceError::read(&selected.path, error);
        let parent = selected.path.parent().unwrap_or(Path::new(""));
        let dir = open_dir(self.source.root, parent).map_err(failed)?;
        self.field(selected.name.as_bytes());
        let entry = Entry {
            dir: dir.as_fd(),
            own: None,
            name: selected.path.file_name().unwrap_or_default(),
            path: &selected.path,
            stat: &selected.stat,
            kind: selected.kind,
        };
        self.entry(&entry, selected.path.clone()).map_err(failed)
    }

    /// An entry that is called `path` below the root.
    fn entry(&mut self, entry: &Entry<'_>, path: PathBuf) -> io::Result<()> {
        self.text.extend_from_slice(&(entry.stat.st_mode & 0o7777).to_le_bytes());
        if self.source.origin == Origin::Rootfs {
            self.text.extend_from_slice(&entry.stat.st_uid.to_le_bytes());
            self.text.extend_from_slice(&entry.stat.st_gid.to_le_bytes());
        }
        if entry.kind != Kind::File {
            self.digests.see(entry.stat);
        }
        match entry.kind {
            Kind::File => {
                self.text.push(b'f');
                self.files.push(Gap { at: self.text.len(), path, stat: *entry.stat });
            }
            Kind::Directory => {
                self.text.push(b'd');
                if let Some(own) = entry.own {
                    attributes(&self.source.attributes(own)?, |bytes| self.text.extend_from_slice(bytes));
                }
            }
            Kind::Symlink => {
                self.text.push(b'l');
                self.field(readlinkat(entry.dir, entry.name, Vec::new())?.to_bytes());
            }
            Kind::Special => {
                self.text.push(b's');
                self.text.extend_from_slice(&entry.stat.st_mode.to_le_bytes());
                self.text.extend_from_slice(&entry.stat.st_rdev.to_le_bytes());
            }
        }
        Ok(())
    }

    fn field(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.text.extend_from_slice(bytes);
    }

    fn shown(&mut self, entry: &Entry<'_>) -> Result<(), SourceError> {
        self.text.push(ENTRY);
        self.field(entry.path.as_os_str().as_bytes());
        let path = self.top.join(entry.path);
        self.entry(entry, path).map_err(|error| SourceError::read(&self.top.join(entry.path), error))?;
        if self.files.len() >= HEAP || self.text.len() > 1 << 20 { self.fill() } else { Ok(()) }
    }

    /// Hashes the text with its gaps filled.
    fn fill(&mut self) -> Result<(), SourceError> {
        let contents = contents(self.source.root, self.digests, &self.files)?;
        let mut done = 0;
        for (gap, known) in self.files.iter().zip(contents) {
            self.hasher.update(&self.text[done..gap.at]);
            self.hasher.update(known.digest.as_bytes());
            done = gap.at;
            let hasher = &mut self.hasher;
            if known.has_attributes && self.source.origin == Origin::Rootfs {
                let file = open_file(self.source.root, &gap.path);
                let found = file.and_then(|file| copyable(file.as_fd()));
                let found = found.map_err(|error| SourceError::read(&gap.path, error))?;
                attributes(&found, |bytes| hasher.update(bytes));
            } else {
                attributes(&Attributes::new(), |bytes| hasher.update(bytes));
            }
        }
        self.hasher.update(&self.text[done..]);
        self.text.clear();
        self.files.clear();
        Ok(())
    }
}

const ENTRY: u8 = 1;
const END: u8 = 0;

impl Visitor for Tree<'_> {
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

fn attributes(attributes: &Attributes, mut put: impl FnMut(&[u8])) {
    put(&(attributes.len() as u64).to_le_bytes());
    for (name, value) in attributes {
        for bytes in [name.as_bytes(), value] {
            put(&(bytes.len() as u64).to_le_bytes());
            put(bytes);
        }
    }
}

/// What the files hold, in their order.
fn contents(root: BorrowedFd<'_>, digests: &Digests, files: &[Gap]) -> Result<Vec<Known>, SourceError> {
    let mut contents: Vec<Option<Known>> =
        files.iter().map(|gap| digests.known(root, &Looks::of(&gap.stat))).collect();
    let unknown: Vec<usize> = (0..files.len()).filter(|number| contents[*number].is_none()).collect();
    for (number, known) in find_out(root, digests, files, &unknown)? {
        contents[number] = Some(known);
    }
    Ok(contents.into_iter().flatten().collect())
}

/// Reads files, in several threads when there are many.
fn find_out(
    root: BorrowedFd<'_>,
    digests: &Digests,
    files: &[Gap],
    unknown: &[usize],
) -> Result<Vec<(usize, Known)>, SourceError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Known)>, SourceError> {
        let mut found = Vec::new();
        while let Some(number) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Gap { path, stat, .. } = &files[*number];
            let known = digests.find_out(root, path, stat);
            found.push((*number, known.map_err(|error| SourceError::read(path, error))?));
        }
        Ok(found)
    };
    let bytes: u64 = unknown.iter().map(|number| files[*number].stat.st_size.cast_unsigned()).sum();
    let helpers = match unknown.len() {
        0 | 1 => 0,
        few if few < FEW && bytes < SMALL => 0,
        _ => std::thread::available_parallelism().map_or(1, usize::from).min(THREADS) - 1,
    };
    std::thread::scope(|scope| {
        let spawned = (0..helpers).map(|_| std::thread::Builder::new().spawn_scoped(scope, work));
        let others: Vec<_> = spawned.flatten().collect();
        let mut found = work()?;
        for other in others {
            // A thread that panicked has said so; its files are missing.
            let more =
                other.join().map_err(|_| SourceError::read(Path::new(""), io::ErrorKind::Other.into()))?;
            found.extend(more?);
        }
        Ok(found)
    })
}
