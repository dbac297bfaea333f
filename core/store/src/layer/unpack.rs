//! An archive -> files in a tree that exists (ADD). Names have no special meaning here: a
//! `.wh.a` in an archive is a file, and refused, because in a layer it would be a whiteout.

use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use super::Limits;
use super::apply::{Applied, ApplyError, each};
use super::entry::{normalised, shown};
use super::place::joined;
use super::put::Putter;
use super::whiteout::is_reserved;

/// Unpacks an archive, compressed or not, into the directory `dest` below `root`, which is made
/// if it is missing. Owners, modes and times are the archive's.
///
/// # Errors
/// When the archive is damaged, leaves its root, exceeds `limits`, or the disk refuses.
pub fn unpack(
    archive: impl Read,
    root: BorrowedFd<'_>,
    dest: &Path,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    let dest = dest.as_os_str().as_bytes();
    let refused = |reason| ApplyError::Refused { path: shown(dest), reason };
    let clean = normalised(dest, limits).map_err(refused)?;
    let failed = |source: Errno| ApplyError::Entry { path: shown(dest), source: source.into() };
    let mut putter = Putter::new(root, &clean, limits);
    putter.place.directory(&clean).map_err(failed)?;
    let read = each(archive, limits, None, |entry, path, mut data| {
        if path.is_empty() {
            // The destination stays as it is.
            return Ok(());
        }
        if path.split(|byte| *byte == b'/').any(is_reserved) {
            let reason = "names that begin with `.wh.` mean deletions in an image";
            return Err(ApplyError::Refused { path: shown(path), reason });
        }
        putter.put(entry, &joined(&clean, path), &mut data)
    })?;
    putter.place.implied.clear();
    let size = putter.finish()?;
    Ok(Applied { size, ..read })
}
