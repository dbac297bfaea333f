//! What ends for want of room: what is full, and what to do about it.

use std::error::Error;

use rustix::fs::statvfs;
use wharf_store::is_full;

use crate::Engine;
use crate::build::{BuildError, BuildFailure};

/// What to do about a place that a person named and that has no room.
pub(crate) const NO_ROOM_THERE: &str =
    "free some room there, or let `dest=` name a place on another file system";
/// Less than this is none: file systems keep a little for themselves.
const NONE: u64 = 1 << 20;

impl Engine {
    /// What to do next after a build that failed, where something is known.
    pub fn hint(&self, failure: &BuildFailure) -> Option<String> {
        match &failure.error {
            // What they write may be on another file system.
            BuildError::Output(_) | BuildError::Cache(_) => {
                failure.hint().or_else(|| self.full_hint(failure))
            }
            _ => self.full_hint(failure).or_else(|| failure.hint()),
        }
    }

    fn full_hint(&self, failure: &BuildFailure) -> Option<String> {
        let ran_out = matches!(failure.error, BuildError::Exit { is_full: true, .. });
        (ran_out || is_full(failure)).then(|| {
            let root = self.root().display();
            let lacks = if self.lacks_inodes() {
                "has no inodes left, of which every file takes one"
            } else {
                "is full"
            };
            format!(
                "the file system of {root} {lacks}: `wharf system df` says what takes the room there, and \
                 `wharf builder prune` and `wharf system prune` free some"
            )
        })
    }

    /// Whether files are what there is no room for. What failed has been taken away again, so what is scarce
    /// says it and not what is over.
    fn lacks_inodes(&self) -> bool {
        statvfs(self.root())
            .is_ok_and(|disk| scarcer((disk.f_favail, disk.f_files), (disk.f_bavail, disk.f_blocks)))
    }

    /// Gives up what a download that ran out of room has brought, which the next one would go on with:
    /// meanwhile it would keep all of the room that is wanted.
    pub(crate) fn give_up_parts(&self, error: &(dyn Error + 'static)) {
        if is_full(error) {
            // Whoever else downloads meanwhile keeps what is there.
            let _ = self.store.forget_partial();
        }
    }

    /// Whether there is no room where images and trees are. What a program of a build writes to is there,
    /// too, and all that it can say is its exit code.
    pub(crate) fn is_full(&self) -> bool {
        statvfs(self.root()).is_ok_and(|disk| {
            let no_inodes = disk.f_files > 0 && disk.f_favail == 0;
            no_inodes || disk.f_bavail.saturating_mul(disk.f_frsize) < NONE
        })
    }
}

/// Whether less is left of the first thing than of the second one, each of all that there is; of nothing at all,
/// nothing can be lacking.
fn scarcer(first: (u64, u64), second: (u64, u64)) -> bool {
    u128::from(first.0) * u128::from(second.1) < u128::from(second.0) * u128::from(first.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scarce_is_what_is_lacking() {
        assert!(scarcer((1, 100), (50, 100)) && scarcer((0, 100), (1, 100)));
        assert!(!scarcer((50, 100), (1, 100)) && !scarcer((5, 10), (50, 100)));
        // Btrfs makes inodes when it needs them, and says that it has none.
        assert!(!scarcer((0, 0), (50, 100)) && !scarcer((0, 0), (0, 100)));
    }
}
