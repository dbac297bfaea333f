//! `type=cache`: directories that outlive the build.
//!
//! ```text
//! <root>/cache-mounts/<sha256 of what it is called>[-<n>]/    `-<n>` for private ones
//! ```
//!
//! It is called by its id and, when it begins with files of a stage, an image or a context, by what those
//! are: a cache of other beginnings is another cache. One appears whole, by a rename. An empty one has the
//! owner and the permission bits that whoever was first asked for, another one those of the directory that
//! it begins with.
//!
//! One that is `locked` is held by one program at a time, and one that is `private` by the first who finds
//! it free. The program's monitor holds the lock as well, so that a build that is killed does not let go
//! of a cache that its program still writes to; a lock goes with its last holder. All that a program locks
//! are locked in the order of their names, so that two programs never wait for each other.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use wharf_model::Digest;
use wharf_model::build::{CacheSharing, Exec, Input, Mount as Request};

use super::super::execute::Execution;
use super::super::plan::Step;
use super::super::request::BuildError;
use super::{Mounted, absolute};
use crate::container::{Mount, MountKind};

/// More than one host ever builds at once.
const MOST_PRIVATE: usize = 1000;

impl<'a> Execution<'a, '_> {
    /// Waits for all caches that a program wants for itself.
    pub(super) fn lock_caches(
        &self,
        step: &Step,
        exec: &Exec,
        mounted: &mut Mounted<'a>,
    ) -> Result<(), BuildError> {
        let mut names = BTreeSet::new();
        for mount in &exec.mounts {
            if let Request::Cache { sharing: CacheSharing::Locked, .. } = mount {
                names.extend(self.cache_name(step, mount)?);
            }
        }
        for name in names {
            mounted.locks.push(self.engine.store.lock(&format!("cache-mount-{name}"), false)?);
        }
        Ok(())
    }

    /// Shows one; it is made when there is none.
    pub(super) fn mount_cache(
        &self,
        step: &Step,
        request: &Request,
        room: &Path,
        mounted: &mut Mounted<'a>,
    ) -> Result<(), BuildError> {
        let Request::Cache { target, sharing, read_only, .. } = request else { return Ok(()) };
        let Some(name) = self.cache_name(step, request)? else { return Ok(()) };
        let place = match sharing {
            CacheSharing::Shared | CacheSharing::Locked => self.caches().join(&name),
            CacheSharing::Private => self.private_cache(&name, mounted)?,
        };
        self.make_cache(step, request, room, &place)?;
        let bind = super::mount(MountKind::Bind, &place.to_string_lossy(), &absolute(step, target));
        mounted.mounts.push(Mount { read_only: *read_only, ..bind });
        Ok(())
    }

    fn cache_name(&self, step: &Step, request: &Request) -> Result<Option<String>, BuildError> {
        let Request::Cache { id, source, source_path, .. } = request else { return Ok(None) };
        let namespace = self.options.programs.cache_namespace.as_ref();
        let id = &namespace.map_or_else(|| id.clone(), |namespace| format!("{namespace}\0{id}"));
        if !matches!(source, Input::Named(_) | Input::Local) {
            return Ok(Some(Digest::of(id).hex()));
        }
        let content = self.content(step, source, source_path)?;
        Ok(Some(Digest::of(format!("{id}\0{content}\0{source_path}")).hex()))
    }

    /// By one at a time, in a directory of the program's own.
    fn make_cache(
        &self,
        step: &Step,
        request: &Request,
        room: &Path,
        place: &Path,
    ) -> Result<(), BuildError> {
        let Request::Cache { source, source_path, mode, uid, gid, .. } = request else { return Ok(()) };
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let _turn = self.engine.store.lock(&format!("cache-mount-new-{name}"), false)?;
        if place.exists() {
            return Ok(());
        }
        let failed = |source| BuildError::File { path: place.to_owned(), source };
        let fresh = match source {
            Input::Scratch => {
                fs::DirBuilder::new().recursive(true).mode(0o755).create(room).map_err(failed)?;
                chown(room, Some(*uid), Some(*gid)).map_err(failed)?;
                fs::set_permissions(room, fs::Permissions::from_mode(*mode)).map_err(failed)?;
                room.to_owned()
            }
            input => self.copied(step, input, source_path, room)?,
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(self.caches()).map_err(failed)?;
        fs::rename(&fresh, place).map_err(failed)
    }

    /// The first one that nobody else has.
    fn private_cache(&self, name: &str, mounted: &mut Mounted<'a>) -> Result<PathBuf, BuildError> {
        for number in 0..MOST_PRIVATE {
            let lock = self.engine.store.try_lock(&format!("cache-mount-{name}-{number}"), false)?;
            if let Some(lock) = lock {
                mounted.locks.push(lock);
                return Ok(self.caches().join(format!("{name}-{number}")));
            }
        }
        Err(BuildError::Unsupported(format!("{MOST_PRIVATE} programs hold this private cache mount")))
    }

    fn caches(&self) -> PathBuf {
        self.engine.root().join("cache-mounts")
    }
}
