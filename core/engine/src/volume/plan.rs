//! From what the user and the image ask for to the mounts of a container.
//!
//! A user's mount hides the image's volume at the same target. Mounts are sorted so that parents
//! come before what is mounted inside them. Nothing is made until the container has its name.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::{MountRequest, VolumeError, record_error};
use crate::Engine;
use crate::container::{Container, Mount, MountKind};
use crate::volume::clean;

/// What is to be made once the container has its name.
#[derive(Debug, Default)]
pub struct Pending {
    binds: Vec<String>,
    volumes: Vec<PendingVolume>,
}

#[derive(Debug)]
pub(super) struct PendingVolume {
    pub(super) name: String,
    pub(super) target: String,
    pub(super) anonymous: bool,
    pub(super) copy: bool,
}

impl Engine {
    /// Decides about all mounts of a container and makes none of them.
    pub(crate) fn plan_mounts(
        &self,
        container: &mut Container,
        requests: &[MountRequest],
    ) -> Result<Pending, VolumeError> {
        let mut by_target: BTreeMap<String, MountRequest> = BTreeMap::new();
        for target in container.config.volumes.keys() {
            let target = clean(target);
            let fresh =
                MountRequest::Volume { name: None, target: target.clone(), read_only: false, no_copy: false };
            if target != "/" {
                by_target.insert(target, fresh);
            }
        }
        let mut given = std::collections::BTreeSet::new();
        for request in requests {
            if !given.insert(request.target().to_owned()) {
                return Err(VolumeError::Duplicate(request.target().to_owned()));
            }
            by_target.insert(request.target().to_owned(), request.clone());
        }
        let mut pending = Pending::default();
        for request in by_target.into_values() {
            container.mounts.push(self.plan_mount(request, &mut pending)?);
        }
        container.mounts.sort_by_key(|mount| mount.target.matches('/').count());
        Ok(pending)
    }

    fn plan_mount(&self, request: MountRequest, pending: &mut Pending) -> Result<Mount, VolumeError> {
        match request {
            MountRequest::Bind { source, target, read_only, propagation, create } => {
                match fs::metadata(&source) {
                    Ok(_) => {}
                    Err(_) if create => pending.binds.push(source.clone()),
                    Err(_) => return Err(VolumeError::NoSource(source)),
                }
                let resolved = resolved(&source);
                Ok(Mount { resolved, propagation, read_only, ..mount(MountKind::Bind, source, target) })
            }
            MountRequest::Volume { name, target, read_only, no_copy } => {
                let anonymous = name.is_none();
                let name = name.map_or_else(fresh_name, Ok)?;
                let source = self.volume_path(&name).to_string_lossy().into_owned();
                pending.volumes.push(PendingVolume {
                    name: name.clone(),
                    target: target.clone(),
                    anonymous,
                    copy: !no_copy,
                });
                Ok(Mount { name, read_only, anonymous, ..mount(MountKind::Volume, source, target) })
            }
            MountRequest::Tmpfs { target, options } => {
                Ok(Mount { options, ..mount(MountKind::Tmpfs, String::new(), target) })
            }
        }
    }

    /// Makes what [`Self::plan_mounts`] found missing, and fills fresh volumes.
    pub(crate) fn make_volumes(&self, container: &Container, pending: Pending) -> Result<(), VolumeError> {
        for source in &pending.binds {
            make_directory(Path::new(source))?;
        }
        let mut fresh = Vec::new();
        for volume in pending.volumes {
            let _guard = self.lock_volume(&volume.name)?;
            self.ensure_volume(&volume.name, volume.anonymous, &[])?;
            let used = self.store.volumes().add_user(&volume.name, &container.id);
            used.map_err(|source| record_error(&volume.name, source))?;
            if volume.copy && self.is_empty(&volume.name)? {
                fresh.push(volume);
            }
        }
        self.fill_volumes(container, &fresh)
    }

    fn lock_volume(&self, name: &str) -> Result<wharf_store::LockGuard, VolumeError> {
        self.store.lock(&format!("volume-{name}"), false).map_err(|source| record_error(name, source))
    }

    fn is_empty(&self, name: &str) -> Result<bool, VolumeError> {
        let path = self.volume_path(name);
        match fs::read_dir(&path) {
            Ok(mut entries) => Ok(entries.next().is_none()),
            Err(source) => Err(VolumeError::Directory { path, source }),
        }
    }
}

/// Without links, as far as the path is there.
pub(crate) fn resolved(source: &str) -> String {
    let path = Path::new(source);
    let there = path.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    let Some((above, real)) = there else { return clean(source) };
    let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
    clean(&real.join(rest).to_string_lossy())
}

fn mount(kind: MountKind, source: String, target: String) -> Mount {
    Mount {
        kind,
        name: String::new(),
        source,
        resolved: String::new(),
        target,
        read_only: false,
        propagation: if kind == MountKind::Bind { "rprivate".into() } else { String::new() },
        anonymous: false,
        options: Vec::new(),
    }
}

pub(super) fn fresh_name() -> Result<String, VolumeError> {
    crate::container::fresh_id()
        .map_err(|source| VolumeError::Directory { path: "/dev/urandom".into(), source })
}

/// As docker does for `-v`: a missing source becomes a directory of root's.
fn make_directory(path: &Path) -> Result<(), VolumeError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|source| VolumeError::Directory { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_without_links() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(real.join("real")).unwrap();
        std::os::unix::fs::symlink("real", real.join("link")).unwrap();
        for (source, expected) in
            [("link", "real"), ("link/new/x", "real/new/x"), ("real/../link", "real"), ("new", "new")]
        {
            let source = real.join(source);
            assert_eq!(resolved(source.to_str().unwrap()), real.join(expected).to_str().unwrap());
        }
    }
}
