//! Making what git left depend on the commit only.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::GitError;
use super::program::Git;

/// When and where a repository was made.
const TRACES: [&str; 8] =
    ["logs", "hooks", "branches", "description", "FETCH_HEAD", "ORIG_HEAD", "COMMIT_EDITMSG", "info/exclude"];

/// Removes `.git`, also the files of that name in submodules.
pub(super) fn remove_repositories(root: &Path) -> io::Result<()> {
    for directory in directories(root)? {
        let path = directory.join(".git");
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path)?,
            Ok(_) => fs::remove_file(&path)?,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Rewrites the repository and those of its submodules: the index without the times and inodes of
/// files, all objects in one pack that is made in one way.
pub(super) fn repositories(git: &Git<'_>) -> Result<(), GitError> {
    let top = git.directory().join(".git");
    let keep = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| GitError::Failed {
            doing: "keep the .git directory of",
            address: path.display().to_string(),
            said: error.to_string(),
        }
    };
    for repository in directories(&top).map_err(keep(&top))? {
        if !repository.join("HEAD").is_file() || !repository.join("objects").is_dir() {
            continue;
        }
        let place = format!("--git-dir={}", repository.display());
        git.run("pack", [&place, "-c", "pack.threads=1", "repack", "-a", "-d", "-f", "-q", "--window=10"])?;
        git.run("pack", [&place, "prune-packed", "--quiet"])?;
        for trace in TRACES {
            remove(&repository.join(trace)).map_err(keep(&repository))?;
        }
        remove(&repository.join("index")).map_err(keep(&repository))?;
        git.run("index", [&place, "read-tree", "HEAD"])?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Files get 0644 or 0755, directories 0755, and everything the time of the commit.
pub(super) fn settle(root: &Path, time: i64) -> io::Result<()> {
    let at = Timespec { tv_sec: time, tv_nsec: 0 };
    let times = Timestamps { last_access: at, last_modification: at };
    for directory in directories(root)?.into_iter().rev() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let found = fs::symlink_metadata(&path)?;
            if found.is_file() {
                let bits = if found.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
                fs::set_permissions(&path, fs::Permissions::from_mode(bits))?;
            }
            rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
        rustix::fs::utimensat(CWD, &directory, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// `root` and all below it, parents first; links are not followed.
fn directories(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        next += 1;
        let mut below = Vec::new();
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                below.push(entry.path());
            }
        }
        found.extend(below);
    }
    Ok(found)
}
