//! What a hook sees of an image that is about to get its id: the tree as the storage driver shows it.
//!
//! A path is resolved below the tree's root without following any link, and nothing but a regular
//! file is ever read, so an image can lead nowhere else and make nobody wait.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use wharf_model::{Diagnostic, Failure, FailureKind, Severity};
use wharf_plugin::{Entry, EntryKind, ImageFiles};

use crate::build::source::{SourceError, find_below};

/// The files below an opened root.
#[derive(Debug)]
pub(crate) struct TreeFiles(OwnedFd);

impl TreeFiles {
    pub(crate) fn below(root: OwnedFd) -> Self {
        Self(root)
    }

    /// `None` when nothing is there, or a link is in the way.
    fn open(&self, path: &str, flags: OFlags) -> Result<Option<(OwnedFd, Stat)>, Failure> {
        let path = if path.is_empty() { "." } else { path };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        use rustix::io::Errno;
        match openat2(&self.0, path, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            opened => {
                let opened = opened.map_err(|error| unreadable(path, &error.into()))?;
                let stat = fstat(&opened).map_err(|error| unreadable(path, &error.into()))?;
                Ok(Some((opened, stat)))
            }
        }
    }
}

impl ImageFiles for TreeFiles {
    fn stat(&mut self, path: &str) -> Result<Option<Entry>, Failure> {
        let found = self.open(path, OFlags::PATH)?;
        Ok(found.map(|(_, stat)| entry(path.to_owned(), &stat)))
    }

    fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        let Some((_, stat)) = self.open(path, OFlags::PATH)? else { return Ok(None) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failure(FailureKind::InvalidInput, format!("`/{path}` is not a regular file")));
        }
        let Some((file, _)) = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK)? else { return Ok(None) };
        let mut content = Vec::new();
        let read = File::from(file).take(limit.saturating_add(1)).read_to_end(&mut content);
        read.map_err(|error| unreadable(path, &error))?;
        if content.len() as u64 > limit {
            let message = format!("`/{path}` is longer than {limit} bytes");
            return Err(failure(FailureKind::InvalidInput, message));
        }
        Ok(Some(content))
    }

    fn glob(&mut self, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
        use std::os::fd::AsFd;
        let mut found = Vec::new();
        find_below(self.0.as_fd(), patterns, limit, &mut |path, stat| found.push(entry(path, stat)))
            .map_err(|error: SourceError| failure(FailureKind::InvalidInput, error.to_string()))?;
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }
}

/// Contents are not hashed: who wants one reads it.
fn entry(path: String, stat: &Stat) -> Entry {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        _ => EntryKind::Other,
    };
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    Entry { path, kind, size, mode: stat.st_mode & 0o7777, content: None }
}

fn unreadable(path: &str, error: &io::Error) -> Failure {
    failure(FailureKind::Other, format!("cannot read `/{path}`: {error}"))
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, diagnostics: vec![Diagnostic::new(Severity::Error, "image-files", message)] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, TreeFiles) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("usr/lib/a.dist-info")).unwrap();
        fs::write(root.join("usr/lib/a.dist-info/METADATA"), "Name: a\n").unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("/usr", root.join("abs")).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe"),
            FileType::Fifo,
            Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        let files = TreeFiles::below(crate::home::open(&root).unwrap());
        (dir, files)
    }

    #[test]
    fn nothing_leads_out_and_nothing_blocks() {
        let (_dir, mut files) = tree();
        for path in [
            "out",
            "../secret",
            "lib/a.dist-info/METADATA",
            "abs/lib",
            "none",
            "usr/lib/a.dist-info/METADATA/x",
        ] {
            assert!(!matches!(files.read(path, 100), Ok(Some(_))), "for {path}");
        }
        assert!(files.read("pipe", 100).is_err());
        assert!(files.read("usr", 100).is_err());
        assert_eq!(files.read("usr/lib/a.dist-info/METADATA", 100).unwrap().unwrap(), b"Name: a\n");
        assert!(files.read("usr/lib/a.dist-info/METADATA", 7).is_err());
        assert_eq!(files.stat("lib").unwrap().unwrap().kind, EntryKind::Symlink);
        assert_eq!(files.stat("").unwrap().unwrap().kind, EntryKind::Directory);
        assert_eq!(files.stat("none").unwrap(), None);
    }

    #[test]
    fn patterns_find_files_and_follow_no_links() {
        let (_dir, mut files) = tree();
        let mut glob = |pattern: &str, limit| {
            let found = files.glob(&[pattern.to_owned()], limit);
            found.map(|found| found.into_iter().map(|entry| entry.path).collect::<Vec<_>>())
        };
        assert_eq!(glob("**/METADATA", 10).unwrap(), ["usr/lib/a.dist-info/METADATA"]);
        assert_eq!(glob("*", 10).unwrap(), ["abs", "lib", "out", "pipe", "usr"]);
        assert!(glob("**", 2).is_err());
        assert!(glob("[", 2).is_err());
    }
}
