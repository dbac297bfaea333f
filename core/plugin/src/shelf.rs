//! The engine's own copies of plugins that were added.
//!
//! ```text
//! <cache>/code/                  0700, ours
//!   <sha256 of the content>      0600, ours: a component or a library, never changed
//! ```
//!
//! A plugin whose `digest` is written down is taken from here when it is here, whatever became of
//! the file it came from. What is here was put here by us, and is hashed again when it is used: what
//! others own or can write is refused, and content of another digest is as good as nothing. Compiled
//! code is not kept here (see `aot.rs`) and never leaves the machine.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use wharf_model::Digest;

use crate::Fault;
use crate::aot::{ours, unusable};

/// Where they are.
fn folder(cache: &Path) -> PathBuf {
    cache.join("code")
}

/// The code of this digest; `None` when it is not here.
pub(crate) fn take(cache: &Path, digest: Digest) -> Result<Option<Vec<u8>>, Fault> {
    let path = folder(cache).join(digest.hex());
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(unusable(&path, &error)),
    };
    ours(&path, &file, FileType::RegularFile)?;
    let mut bytes = Vec::new();
    File::from(file).read_to_end(&mut bytes).map_err(|error| unusable(&path, &error))?;
    Ok((Digest::of(&bytes) == digest).then_some(bytes))
}

/// Whether it is here.
pub fn has(cache: &Path, digest: Digest) -> bool {
    take(cache, digest).is_ok_and(|found| found.is_some())
}

/// Keeps code; the answer is whether it is new here.
///
/// # Errors
/// When the directory is not ours, or can not be written to.
pub fn put(cache: &Path, bytes: &[u8]) -> Result<bool, Fault> {
    let digest = Digest::of(bytes);
    if has(cache, digest) {
        return Ok(false);
    }
    let path = folder(cache);
    let directory = open(&path)?;
    let aside = format!(".{}.{}", digest.hex(), std::process::id());
    let placed = write(&directory, &aside, bytes).and_then(|()| {
        rustix::fs::renameat(&directory, &*aside, &directory, digest.hex())?;
        Ok(rustix::fs::fsync(&directory)?)
    });
    placed.map_err(|error| {
        let _gone_already = rustix::fs::unlinkat(&directory, &*aside, AtFlags::empty());
        unusable(&path.join(digest.hex()), &error)
    })?;
    Ok(true)
}

/// Removes code; what is not here is gone already.
///
/// # Errors
/// When it is here and stays.
pub fn forget(cache: &Path, digest: Digest) -> Result<(), Fault> {
    let path = folder(cache).join(digest.hex());
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unusable(&path, &error)),
        _ => Ok(()),
    }
}

fn open(path: &Path) -> Result<OwnedFd, Fault> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| unusable(path, &error))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unusable(path, &error))?;
    ours(path, &directory, FileType::Directory)?;
    Ok(directory)
}

fn write(directory: &OwnedFd, aside: &str, bytes: &[u8]) -> std::io::Result<()> {
    // A process of this number that died while writing may have left one.
    match rustix::fs::unlinkat(directory, aside, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(directory, aside, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn code_is_found_by_its_digest() {
        let temp = tempfile::tempdir().unwrap();
        let cache = temp.path().join("plugins");
        let digest = Digest::of("code");
        assert!(take(&cache, digest).unwrap().is_none());
        assert!(put(&cache, b"code").unwrap());
        assert!(!put(&cache, b"code").unwrap());
        assert_eq!(take(&cache, digest).unwrap().unwrap(), b"code");
        forget(&cache, digest).unwrap();
        forget(&cache, digest).unwrap();
        assert!(take(&cache, digest).unwrap().is_none());
    }

    #[test]
    fn changed_code_is_as_good_as_none_and_put_mends_it() {
        let temp = tempfile::tempdir().unwrap();
        put(temp.path(), b"code").unwrap();
        let path = folder(temp.path()).join(Digest::of("code").hex());
        std::fs::write(&path, "CODE").unwrap();
        assert!(take(temp.path(), Digest::of("code")).unwrap().is_none());
        assert!(put(temp.path(), b"code").unwrap());
        assert!(has(temp.path(), Digest::of("code")));
    }

    #[test]
    fn links_and_open_modes_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        put(temp.path(), b"code").unwrap();
        let path = folder(temp.path()).join(Digest::of("code").hex());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(take(temp.path(), Digest::of("code")), Err(Fault::Cache { .. })));
        std::fs::rename(&path, temp.path().join("elsewhere")).unwrap();
        symlink(temp.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(take(temp.path(), Digest::of("code")), Err(Fault::Cache { .. })));
    }
}
