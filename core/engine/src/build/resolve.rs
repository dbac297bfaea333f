//! Which file a path means below a root, when nothing in the root may be trusted.
//!
//! Links are followed here, component by component, with the root as `/`: `..` and absolute links
//! never leave it. The answer is a path without links and without `..`. Opening such a path
//! refuses links altogether (`openat2(2)`), so whoever swaps a directory for a link in between
//! gets an error and not another file.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Whether a link at the very end is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::build) enum Last {
    Follow,
    Keep,
}

/// A path without links, and what is there.
#[derive(Debug)]
pub(in crate::build) struct Resolved {
    /// Relative to the root; empty for the root.
    pub(in crate::build) path: PathBuf,
    /// `None` when nothing is there.
    pub(in crate::build) stat: Option<Stat>,
}

impl Resolved {
    pub(in crate::build) fn is_dir(&self) -> bool {
        self.stat.as_ref().is_some_and(|stat| file_type(stat) == FileType::Directory)
    }
}

pub(in crate::build) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Finds out what `path` means below `root`. What is missing is taken by its text alone.
pub(in crate::build) fn resolve(root: BorrowedFd<'_>, path: &Path, last: Last) -> io::Result<Resolved> {
    let mut pending = components(path);
    let mut resolved = Resolved { path: PathBuf::new(), stat: Some(fs::fstat(root)?) };
    let mut links = 0;
    while let Some(name) = pending.pop() {
        if name == ".." {
            resolved.path.pop();
            resolved.stat = Some(stat(root, &resolved.path)?);
            continue;
        }
        resolved.path.push(&name);
        let entry = match open_path(root, &resolved.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(missing(resolved.path, pending));
            }
            entry => entry?,
        };
        let stat = fs::fstat(&entry)?;
        if file_type(&stat) != FileType::Symlink || (pending.is_empty() && last == Last::Keep) {
            resolved.stat = Some(stat);
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = link_target(entry.as_fd())?;
        resolved.path.pop();
        if target.is_absolute() {
            resolved.path.clear();
        }
        pending.extend(components(&target));
        resolved.stat = Some(self::stat(root, &resolved.path)?);
    }
    Ok(resolved)
}

/// Names and `..`, last first. Leading `..` count: a link may begin with them.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

fn missing(mut path: PathBuf, mut pending: Vec<OsString>) -> Resolved {
    while let Some(name) = pending.pop() {
        if name == ".." {
            path.pop();
        } else {
            path.push(name);
        }
    }
    Resolved { path, stat: None }
}

fn link_target(link: BorrowedFd<'_>) -> io::Result<PathBuf> {
    let target = fs::readlinkat(link, "", Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()).into())
}

/// What a path without links leads to; a link itself is not followed.
pub(in crate::build) fn stat(root: BorrowedFd<'_>, path: &Path) -> io::Result<Stat> {
    Ok(fs::fstat(open_path(root, path)?)?)
}

fn open_path(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    open(root, path, OFlags::PATH | OFlags::NOFOLLOW)
}

/// Opens a directory whose path has no links.
pub(in crate::build) fn open_dir(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
}

/// Opens a regular file whose path has no links; anything else is refused without waiting for it.
pub(in crate::build) fn open_file(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    regular(open(root, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)?)
}

/// Refuses what is not a regular file.
pub(in crate::build) fn regular(file: OwnedFd) -> io::Result<OwnedFd> {
    match file_type(&fs::fstat(&file)?) {
        FileType::RegularFile => Ok(file),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), inside) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return Ok(opened?),
        }
    }
}

/// Opens one regular file of a directory, as [`open_file`].
pub(in crate::build) fn open_entry(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    open_file(dir, Path::new(name))
}

/// The names in a directory, sorted by their bytes.
pub(in crate::build) fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(OsStr::from_bytes(name).to_owned()),
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        std::fs::write(dir.path().join("usr/bin/sh"), "").unwrap();
        for (target, link) in [
            ("usr/bin", "bin"),
            ("/usr", "abs"),
            ("../../../../usr", "usr/up"),
            ("loop", "loop"),
            ("/gone/there", "dangling"),
            ("/etc/passwd", "out"),
        ] {
            symlink(target, dir.path().join(link)).unwrap();
        }
        let fd = std::fs::File::open(dir.path()).unwrap().into();
        (dir, fd)
    }

    #[test]
    fn links_are_followed_inside_the_root_only() {
        let (_dir, fd) = root();
        for (path, found, exists) in [
            ("", "", true),
            ("/bin/sh", "usr/bin/sh", true),
            ("abs/bin/../bin/sh", "usr/bin/sh", true),
            ("usr/up/bin", "usr/bin", true),
            ("../../bin", "usr/bin", true),
            ("dangling", "gone/there", false),
            ("dangling/x/../y", "gone/there/y", false),
            ("out", "etc/passwd", false),
            ("bin/new/file", "usr/bin/new/file", false),
        ] {
            let resolved = resolve(fd.as_fd(), Path::new(path), Last::Follow).unwrap();
            assert_eq!((resolved.path.to_str().unwrap(), resolved.stat.is_some()), (found, exists), "{path}");
        }
        let kept = resolve(fd.as_fd(), Path::new("bin"), Last::Keep).unwrap();
        assert_eq!(kept.path, Path::new("bin"));
        assert!(resolve(fd.as_fd(), Path::new("loop/x"), Last::Follow).is_err());
        assert!(resolve(fd.as_fd(), Path::new("bin/sh/x"), Last::Follow).is_err());
    }

    #[test]
    fn opening_follows_nothing() {
        let (dir, fd) = root();
        assert!(open_dir(fd.as_fd(), Path::new("bin")).is_err());
        assert!(open_file(fd.as_fd(), Path::new("bin/sh")).is_err());
        assert!(open_file(fd.as_fd(), Path::new("usr/bin/sh")).is_ok());
        assert!(open_file(fd.as_fd(), Path::new("../x")).is_err());
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(open_file(fd.as_fd(), Path::new("fifo")).is_err());
    }
}
