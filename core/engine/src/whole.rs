//! Files that appear when they are whole.
//!
//! Until then one has no name (`O_TMPFILE`), so that nothing is left of it however its writer ends. Where
//! a file system can not do that it is called `<name>.<chance>.part` meanwhile.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// A file that is being written. Dropped before [`WholeFile::appear`], it was never there.
#[derive(Debug)]
pub struct WholeFile {
    /// To write to.
    pub file: File,
    path: PathBuf,
    /// What it is called meanwhile, if anything.
    part: Option<PathBuf>,
}

impl WholeFile {
    /// One that is going to be at `path`, in the place of what is there then. Its mode is 0666 without the
    /// bits of the umask.
    ///
    /// # Errors
    /// When nothing can be made in that directory.
    pub fn create(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        match rustix::fs::open(beside.unwrap_or(Path::new(".")), flags, Mode::from(0o666)) {
            Ok(file) => Ok(Self { file: file.into(), path, part: None }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let part = part(&path)?;
                let file = File::options().write(true).create_new(true).open(&part)?;
                Ok(Self { file, path, part: Some(part) })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives it its name, once all of it has reached the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn appear(self) -> io::Result<()> {
        self.file.sync_all()?;
        self.appear_early()
    }

    /// Gives it its name although it may not be on the disk yet: for what nobody trusts before it is verified.
    ///
    /// # Errors
    /// When it can not get that name.
    pub fn appear_early(mut self) -> io::Result<()> {
        if self.part.is_none() {
            match link(&self.file, &self.path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => return linked,
            }
            // A link replaces nothing, and a rename needs a name.
            let part = part(&self.path)?;
            link(&self.file, &part)?;
            self.part = Some(part);
        }
        let Some(part) = &self.part else { return Ok(()) };
        fs::rename(part, &self.path)?;
        self.part = None;
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_file(part);
        }
    }
}

/// Two machines may write to one directory, with the same number for a process.
fn part(path: &Path) -> io::Result<PathBuf> {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", &crate::container::fresh_id()?[..16]));
    Ok(path.with_file_name(name))
}

fn link(file: &File, path: &Path) -> io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, own.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(dir: &Path) -> Vec<OsString> {
        let mut names: Vec<OsString> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_when_it_is_whole_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        for text in ["first", "in its place"] {
            let mut whole = WholeFile::create(&path).unwrap();
            whole.file.write_all(text.as_bytes()).unwrap();
            assert_ne!(fs::read_to_string(&path).ok().as_deref(), Some(text));
            whole.appear().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(names(dir.path()), ["out"]);
        }
        drop(WholeFile::create(&path).unwrap());
        let directory = WholeFile::create(dir.path()).unwrap();
        assert!(directory.appear().is_err(), "a directory stays");
        assert_eq!(names(dir.path()), ["out"]);
        let directory = dir.path().file_name().unwrap().to_string_lossy().into_owned();
        let left = names(dir.path().parent().unwrap());
        assert_eq!(left.iter().filter(|name| name.to_string_lossy().starts_with(&directory)).count(), 1);
        let err = WholeFile::create(&dir.path().join("no/such/out")).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn without_unnamed_files_the_part_goes_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let named = || {
            let part = part(&path).unwrap();
            WholeFile { file: File::create(&part).unwrap(), path: path.clone(), part: Some(part) }
        };
        let unfinished = named();
        assert_eq!(names(dir.path()).len(), 1);
        drop(unfinished);
        assert!(names(dir.path()).is_empty());
        named().appear().unwrap();
        assert_eq!(names(dir.path()), ["out"]);
    }
}
