//! Reaching names below a directory, and never above it.
//!
//! Every path is resolved by the kernel with `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)`
//! from the root's descriptor: symbolic links on the way are followed as a process chrooted
//! there would follow them. The last part of a path is never followed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens `path` below `root`.
pub(crate) fn open_below(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    resolve(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens `path` below `root`, refusing links on the way.
pub(crate) fn open_plain(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    resolve(
        root,
        path,
        flags,
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

/// The kernel answers EAGAIN when a rename elsewhere made it unsure about a `..`.
fn resolve(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, how: ResolveFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    for _ in 0..64 {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

/// `a/b/c` is `a/b` and `c`.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// `a/b` and `c` are `a/b/c`.
pub(crate) fn joined(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match (parent.is_empty(), name.is_empty()) {
        (true, _) => name.to_vec(),
        (false, true) => parent.to_vec(),
        (false, false) => [parent, b"/", name].concat(),
    }
}

/// A root directory and the directory below it that was used last.
pub(crate) struct Place<'a> {
    pub(crate) root: BorrowedFd<'a>,
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// Directories that were made because something was put into them.
    pub(crate) implied: Vec<Vec<u8>>,
}

impl<'a> Place<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, last: None, implied: Vec::new() }
    }

    /// The directory `path`, made with its missing parents.
    pub(crate) fn directory(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        if let Some((last, fd)) = &self.last
            && last == path
        {
            return Ok(Rc::clone(fd));
        }
        let fd = match open_below(self.root, path, DIRECTORY) {
            Err(Errno::NOENT) => self.make(path)?,
            result => result?,
        };
        let fd = Rc::new(fd);
        self.last = Some((path.to_vec(), Rc::clone(&fd)));
        Ok(fd)
    }

    /// Call after a directory was removed or replaced.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// The mode is set explicitly because of the umask and of inherited set-gid bits.
    fn make(&mut self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(index, _)| index);
        let mut current = open_below(self.root, b"", DIRECTORY)?;
        for end in ends.chain([path.len()]) {
            let prefix = &path[..end];
            current = match open_below(self.root, prefix, DIRECTORY) {
                Err(Errno::NOENT) => {
                    let (_, name) = split(prefix);
                    rustix::fs::mkdirat(&current, name, Mode::from(0o755))?;
                    let made = open_below(self.root, prefix, OFlags::RDONLY | OFlags::DIRECTORY)?;
                    rustix::fs::fchown(&made, Some(rustix::fs::Uid::ROOT), Some(rustix::fs::Gid::ROOT))?;
                    rustix::fs::fchmod(&made, Mode::from(0o755))?;
                    self.implied.push(prefix.to_vec());
                    made
                }
                result => result?,
            };
        }
        Ok(current)
    }
}

/// Removes whatever is called `name`; nothing is fine. Returns whether it was a directory.
pub(crate) fn remove(dir: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(Errno::ISDIR | Errno::PERM) => {
            remove_children(dir, name)?;
            rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?;
            Ok(true)
        }
        Err(errno) => Err(errno),
    }
}

fn remove_children(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    for child in names(inner.as_fd())? {
        remove(inner.as_fd(), &child)?;
    }
    Ok(())
}

/// The names in a directory, sorted by bytes.
pub(crate) fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push(name.to_vec());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether `name` is a directory, and there at all.
pub(crate) fn kind_of(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<FileType>, Errno> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// An own descriptor of a directory, for calls that want a path.
pub(crate) fn path_of(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    use std::os::fd::AsRawFd;
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}
