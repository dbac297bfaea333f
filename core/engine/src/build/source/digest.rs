//! What a COPY takes from a source, as one digest: the part of a cache key that is content.
//!
//! For each path of the COPY, the entries in the order of the walk: path, kind, permission bits,
//! and what a file holds, where a link points, which device it is; then the attributes that are
//! copied. Owners count for root file systems alone. Times never count, and nothing that is
//! ignored or excluded does.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Stat, readlinkat};
use wharf_model::{Digest, Hasher};

use crate::build::resolve::{open_dir, open_entry};

use super::attribute::{Attributes, copyable};
use super::{Entry, Kind, Origin, Selected, Selection, Source, SourceError, Visitor};

/// Digests of files read before, valid as long as the file looks the same.
#[derive(Debug, Default)]
pub struct Digests(Mutex<HashMap<Looks, Digest>>);

/// What tells that a file has not changed: any write changes its ctime.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Looks {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, u64),
}

impl Looks {
    fn of(stat: &Stat) -> Self {
        #[allow(clippy::unnecessary_cast, reason = "the types of these fields differ between architectures")]
        let changed = (stat.st_ctime as i64, stat.st_ctime_nsec as u64);
        Self { device: stat.st_dev, inode: stat.st_ino, size: stat.st_size, changed }
    }
}

impl Digests {
    fn known(&self, looks: &Looks) -> Option<Digest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(looks).copied()
    }

    fn remember(&self, looks: Looks, digest: Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(looks, digest);
    }
}

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
        let mut hasher = Hasher::new();
        hasher.update((selection.entries.len() as u64).to_le_bytes());
        for selected in &selection.entries {
            let mut tree = Tree { source: self, top: &selected.path, hasher };
            tree.selected(&selection, selected)?;
            hasher = tree.hasher;
        }
        Ok(hasher.finish())
    }

    /// The digest of one regular file.
    pub(in crate::build) fn content(
        &self,
        dir: BorrowedFd<'_>,
        name: &Path,
        stat: &Stat,
    ) -> io::Result<Digest> {
        let looks = Looks::of(stat);
        if let Some(digest) = self.digests.and_then(|digests| digests.known(&looks)) {
            return Ok(digest);
        }
        let digest = hash(File::from(open_entry(dir, name.as_os_str())?))?;
        if let Some(digests) = self.digests {
            digests.remember(looks, digest);
        }
        Ok(digest)
    }
}

fn hash(mut file: File) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

struct Tree<'a> {
    source: &'a Source<'a>,
    top: &'a Path,
    hasher: Hasher,
}

impl Tree<'_> {
    fn selected(&mut self, selection: &Selection, selected: &Selected) -> Result<(), SourceError> {
        self.hasher.update([u8::from(selected.kind == Kind::Directory)]);
        if selected.kind == Kind::Directory {
            selection.walk(self.source, selected).run(self)?;
            self.hasher.update([END]);
            return Ok(());
        }
        let failed = |error| SourceError::read(&selected.path, error);
        let parent = selected.path.parent().unwrap_or(Path::new(""));
        let dir = open_dir(self.source.root, parent).map_err(failed)?;
        let name = selected.path.file_name().unwrap_or_default();
        self.hasher.field(selected.name.as_bytes());
        let entry = Entry {
            dir: dir.as_fd(),
            own: None,
            name,
            path: Path::new(name),
            stat: &selected.stat,
            kind: selected.kind,
        };
        self.entry(&entry).map_err(failed)
    }

    fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        self.hasher.update((entry.stat.st_mode & 0o7777).to_le_bytes());
        if self.source.origin == Origin::Rootfs {
            self.hasher.update(entry.stat.st_uid.to_le_bytes());
            self.hasher.update(entry.stat.st_gid.to_le_bytes());
        }
        match entry.kind {
            Kind::File => self.file(entry),
            Kind::Directory => {
                self.hasher.update(b"d");
                entry.own.map_or(Ok(()), |own| self.attributes(&copyable(own)?))
            }
            Kind::Symlink => {
                self.hasher.update(b"l");
                self.hasher.field(readlinkat(entry.dir, entry.name, Vec::new())?.to_bytes());
                Ok(())
            }
            Kind::Special => {
                self.hasher.update(b"s");
                self.hasher.update(entry.stat.st_mode.to_le_bytes());
                self.hasher.update(entry.stat.st_rdev.to_le_bytes());
                Ok(())
            }
        }
    }

    fn file(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let content = self.source.content(entry.dir, Path::new(entry.name), entry.stat)?;
        self.hasher.update(b"f");
        self.hasher.update(content.hex());
        let file = open_entry(entry.dir, entry.name)?;
        self.attributes(&copyable(file.as_fd())?)
    }

    fn attributes(&mut self, attributes: &Attributes) -> io::Result<()> {
        self.hasher.update((attributes.len() as u64).to_le_bytes());
        for (name, value) in attributes {
            self.hasher.field(name);
            self.hasher.field(value);
        }
        Ok(())
    }

    fn shown(&mut self, entry: &Entry<'_>) -> Result<(), SourceError> {
        self.hasher.update([ENTRY]);
        self.hasher.field(entry.path.as_os_str().as_bytes());
        self.entry(entry).map_err(|error| SourceError::read(&self.top.join(entry.path), error))
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
