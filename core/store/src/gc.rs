//! Removing what nobody refers to.
//!
//! A blob is referred to by an image (config, manifest, the blobs its layers came in, what a registry
//! calls it), by a download that the build cache remembers, or it is attached to an image. While anybody holds the `gc` lock, new blobs may be
//! there that no record knows yet, so nothing is removed.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use wharf_model::Digest;

use crate::db::Durability;
use crate::record::PATIENCE;
use crate::{RecordError, Store};

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs.
    pub blobs: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Store {
    /// Removes blobs that nobody refers to, what broken-off writers left, and locks that nobody
    /// has. Does nothing while somebody holds [`Store::guard`].
    ///
    /// # Errors
    /// When the database or a directory can not be read.
    pub fn sweep(&self) -> Result<Swept, RecordError> {
        let Some(_alone) = self.try_lock("gc", false)? else { return Ok(Swept::default()) };
        let live = self.live_blobs()?;
        let mut swept = Swept::default();
        let dead = |entry: &DirEntry| {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|hex| Digest::from_hex(hex).ok());
            !digest.is_some_and(|digest| live.contains(&digest))
        };
        remove(&self.blobs().complete(), dead, &mut swept)?;
        remove(&self.blobs().incoming(), |_| true, &mut Swept::default())?;
        remove(&self.blobs().partial(), is_old, &mut Swept::default())?;
        self.forget_places()?;
        self.remove_free_locks()?;
        Ok(swept)
    }

    /// Gives up what pulls that were broken off had brought so far.
    ///
    /// # Errors
    /// When the database or the directory can not be read.
    pub fn forget_partial(&self) -> Result<Swept, RecordError> {
        let mut swept = Swept::default();
        let Some(_alone) = self.try_lock("gc", false)? else { return Ok(swept) };
        self.remotes().forget_arrived(None)?;
        remove(&self.blobs().partial(), |_| true, &mut swept)?;
        Ok(swept)
    }

    /// Forgets what layers that are gone were compressed to, and where registries hold such blobs.
    fn forget_places(&self) -> Result<(), RecordError> {
        self.database.write(Durability::Relaxed, |change| {
            change.execute("DELETE FROM packed WHERE diff_id NOT IN (SELECT diff_id FROM layers)", [])?;
            let query = "DELETE FROM held WHERE blob NOT IN \
                         (SELECT blob FROM layers WHERE blob IS NOT NULL UNION SELECT digest FROM packed)";
            change.execute(query, [])?;
            Ok(())
        })
    }

    /// Whether a writer of blobs is at work, or one broke off.
    pub fn has_incoming(&self) -> bool {
        fs::read_dir(self.blobs().incoming()).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Whether a pull was broken off, and parts of it wait for the next one.
    pub fn has_partial(&self) -> bool {
        fs::read_dir(self.blobs().partial()).is_ok_and(|mut entries| entries.next().is_some())
    }

    fn live_blobs(&self) -> Result<HashSet<Digest>, RecordError> {
        self.database.read(|database| {
            let query = "SELECT id FROM images UNION SELECT manifest FROM images \
                         UNION SELECT digest FROM remotes UNION SELECT manifest FROM remotes \
                         UNION SELECT blob FROM layers WHERE blob IS NOT NULL UNION SELECT digest FROM downloads UNION SELECT digest FROM attachments \
                         UNION SELECT via FROM names WHERE via IS NOT NULL";
            let mut query = database.prepare(query)?;
            let rows = query.query_map([], |row| crate::db::digest(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// A download that was broken off and that nobody went on with.
fn is_old(entry: &DirEntry) -> bool {
    let changed = entry.metadata().and_then(|metadata| metadata.modified());
    let age = changed.ok().and_then(|changed| changed.elapsed().ok());
    age.is_some_and(|age| age.as_secs() > PATIENCE.unsigned_abs())
}

fn remove(dir: &Path, dead: impl Fn(&DirEntry) -> bool, swept: &mut Swept) -> Result<(), RecordError> {
    let failed = |source| RecordError::File { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if dead(&entry) {
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            fs::remove_file(entry.path()).map_err(failed)?;
            swept.blobs += 1;
            swept.bytes += size;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_model::Platform;
    use wharf_model::image::ImageConfig;

    #[test]
    fn only_what_nobody_needs_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = store.commit(&ImageConfig::empty(&Platform::host()), &[]).unwrap();
        let orphan = store.blobs().put(b"orphan").unwrap();
        fs::write(dir.path().join("blobs/incoming/left-over"), "x").unwrap();

        let guard = store.guard().unwrap();
        assert_eq!(store.sweep().unwrap(), Swept::default());
        drop(guard);
        assert_eq!(store.sweep().unwrap(), Swept { blobs: 1, bytes: 6 });
        assert!(!store.blobs().contains(&orphan) && store.blobs().contains(&id));
        assert_eq!(fs::read_dir(dir.path().join("blobs/incoming")).unwrap().count(), 0);
        store.delete_image(&id).unwrap();
        assert_eq!(store.sweep().unwrap().blobs, 2);
    }
}
