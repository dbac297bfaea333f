//! A layer's directory -> a layer's tar, always the same one for the same directory.
//!
//! * Entries are sorted by the bytes of their names, a directory before what is in it.
//! * The root is there (`./`) only when its owner, mode or attributes are not the parent's; a
//!   root without a parent is compared with 0:0 and 0755.
//! * Owners are numbers. Times are whole seconds and not after the epoch that the caller gives;
//!   the directory itself is changed to them too.
//! * Of several hard links, the first is the file and the others are links to it.
//! * PAX headers are written only for what does not fit ustar: long names, large numbers,
//!   extended attributes.
//! * Deletions are `.wh.` entries (see `whiteout`), with everything else about them zero.
//! * Sockets are left out.
//!
//! An overlay directory holds the changes. A tree is compared with its parent: contents are
//! read when size and time are the same, because times were clamped.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use wharf_model::storage::LayerFormat;
use wharf_model::{Digest, Hasher};

use super::attributes::{self, travels};
use super::entry::{Pairs, shown};
use super::place::{joined, names};
use super::put::set_time;
use super::scribe::{Line, Scribe};
use super::whiteout;

const DEPTH: usize = 1024;
const OPEN: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How times are made independent of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// No time is after this one, in seconds since 1970.
    pub epoch: i64,
    /// Times from this one on become the epoch, even when it is later.
    pub since: Option<i64>,
}

impl Times {
    /// Times stay as they are, except for fractions of seconds in the tar.
    pub const KEEP: Self = Self { epoch: i64::MAX, since: None };

    fn clamp(&self, seconds: i64) -> i64 {
        match self.since {
            Some(since) if seconds >= since => self.epoch,
            _ => seconds.min(self.epoch),
        }
    }
}

/// What a directory turned out to be as a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diffed {
    /// The digest of the tar.
    pub diff_id: Digest,
    /// Bytes in its files.
    pub size: u64,
    /// Bytes of the tar.
    pub tar_size: u64,
    /// How many entries it has; 0 when nothing changed.
    pub entries: u64,
}

/// Why a directory can not be written as a layer.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// A file can not be read.
    #[error("cannot read `{path}` of the layer")]
    Read {
        /// Which.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A file has no form in a tar.
    #[error("`{path}` cannot be part of a layer: {reason}")]
    Refused {
        /// Which.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// The tar can not be written.
    #[error("cannot write the layer's archive")]
    Write(#[source] io::Error),
}

/// Writes the layer in `changes` to `out`.
///
/// For [`LayerFormat::Tree`], `parent` is the whole tree below, and without one everything is
/// new. For [`LayerFormat::Overlay`] it is only looked at for the root's attributes.
///
/// # Errors
/// When a file can not be read or has no form in a tar, or `out` refuses.
pub fn diff(
    changes: BorrowedFd<'_>,
    parent: Option<BorrowedFd<'_>>,
    format: LayerFormat,
    times: &Times,
    out: &mut dyn Write,
) -> Result<Diffed, DiffError> {
    Walk::new(format, times, out).finish(changes, parent)
}

/// A file that is packed with a tree and is not in it.
#[derive(Debug, Clone, Copy)]
pub struct Added<'a> {
    /// Below the top of the tree.
    pub path: &'a str,
    /// What it holds.
    pub content: &'a [u8],
    /// Seconds since 1970.
    pub mtime: i64,
}

/// Writes a whole tree to `out`, without touching it: no time in the archive is after `epoch`. After it come
/// the files that are added.
///
/// # Errors
/// When a file can not be read or has no form in a tar, or `out` refuses.
pub fn pack(
    tree: BorrowedFd<'_>,
    epoch: i64,
    added: &[Added<'_>],
    out: &mut dyn Write,
) -> Result<Diffed, DiffError> {
    let times = Times { epoch, since: None };
    let mut walk = Walk { touches: false, ..Walk::new(LayerFormat::Tree, &times, out) };
    walk.root(tree, None)?;
    added.iter().try_for_each(|file| walk.add(file)).map_err(DiffError::Write)?;
    walk.end()
}

struct Tee<'a> {
    out: &'a mut dyn Write,
    hasher: Hasher,
    count: u64,
}

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        self.count += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// One file as it is on the disk.
#[derive(Clone)]
struct Node {
    stat: Stat,
    xattrs: Pairs,
    /// A regular file that is going to be read.
    file: Option<Rc<File>>,
}

impl Node {
    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    fn travelling(&self) -> Pairs {
        self.xattrs.iter().filter(|(key, _)| travels(key)).cloned().collect()
    }

    /// Everything but content and time.
    fn looks_like(&self, other: &Self) -> bool {
        let key = |node: &Self| (node.stat.st_mode, node.stat.st_uid, node.stat.st_gid, node.stat.st_rdev);
        key(self) == key(other) && self.travelling() == other.travelling()
    }

    fn modified(&self) -> (i64, i64) {
        (self.stat.st_mtime, self.stat.st_mtime_nsec.cast_signed())
    }
}

struct Walk<'a> {
    format: LayerFormat,
    times: &'a Times,
    scribe: Scribe<Tee<'a>>,
    /// Device and inode of files with several links -> the first path.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Directories that are written when something in them is; outermost first.
    pending: Vec<(OwnedFd, Node, Vec<u8>)>,
    buffer: Vec<u8>,
    size: u64,
    entries: u64,
    /// Whether times are changed on the disk too.
    touches: bool,
}

impl<'a> Walk<'a> {
    fn new(format: LayerFormat, times: &'a Times, out: &'a mut dyn Write) -> Self {
        Self {
            format,
            times,
            scribe: Scribe::new(Tee { out, hasher: Hasher::new(), count: 0 }),
            links: HashMap::new(),
            pending: Vec::new(),
            buffer: vec![0; 1 << 20],
            size: 0,
            entries: 0,
            touches: *times != Times::KEEP,
        }
    }

    fn finish(mut self, dir: BorrowedFd<'_>, parent: Option<BorrowedFd<'_>>) -> Result<Diffed, DiffError> {
        self.root(dir, parent)?;
        self.end()
    }

    fn end(self) -> Result<Diffed, DiffError> {
        let tee = self.scribe.finish().map_err(DiffError::Write)?;
        tee.out.flush().map_err(DiffError::Write)?;
        let (size, entries) = (self.size, self.entries);
        Ok(Diffed { diff_id: tee.hasher.finish(), size, tar_size: tee.count, entries })
    }
}

impl Walk<'_> {
    fn add(&mut self, file: &Added<'_>) -> io::Result<()> {
        let size = file.content.len() as u64;
        let line = Line { mode: 0o644, size, mtime: file.mtime, ..Line::deletion(file.path.into()) };
        self.scribe.line(&line)?;
        self.scribe.data(file.content)?;
        self.scribe.pad()?;
        (self.size, self.entries) = (self.size + size, self.entries + 1);
        Ok(())
    }

    fn root(&mut self, dir: BorrowedFd<'_>, parent: Option<BorrowedFd<'_>>) -> Result<(), DiffError> {
        let node = look(dir, b".", b"./")?;
        let changed = match parent {
            Some(parent) => !node.looks_like(&look(parent, b".", b"./")?),
            None => {
                let plain = (node.stat.st_mode & 0o7777, node.stat.st_uid, node.stat.st_gid) == (0o755, 0, 0);
                !plain || !node.travelling().is_empty()
            }
        };
        let line = self.line(dir, b".", b"", &node)?;
        if changed {
            self.write(&line)?;
        }
        let parent = parent.filter(|_| self.format == LayerFormat::Tree);
        self.directory(dir, parent, b"", &node, 0)
    }

    /// What is in a directory. Its own line is written or pending.
    fn directory(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: Option<BorrowedFd<'_>>,
        path: &[u8],
        node: &Node,
        depth: usize,
    ) -> Result<(), DiffError> {
        if depth > DEPTH {
            return Err(refused(path, "it is too many directories deep"));
        }
        if self.format == LayerFormat::Overlay && whiteout::is_opaque(&node.xattrs) {
            self.write(&Line::deletion(joined(path, whiteout::opaque())))?;
        }
        for (name, here, below) in merged(dir, parent).map_err(|errno| read(path, errno))? {
            let child = joined(path, &name);
            match (here, below) {
                (false, _) => self.write(&Line::deletion(joined(path, &whiteout::gone(&name))))?,
                (true, true) => self.member(dir, parent, &name, &child, depth)?,
                (true, false) => self.member(dir, None, &name, &child, depth)?,
            }
        }
        Ok(())
    }

    fn member(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: Option<BorrowedFd<'_>>,
        name: &[u8],
        path: &[u8],
        depth: usize,
    ) -> Result<(), DiffError> {
        let node = look_open(dir, name, path)?;
        if self.format == LayerFormat::Overlay {
            if whiteout::is_gone(&node.stat, &node.xattrs) {
                let (parent, _) = super::place::split(path);
                return self.write(&Line::deletion(joined(parent, &whiteout::gone(name))));
            }
            check_overlay(&node, path)?;
        }
        if whiteout::is_reserved(name) {
            return Err(refused(path, "names that begin with `.wh.` mean deletions in an image"));
        }
        match node.kind() {
            FileType::Socket => Ok(()),
            FileType::Directory => self.subdirectory(dir, parent, name, path, &node, depth),
            _ => self.file(dir, parent, name, path, &node),
        }
    }

    fn subdirectory(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: Option<BorrowedFd<'_>>,
        name: &[u8],
        path: &[u8],
        node: &Node,
        depth: usize,
    ) -> Result<(), DiffError> {
        let old = parent.map(|parent| look(parent, name, path)).transpose()?;
        let old = old.filter(|old| old.kind() == FileType::Directory);
        let same = old.as_ref().is_some_and(|old| node.looks_like(old) && node.modified() == old.modified());
        let inner = open_directory(dir, name).map_err(|errno| read(path, errno))?;
        let below = match (parent, &old) {
            (Some(parent), Some(_)) => Some(open_directory(parent, name).map_err(|errno| read(path, errno))?),
            _ => None,
        };
        let below = below.as_ref().map(OwnedFd::as_fd);
        if same {
            let own = inner.try_clone().map_err(|source| read_io(path, source))?;
            self.pending.push((own, node.clone(), path.to_vec()));
            let height = self.pending.len();
            self.directory(inner.as_fd(), below, path, node, depth + 1)?;
            // Unless it was written for something in it.
            if self.pending.len() == height {
                self.pending.pop();
            }
            return Ok(());
        }
        let line = self.line(dir, name, path, node)?;
        self.write(&line)?;
        self.directory(inner.as_fd(), below, path, node, depth + 1)
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: Option<BorrowedFd<'_>>,
        name: &[u8],
        path: &[u8],
        node: &Node,
    ) -> Result<(), DiffError> {
        if let Some(parent) = parent
            && self.unchanged(dir, parent, name, path, node)?
        {
            return Ok(());
        }
        let mut line = self.line(dir, name, path, node)?;
        if node.stat.st_nlink > 1 {
            let inode = (node.stat.st_dev, node.stat.st_ino);
            if let Some(first) = self.links.get(&inode) {
                return self.write(&line.linked_to(first.clone()));
            }
            self.links.insert(inode, path.to_vec());
        }
        let Some(file) = &node.file else { return self.write(&line) };
        line.size = node.stat.st_size.cast_unsigned();
        self.write(&line)?;
        self.size += line.size;
        self.content(file, line.size, path)
    }

    fn content(&mut self, mut file: &File, size: u64, path: &[u8]) -> Result<(), DiffError> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let count = match file.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(read_io(path, io::ErrorKind::UnexpectedEof.into())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(read_io(path, source)),
                Ok(count) => count,
            };
            self.scribe.data(&self.buffer[..count]).map_err(DiffError::Write)?;
            left -= count as u64;
        }
        self.scribe.pad().map_err(DiffError::Write)
    }

    /// Whether the parent has the same file.
    fn unchanged(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        node: &Node,
    ) -> Result<bool, DiffError> {
        let old = look(parent, name, path)?;
        let failed = |errno| read(path, errno);
        if (old.stat.st_dev, old.stat.st_ino) == (node.stat.st_dev, node.stat.st_ino) {
            return Ok(true);
        }
        if !node.looks_like(&old)
            || node.modified() != old.modified()
            || node.stat.st_size != old.stat.st_size
        {
            return Ok(false);
        }
        match node.kind() {
            FileType::RegularFile => {
                let open = |dir| rustix::fs::openat(dir, name, OPEN | OFlags::NONBLOCK, Mode::empty());
                let (new, old) = (open(dir).map_err(failed)?, open(parent).map_err(failed)?);
                same_content(new.into(), old.into(), &mut self.buffer).map_err(|source| read_io(path, source))
            }
            FileType::Symlink => {
                let target = |dir| rustix::fs::readlinkat(dir, name, Vec::new());
                Ok(target(dir).map_err(failed)? == target(parent).map_err(failed)?)
            }
            _ => Ok(true),
        }
    }

    /// The line of a file, whose time on the disk becomes the line's.
    fn line(&self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8], node: &Node) -> Result<Line, DiffError> {
        let failed = |errno| read(path, errno);
        let (seconds, nanos) = node.modified();
        let clamped = self.times.clamp(seconds);
        if self.touches && (seconds, nanos) != (clamped, 0) {
            set_time(dir, name, (clamped, 0)).map_err(failed)?;
        }
        let target = match node.kind() {
            FileType::Symlink => rustix::fs::readlinkat(dir, name, Vec::new()).map_err(failed)?.into_bytes(),
            _ => Vec::new(),
        };
        Ok(line_of(node, path, clamped, target))
    }

    /// Writes a line, after the directories that it needs.
    fn write(&mut self, line: &Line) -> Result<(), DiffError> {
        for (directory, node, path) in std::mem::take(&mut self.pending) {
            let line = self.line(directory.as_fd(), b".", &path, &node)?;
            self.entries += 1;
            self.scribe.line(&line).map_err(DiffError::Write)?;
        }
        self.entries += 1;
        self.scribe.line(line).map_err(DiffError::Write)
    }
}

fn line_of(node: &Node, path: &[u8], mtime: i64, target: Vec<u8>) -> Line {
    Line {
        path: path.to_vec(),
        kind: node.kind(),
        mode: node.stat.st_mode & 0o7777,
        uid: node.stat.st_uid,
        gid: node.stat.st_gid,
        mtime,
        size: 0,
        device: node.stat.st_rdev,
        target,
        hard: false,
        xattrs: node.travelling(),
    }
}

fn look(dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<Node, DiffError> {
    let failed = |errno| read(path, errno);
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    let xattrs = attributes::get(dir, name).map_err(failed)?;
    Ok(Node { stat, xattrs, file: None })
}

/// The same; a regular file is opened, as it is going to be read.
fn look_open(dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<Node, DiffError> {
    let failed = |errno| read(path, errno);
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let xattrs = attributes::get(dir, name).map_err(failed)?;
        return Ok(Node { stat, xattrs, file: None });
    }
    let file = rustix::fs::openat(dir, name, OPEN | OFlags::NONBLOCK, Mode::empty()).map_err(failed)?;
    let xattrs = attributes::get_open(file.as_fd()).map_err(failed)?;
    Ok(Node { stat, xattrs, file: Some(Rc::new(file.into())) })
}

fn open_directory(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, OPEN | OFlags::DIRECTORY, Mode::empty())
}

/// All names of both directories, sorted: whether `dir` has it, whether `parent` has it.
fn merged(dir: BorrowedFd<'_>, parent: Option<BorrowedFd<'_>>) -> Result<Vec<(Vec<u8>, bool, bool)>, Errno> {
    let here = names(dir)?;
    let Some(parent) = parent else { return Ok(here.into_iter().map(|name| (name, true, false)).collect()) };
    let mut all: Vec<_> = here.into_iter().map(|name| (name, true, false)).collect();
    let mut only_below = Vec::new();
    for name in names(parent)? {
        match all.binary_search_by(|(own, ..)| own.cmp(&name)) {
            Ok(index) => all[index].2 = true,
            Err(_) => only_below.push((name, false, true)),
        }
    }
    all.extend(only_below);
    all.sort_unstable();
    Ok(all)
}

/// These say that a file's content or name is elsewhere; a tar can not.
fn check_overlay(node: &Node, path: &[u8]) -> Result<(), DiffError> {
    let has = |name: &[u8]| node.xattrs.iter().any(|(key, _)| key == name);
    if has(b"trusted.overlay.redirect") || has(b"trusted.overlay.metacopy") {
        return Err(refused(
            path,
            "it was renamed or copied in part by overlayfs (redirect_dir or metacopy)",
        ));
    }
    Ok(())
}

fn same_content(mut new: File, mut old: File, buffer: &mut [u8]) -> io::Result<bool> {
    let (left, right) = buffer.split_at_mut(buffer.len() / 2);
    loop {
        let count = new.read(left)?;
        if count == 0 {
            return Ok(old.read(&mut right[..1])? == 0);
        }
        if old.read_exact(&mut right[..count]).is_err() || left[..count] != right[..count] {
            return Ok(false);
        }
    }
}

fn read(path: &[u8], errno: Errno) -> DiffError {
    read_io(path, errno.into())
}

fn read_io(path: &[u8], source: io::Error) -> DiffError {
    DiffError::Read { path: shown(path), source }
}

fn refused(path: &[u8], reason: &'static str) -> DiffError {
    DiffError::Refused { path: shown(path), reason }
}

#[cfg(test)]
mod tests;
