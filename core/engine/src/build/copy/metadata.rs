//! Owner, mode and times of a copy.
//!
//! Always in this order: a new owner clears set-id bits and capabilities, so the mode and the
//! attributes come after it, and the times come last.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, chmodat, chownat, fchmod, fchown, futimens,
    utimensat,
};

use crate::build::owner::Ids;
use crate::build::source::{Attributes, Kind, Origin, Source, set_attributes};

use super::mode::Change;

/// What the copies of one COPY have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metadata<'a> {
    pub(super) owner: Option<Ids>,
    pub(super) change: Option<&'a Change>,
    pub(super) source: &'a Source<'a>,
    pub(super) epoch: i64,
}

impl Metadata<'_> {
    /// For an open file or directory.
    pub(super) fn apply(
        &self,
        copy: BorrowedFd<'_>,
        stat: &Stat,
        kind: Kind,
        attributes: &Attributes,
    ) -> io::Result<()> {
        let (uid, gid) = self.ids(stat);
        fchown(copy, Some(uid), Some(gid))?;
        fchmod(copy, self.mode(stat, kind))?;
        set_attributes(copy, attributes)?;
        let times = self.times(stat);
        Ok(futimens(copy, &times)?)
    }

    /// For what cannot be opened: a link, a pipe, a device.
    pub(super) fn apply_at(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        kind: Kind,
    ) -> io::Result<()> {
        let (uid, gid) = self.ids(stat);
        chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if kind != Kind::Symlink {
            chmodat(dir, name, self.mode(stat, kind), AtFlags::empty())?;
        }
        Ok(utimensat(dir, name, &self.times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn ids(&self, stat: &Stat) -> (Uid, Gid) {
        let own = match self.source.origin {
            Origin::Context => Ids::default(),
            Origin::Rootfs => Ids { uid: stat.st_uid, gid: stat.st_gid },
        };
        let ids = self.owner.unwrap_or(own);
        (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid))
    }

    fn mode(&self, stat: &Stat, kind: Kind) -> Mode {
        let own = stat.st_mode & 0o7777;
        let bits = self.change.map_or(own, |change| change.apply(own, kind == Kind::Directory));
        Mode::from(bits)
    }

    fn times(&self, stat: &Stat) -> Timestamps {
        match self.source.origin {
            Origin::Context => times(self.epoch, 0),
            #[allow(
                clippy::unnecessary_cast,
                reason = "the types of these fields differ between architectures"
            )]
            Origin::Rootfs => times(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        }
    }
}

fn times(seconds: i64, nanoseconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps { last_access: time, last_modification: time }
}

/// Dates an open file or directory.
pub(super) fn set_times(file: BorrowedFd<'_>, seconds: i64, nanoseconds: i64) -> io::Result<()> {
    Ok(futimens(file, &times(seconds, nanoseconds))?)
}

/// Dates an entry of a directory; a link itself.
pub(super) fn set_times_at(dir: BorrowedFd<'_>, name: &OsStr, seconds: i64) -> io::Result<()> {
    Ok(utimensat(dir, name, &times(seconds, 0), AtFlags::SYMLINK_NOFOLLOW)?)
}
