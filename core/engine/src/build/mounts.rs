//! RUN --mount: what a program sees besides its stage.
//!
//! ```text
//! <root>/cache-mounts/<sha256 of the id>[-<n>]/    a cache mount; `-<n>` for private ones
//! ```
//!
//! A bind is a copy, as what is written there is thrown away and `.dockerignore` holds for it too.
//! A cache mount that is `locked` is held by one program at a time.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use wharf_model::Digest;
use wharf_model::build::{CacheSharing, Command, Copy, Exec, Input, Mount as Request};
use wharf_store::LockGuard;

use super::copy::{self, NoUnpack, Target};
use super::execute::{Execution, Trees};
use super::plan::Step;
use super::request::BuildError;
use crate::container::{Mount, MountKind};
use crate::home;
use crate::volume::clean;

/// Where a script of its own is in a RUN; `/dev` is memory, so it leaves no trace.
pub(super) const SCRIPT: &str = "/dev/wharf-script";

/// Mounts, and what must be held while a program has them.
#[derive(Default)]
pub(super) struct Mounted {
    pub(super) mounts: Vec<Mount>,
    locks: Vec<LockGuard>,
}

impl Execution<'_, '_> {
    /// Prepares the mounts of a program below `room`.
    pub(super) fn mount_all(&self, step: &Step, exec: &Exec, room: &Path) -> Result<Mounted, BuildError> {
        let mut mounted = Mounted::default();
        if let Command::Script(text) = &exec.command {
            mounted.mounts.push(script(text, room)?);
        }
        for (index, request) in exec.mounts.iter().enumerate() {
            let place = room.join(format!("mount-{index}"));
            match request {
                Request::Tmpfs { target, size } => mounted.mounts.push(Mount {
                    options: size.map(|bytes| format!("size={bytes}")).into_iter().collect(),
                    ..mount(MountKind::Tmpfs, "", &absolute(step, target))
                }),
                Request::Bind { source, source_path, target, writable } => {
                    let from = self.copied(step, source, source_path, &place)?;
                    let bind = mount(MountKind::Bind, &from, &absolute(step, target));
                    mounted.mounts.push(Mount { read_only: !writable, ..bind });
                }
                Request::Cache { .. } => self.mount_cache(step, request, &mut mounted)?,
                Request::Secret { id, required, .. } if *required => {
                    return Err(BuildError::Unsupported(format!(
                        "secret {id}: not found: no secrets were given"
                    )));
                }
                Request::Ssh { id, required, .. } if *required => {
                    return Err(BuildError::Unsupported(format!("ssh {id}: not found: no agent was given")));
                }
                Request::Secret { .. } | Request::Ssh { .. } => {}
            }
        }
        mounted.mounts.sort_by_key(|mount| mount.target.matches('/').count());
        Ok(mounted)
    }

    /// A copy of one path of an input; its own path on the host.
    fn copied(&self, step: &Step, input: &Input, path: &str, place: &Path) -> Result<String, BuildError> {
        let failed = |source: std::io::Error| BuildError::File { path: place.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(place).map_err(failed)?;
        let into = home::open(place).map_err(|error| failed(error.into()))?;
        let opened = self.open_source(step, input, &Trees::default())?;
        let inside = clean(path);
        let name = inside.rsplit('/').next().filter(|name| !name.is_empty());
        let request = Copy {
            base: Input::Scratch,
            source: input.clone(),
            paths: vec![inside.clone()],
            excludes: Vec::new(),
            dest: name.map_or_else(|| "/".to_owned(), |name| format!("/{name}")),
            owner: None,
            mode: None,
            unpack: false,
            parents: false,
            link: false,
        };
        let target =
            Target { root: into.as_fd(), accounts: into.as_fd(), working_dir: "/", epoch: i64::MAX >> 32 };
        copy::copy(&request, &self.source(&opened), &target, &mut NoUnpack)?;
        let from = name.map_or_else(|| place.to_owned(), |name| place.join(name));
        Ok(from.to_string_lossy().into_owned())
    }

    fn mount_cache(&self, step: &Step, request: &Request, mounted: &mut Mounted) -> Result<(), BuildError> {
        let Request::Cache { id, target, sharing, read_only, source, source_path, mode, uid, gid } = request
        else {
            return Ok(());
        };
        let name = Digest::of(id).hex();
        let place = match sharing {
            CacheSharing::Shared => self.caches().join(&name),
            CacheSharing::Locked => {
                mounted.locks.push(self.engine.store.lock(&format!("cache-mount-{name}"), false)?);
                self.caches().join(&name)
            }
            CacheSharing::Private => self.private(&name, mounted)?,
        };
        if !place.exists() {
            self.fresh_cache(step, (source, source_path), &place)?;
            let failed = |error: std::io::Error| BuildError::File { path: place.clone(), source: error };
            fs::set_permissions(&place, fs::Permissions::from_mode(*mode)).map_err(failed)?;
            chown(&place, Some(*uid), Some(*gid)).map_err(failed)?;
        }
        let bind = mount(MountKind::Bind, &place.to_string_lossy(), &absolute(step, target));
        mounted.mounts.push(Mount { read_only: *read_only, ..bind });
        Ok(())
    }

    fn fresh_cache(
        &self,
        step: &Step,
        (input, path): (&Input, &str),
        place: &Path,
    ) -> Result<(), BuildError> {
        match input {
            Input::Scratch => fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(place)
                .map_err(|source| BuildError::File { path: place.to_owned(), source }),
            input => self.copied(step, input, path, place).map(drop),
        }
    }

    /// The first one that nobody else has.
    fn private(&self, name: &str, mounted: &mut Mounted) -> Result<PathBuf, BuildError> {
        for number in 0..1000 {
            if let Some(lock) = self.engine.store.try_lock(&format!("cache-mount-{name}-{number}"), false)? {
                mounted.locks.push(lock);
                return Ok(self.caches().join(format!("{name}-{number}")));
            }
        }
        Err(BuildError::Unsupported("a thousand builds hold this private cache mount".to_owned()))
    }

    fn caches(&self) -> PathBuf {
        self.engine.root().join("cache-mounts")
    }
}

/// Relative to the WORKDIR.
fn absolute(step: &Step, target: &str) -> String {
    if target.starts_with('/') {
        clean(target)
    } else {
        clean(&format!("{}/{target}", step.state.working_dir()))
    }
}

fn script(text: &str, room: &Path) -> Result<Mount, BuildError> {
    let path = room.join("script");
    let failed = |source| BuildError::File { path: path.clone(), source };
    fs::write(&path, text).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    Ok(Mount { read_only: true, ..mount(MountKind::Bind, &path.to_string_lossy(), SCRIPT) })
}

fn mount(kind: MountKind, source: &str, target: &str) -> Mount {
    Mount {
        kind,
        name: String::new(),
        source: source.to_owned(),
        resolved: String::new(),
        target: target.to_owned(),
        read_only: false,
        propagation: String::new(),
        anonymous: false,
        options: Vec::new(),
    }
}
