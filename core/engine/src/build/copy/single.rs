//! Single files, directories and links of a plan.

use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, chownat, fchmod, fchown, statat, symlinkat, unlinkat};
use rustix::io::Errno;
use wharf_model::build::Owner;

use crate::build::owner::{Ids, OwnerError, resolve_owner};
use crate::build::resolve::{Last, file_type, names, open_dir, resolve};

use super::directory::Directories;
use super::metadata::{set_times, set_times_at};
use super::{CopyError, Target, absolute, file, split};

fn ids(owner: Option<&Owner>, target: &Target<'_>) -> Result<Ids, OwnerError> {
    owner.map_or(Ok(Ids::default()), |owner| resolve_owner(target.accounts, owner))
}

/// Writes a file with this content, in the place of what is there.
///
/// # Errors
/// When the path is a directory or ends in `/`, the owner is unknown, or the kernel refuses.
pub fn write(
    path: &str,
    content: &[u8],
    owner: Option<&Owner>,
    mode: u32,
    target: &Target<'_>,
) -> Result<(), CopyError> {
    let ids = ids(owner, target)?;
    let wanted = absolute(path, target.working_dir);
    let failed = |error| CopyError::write(&wanted, error);
    let resolved = resolve(target.root, &wanted, Last::Follow).map_err(failed)?;
    if path.ends_with('/') || resolved.is_dir() {
        return Err(CopyError::IsDirectory(wanted.display().to_string()));
    }
    let (parent, name) = split(&resolved.path);
    let mut directories = Directories::new(target, owner.map(|_| ids));
    let dir = directories.make(parent)?;
    file::clear(dir.as_fd(), name).map_err(|failure| failure.at(&wanted, &resolved.path))?;
    let mut file = file::create(dir.as_fd(), name).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    fchown(&file, Some(uid), Some(gid)).map_err(|error| failed(error.into()))?;
    fchmod(&file, Mode::from(mode & 0o7777)).map_err(|error| failed(error.into()))?;
    set_times(file.as_fd(), target.epoch, 0).map_err(failed)?;
    directories.finish()
}

/// Makes a directory with its missing parents. One that exists is left as it is. As in BuildKit, a
/// name that nobody has (yet) counts as root: WORKDIR may come before the RUN that adds its USER.
///
/// # Errors
/// When something else is there, or the kernel refuses.
pub fn mkdir(path: &str, owner: Option<&Owner>, mode: u32, target: &Target<'_>) -> Result<(), CopyError> {
    let ids = match ids(owner, target) {
        Err(OwnerError::NoUser(_) | OwnerError::NoGroup(_)) => Ids::default(),
        ids => ids?,
    };
    let wanted = absolute(path, target.working_dir);
    let resolved =
        resolve(target.root, &wanted, Last::Follow).map_err(|error| CopyError::write(&wanted, error))?;
    let mut directories = Directories::new(target, Some(ids)).with_mode(mode & 0o7777);
    directories.make(&resolved.path)?;
    directories.finish()
}

/// Makes a symbolic link, in the place of a file or a link that is there.
///
/// # Errors
/// When a directory is there, or the kernel refuses.
pub fn symlink(points_to: &str, path: &str, target: &Target<'_>) -> Result<(), CopyError> {
    let wanted = absolute(path, target.working_dir);
    let failed = |error| CopyError::write(&wanted, error);
    let parent = resolve(target.root, split(&wanted).0, Last::Follow).map_err(failed)?;
    let name = split(&wanted).1;
    let mut directories = Directories::new(target, None);
    let dir = directories.make(&parent.path)?;
    file::clear(dir.as_fd(), name).map_err(|failure| failure.at(&wanted, &wanted))?;
    let refused = |error: Errno| CopyError::write(&wanted, error);
    symlinkat(points_to, &dir, name).map_err(refused)?;
    let (uid, gid) = (Some(Uid::ROOT), Some(Gid::ROOT));
    chownat(&dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(refused)?;
    set_times_at(dir.as_fd(), name, target.epoch).map_err(failed)?;
    directories.finish()
}

/// Removes a file or a tree; a link is removed, not what it leads to.
///
/// # Errors
/// When nothing is there (unless that is fine), the path is the root, or the kernel refuses.
pub fn remove(path: &str, missing_ok: bool, target: &Target<'_>) -> Result<(), CopyError> {
    let wanted = absolute(path, target.working_dir);
    let failed = |error| CopyError::write(&wanted, error);
    let resolved = resolve(target.root, &wanted, Last::Keep).map_err(failed)?;
    if resolved.path.as_os_str().is_empty() {
        return Err(CopyError::IsDirectory(String::new()));
    }
    if resolved.stat.is_none() {
        return if missing_ok { Ok(()) } else { Err(failed(std::io::ErrorKind::NotFound.into())) };
    }
    let (parent, name) = split(&resolved.path);
    let dir = open_dir(target.root, parent).map_err(failed)?;
    remove_entry(dir.as_fd(), Path::new(name)).map_err(failed)
}

/// Removes a file or a tree, if there is one.
pub(super) fn remove_any(dir: BorrowedFd<'_>, name: &OsStr) -> std::io::Result<()> {
    match remove_entry(dir, Path::new(name)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn remove_entry(dir: BorrowedFd<'_>, name: &Path) -> std::io::Result<()> {
    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if file_type(&stat) != FileType::Directory {
        return Ok(unlinkat(dir, name, AtFlags::empty())?);
    }
    let inner = open_dir(dir, name)?;
    for entry in names(inner.as_fd())? {
        remove_entry(inner.as_fd(), Path::new(&entry))?;
    }
    Ok(unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}
