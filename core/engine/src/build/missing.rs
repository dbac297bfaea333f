//! What the runtime makes to mount things on, and the stage does not have: it must not end up in
//! a layer. Nor must the directories above them, whose times that changes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Timestamps, fstat, openat2, statat, unlinkat,
};

use super::request::BuildError;
use super::tree::Work;
use super::unchanged;

/// Paths below the stage's root that are not there, deepest first, and the directories that are
/// there and that the first of them will be made in.
pub(super) struct Missing {
    paths: Vec<String>,
    above: Vec<Above>,
}

/// A directory as it was.
struct Above {
    path: String,
    times: Timestamps,
    names: Vec<Vec<u8>>,
}

impl Missing {
    /// Of the targets and the directories above them.
    pub(super) fn look<'t>(
        tree: &Work<'_>,
        targets: impl Iterator<Item = &'t str>,
    ) -> Result<Self, BuildError> {
        let root = tree.open(true)?;
        let mut paths: Vec<String> =
            targets.flat_map(prefixes).filter(|path| !is_there(root.as_fd(), path)).collect();
        paths.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        paths.dedup();
        let above = directories_above(root.as_fd(), &paths);
        Ok(Self { paths, above })
    }

    /// Removes what is still as empty as the runtime made it; a program may have filled it. Gives the
    /// directories above their times back, unless something else was made or removed in them since.
    pub(super) fn clean(&self, tree: &Work<'_>) -> Result<(), BuildError> {
        if self.paths.is_empty() {
            return Ok(());
        }
        let root = tree.open(false)?;
        for path in &self.paths {
            remove_empty(root.as_fd(), path);
        }
        for above in &self.above {
            let Ok(directory) = open_directory(root.as_fd(), &above.path) else { continue };
            if unchanged::names(directory.as_fd()).is_ok_and(|names| names == above.names) {
                let _ = rustix::fs::utimensat(directory, ".", &above.times, AtFlags::empty());
            }
        }
        drop(root);
        tree.forget_unchanged(self.above.iter().map(|above| above.path.as_str()))
    }
}

/// With their times as they are before anything is made in them.
fn directories_above(root: BorrowedFd<'_>, paths: &[String]) -> Vec<Above> {
    let mut above: Vec<String> =
        paths.iter().map(|path| path.rsplit_once('/').map_or(".", |(above, _)| above).to_owned()).collect();
    above.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
    above.dedup();
    let look = |path: String| {
        let directory = open_directory(root, &path).ok()?;
        let times = unchanged::times(&fstat(&directory).ok()?);
        Some(Above { times, names: unchanged::names(directory.as_fd()).ok()?, path })
    };
    above.into_iter().filter_map(look).collect()
}

/// `a/b/c` as `a`, `a/b` and `a/b/c`.
fn prefixes(path: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let next = all.last().map_or_else(|| part.to_owned(), |above| format!("{above}/{part}"));
        all.push(next);
    }
    all
}

fn is_there(root: BorrowedFd<'_>, path: &str) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).is_ok()
}

fn remove_empty(root: BorrowedFd<'_>, path: &str) {
    let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
    let Ok(directory) = open_directory(root, above) else { return };
    let Ok(stat) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { return };
    let _ = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => unlinkat(&directory, name, AtFlags::REMOVEDIR),
        FileType::RegularFile if stat.st_size == 0 => unlinkat(&directory, name, AtFlags::empty()),
        _ => Ok(()),
    };
}

fn open_directory(root: BorrowedFd<'_>, path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_prefixes() {
        assert_eq!(prefixes("/a//b/c"), ["a", "a/b", "a/b/c"]);
        assert_eq!(prefixes("/"), [] as [&str; 0]);
    }
}
