//! A layer's tar -> a layer's directory.
//!
//! Entries are put below the directory in the order of the tar. Deletions apply to the layers
//! below only, wherever in the tar they stand:
//!
//! * overlay: they are made at the end. A name that the layer itself brings stays; if it is a
//!   directory it becomes opaque. Otherwise a 0:0 device is made.
//! * tree: they are carried out at once, sparing what the layer itself brought. The paths it
//!   brought are remembered for that.

use std::collections::HashSet;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use wharf_model::storage::LayerFormat;
use wharf_model::{Digest, Hasher};

use super::Limits;
use super::compression::{Compression, decompress};
use super::entry::{Entry, Kind, TarError, normalised, shown};
use super::place::{joined, kind_of, names, open_below, open_plain, remove, split};
use super::put::Putter;
use super::tape::Tape;
use super::whiteout::{Meaning, make_gone, make_opaque, meaning};

const BUFFER: usize = 256 * 1024;

/// What a layer turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Bytes in its files.
    pub size: u64,
    /// Bytes of the uncompressed tar.
    pub tar_size: u64,
    /// How many entries it has.
    pub entries: u64,
    /// The newest time of a change in it, in seconds since 1970; 0 when it is empty.
    pub newest: i64,
    /// How it was compressed.
    pub compression: Compression,
}

/// Why an archive can not be turned into files.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It can not be read.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry can not be made.
    #[error("cannot make `{path}` from the archive")]
    Entry {
        /// Which.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// An entry must not be made.
    #[error("entry `{path}` of the archive is refused: {reason}")]
    Refused {
        /// Which.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// A hard link to something else than a file of the same archive.
    #[error("`{path}` is a hard link to `{target}`, which is not in the same archive")]
    LinkTarget {
        /// The link.
        path: String,
        /// What it should be linked to.
        target: String,
    },
}

/// Turns a layer's tar, compressed or not, into files below `into`.
///
/// # Errors
/// When the tar is damaged, leaves its root, exceeds `limits`, or the disk refuses. Then the
/// directory holds some of the files; its owner removes it.
pub fn apply(
    tar: impl Read,
    into: BorrowedFd<'_>,
    format: LayerFormat,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    apply_known(tar, into, format, limits, None)
}

/// As [`apply`], for a plain tar whose digest is known already.
pub(crate) fn apply_known(
    tar: impl Read,
    into: BorrowedFd<'_>,
    format: LayerFormat,
    limits: &Limits,
    known: Option<Digest>,
) -> Result<Applied, ApplyError> {
    let mut applier = Applier {
        putter: Putter::new(into, b"", limits),
        format,
        own: HashSet::new(),
        gone: Vec::new(),
        opaque: Vec::new(),
    };
    let read = each(tar, limits, known, |entry, path, data| applier.add(entry, path, data))?;
    let size = applier.finish()?;
    Ok(Applied { size, ..read })
}

/// Calls `act` for every entry of an archive, and reads it to its very end.
pub(crate) fn each(
    tar: impl Read,
    limits: &Limits,
    known: Option<Digest>,
    mut act: impl FnMut(&Entry, &[u8], &mut dyn Read) -> Result<(), ApplyError>,
) -> Result<Applied, ApplyError> {
    let (compression, plain) = decompress(tar).map_err(TarError::Read)?;
    let hasher = if known.is_some() { None } else { Some(Hasher::new()) };
    let counted = Counted { inner: plain, hasher, count: 0, limit: limits.bytes };
    let mut tape = Tape::new(BufReader::with_capacity(BUFFER, counted), limits);
    let (mut entries, mut newest) = (0, None);
    while let Some(entry) = tape.next()? {
        let path = normalised(&entry.path, limits);
        let path = path.map_err(|reason| ApplyError::Refused { path: shown(&entry.path), reason })?;
        entries += 1;
        newest = newest.max(Some(entry.mtime.0));
        act(&entry, &path, &mut tape)?;
    }
    let mut rest = tape.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(TarError::Read)?;
    let counted = rest.into_inner();
    let hashed = counted.hasher.map(Hasher::finish);
    let diff_id = known.or(hashed).unwrap_or_else(|| Digest::of(b""));
    let newest = newest.unwrap_or(0);
    Ok(Applied { diff_id, size: 0, tar_size: counted.count, entries, newest, compression })
}

/// Counts and hashes what passes through.
struct Counted<R> {
    inner: R,
    hasher: Option<Hasher>,
    count: u64,
    limit: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        if self.count > self.limit {
            let text = format!("the archive has more than {} bytes when uncompressed", self.limit);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

struct Applier<'a> {
    putter: Putter<'a>,
    format: LayerFormat,
    /// Paths that the layer brought; tree only.
    own: HashSet<Vec<u8>>,
    /// Paths that the layers below shall lose; overlay only.
    gone: Vec<Vec<u8>>,
    /// Directories that the layers below shall lose the content of; overlay only.
    opaque: Vec<Vec<u8>>,
}

impl Applier<'_> {
    fn add(&mut self, entry: &Entry, path: &[u8], mut data: &mut dyn Read) -> Result<(), ApplyError> {
        let (parent, name) = split(path);
        // A raw whiteout of overlayfs in a tar means the same as the tar's own.
        if entry.kind == Kind::Char(0, 0) {
            return self.lose(path);
        }
        match meaning(name) {
            Meaning::File => self.putter.put(entry, path, &mut data)?,
            Meaning::Gone(name) => return self.lose(&joined(parent, name)),
            Meaning::Opaque => return self.lose_all(parent),
            Meaning::Bookkeeping => return Ok(()),
            Meaning::Malformed => {
                return Err(ApplyError::Refused { path: shown(path), reason: "it is a whiteout of nothing" });
            }
        }
        if self.format == LayerFormat::Tree {
            self.own.insert(path.to_vec());
        }
        Ok(())
    }

    /// The layers below lose `path`.
    fn lose(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        match self.format {
            LayerFormat::Overlay => {
                self.gone.push(path.to_vec());
                Ok(())
            }
            LayerFormat::Tree => self.erase(path).map_err(|errno| entry_error(path, errno)),
        }
    }

    /// The layers below lose everything in the directory `path`.
    fn lose_all(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        match self.format {
            LayerFormat::Overlay => {
                self.opaque.push(path.to_vec());
                Ok(())
            }
            LayerFormat::Tree => self.erase_children(path).map_err(|errno| entry_error(path, errno)),
        }
    }

    /// Removes `path` as far as the layer did not bring it itself.
    fn erase(&mut self, path: &[u8]) -> Result<(), Errno> {
        if self.own.contains(path) {
            return self.erase_children(path);
        }
        self.putter.place.forget();
        let (parent, name) = split(path);
        match open_plain(self.putter.place.root, parent, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(dir) => remove(dir.as_fd(), name).map(|_| ()),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn erase_children(&mut self, path: &[u8]) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let dir = match open_plain(self.putter.place.root, path, flags) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            result => result?,
        };
        for name in names(dir.as_fd())? {
            self.erase(&joined(path, &name))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64, ApplyError> {
        for path in std::mem::take(&mut self.gone) {
            self.mark_gone(&path).map_err(|errno| entry_error(&path, errno))?;
        }
        for path in std::mem::take(&mut self.opaque) {
            self.mark_opaque(&path).map_err(|errno| entry_error(&path, errno))?;
        }
        self.putter.finish()
    }

    fn mark_gone(&mut self, path: &[u8]) -> Result<(), Errno> {
        let (parent, name) = split(path);
        let dir = self.marked(parent)?;
        match kind_of(dir.as_fd(), name)? {
            Some(FileType::Directory) => make_opaque(dir.as_fd(), name),
            Some(_) => Ok(()),
            None => make_gone(dir.as_fd(), name),
        }
    }

    fn mark_opaque(&mut self, path: &[u8]) -> Result<(), Errno> {
        // The root has nothing below it that could shine through but the layers below, which
        // overlayfs does not hide for a root: each of their names would have to be known.
        let dir = self.marked(path)?;
        make_opaque(dir.as_fd(), b"")
    }

    /// A directory to mark something in; a link on the way would put the mark elsewhere.
    fn marked(&mut self, path: &[u8]) -> Result<std::os::fd::OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match open_plain(self.putter.place.root, path, flags) {
            Err(Errno::NOENT) => {
                self.putter.place.directory(path)?;
                open_below(self.putter.place.root, path, flags)
            }
            result => result,
        }
    }
}

fn entry_error(path: &[u8], errno: Errno) -> ApplyError {
    ApplyError::Entry { path: shown(path), source: errno.into() }
}
