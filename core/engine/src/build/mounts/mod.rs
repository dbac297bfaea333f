//! RUN --mount: what a program sees besides its stage.
//!
//! | kind | what it is |
//! |---|---|
//! | bind of a stage or an image | its file system once more; what is written goes to a tree that nobody keeps |
//! | bind of a context | a copy, as `.dockerignore` holds for it too |
//! | cache | a directory that outlives the build, see `cache.rs` |
//! | tmpfs | memory |
//! | secret, ssh | a file or a socket in memory, see `private.rs` |
//!
//! What is mounted but the caches is gone when the program has ended, also after a crash: a copy is in
//! the program's own directory, and the rest hangs on descriptors. So a program that is run once more at
//! the same place, such as a shell where another failed, gets its mounts made anew; only what was written
//! to a bind is there still.

mod bind;
mod cache;
mod private;

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use wharf_model::build::{Command, Exec, Mount as Request};
use wharf_store::LockGuard;

use super::agent::Forward;
use super::execute::Execution;
use super::plan::Step;
use super::request::BuildError;
use crate::container::spec::View;
use crate::container::{Mount, MountKind};
use crate::volume::clean;
use bind::Tree;
use private::Private;

/// Where a script of its own is in a RUN; `/dev` is memory, so it leaves no trace.
pub(super) const SCRIPT: &str = "/dev/wharf-script";

/// Mounts, and what must be held while a program has them.
#[derive(Default)]
pub(super) struct Mounted<'a> {
    pub(super) mounts: Vec<Mount>,
    /// Of what is in `shown`.
    pub(super) views: Vec<View>,
    /// Variables that hold secrets, or say where they are.
    pub(super) env: Vec<(String, String)>,
    shown: Vec<Shown<'a>>,
    locks: Vec<LockGuard>,
}

/// What no path of the host leads to.
enum Shown<'a> {
    Tree(Tree<'a>),
    Private(Private),
}

/// What a program is handed: mounts, and who answers behind them.
#[derive(Default)]
pub(super) struct Opened {
    pub(super) mounts: Vec<OwnedFd>,
    forwards: Vec<Forward>,
}

impl<'a> Mounted<'a> {
    /// Where something is mounted.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        let views = self.views.iter().map(|view| view.target.as_str());
        self.mounts.iter().map(|mount| mount.target.as_str()).chain(views)
    }

    /// Whoever uses a cache holds these, too.
    pub(super) fn held(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.locks.iter().map(AsFd::as_fd)
    }

    /// Adds a view of something.
    fn show(&mut self, shown: Shown<'a>, inside: &str, target: String, read_only: bool) {
        let number = self.shown.len();
        self.shown.push(shown);
        self.views.push(View { target, number, inside: inside.to_owned(), read_only });
    }
}

impl<'a> Execution<'a, '_> {
    /// Prepares the mounts of a program below `room`.
    pub(super) fn mount_all(&self, step: &Step, exec: &Exec, room: &Path) -> Result<Mounted<'a>, BuildError> {
        let mut mounted = Mounted::default();
        if let Command::Script(text) = &exec.command {
            mounted.mounts.push(script(text, room)?);
        }
        self.lock_caches(step, exec, &mut mounted)?;
        for (index, request) in exec.mounts.iter().enumerate() {
            let place = room.join(format!("mount-{index}"));
            match request {
                Request::Tmpfs { target, size } => {
                    mounted.mounts.push(tmpfs(&absolute(step, target), *size));
                }
                Request::Bind { source, source_path, target, writable } => {
                    let target = absolute(step, target);
                    self.bind(step, (source, source_path), (target, *writable), &place, &mut mounted)?;
                }
                Request::Cache { .. } => self.mount_cache(step, request, &place, &mut mounted)?,
                Request::Secret { .. } => self.mount_secret(step, request, &mut mounted)?,
                Request::Ssh { .. } => self.mount_agent(step, request, &mut mounted)?,
            }
        }
        mounted.mounts.sort_by_key(|mount| mount.target.matches('/').count());
        Ok(mounted)
    }

    /// Makes the mounts that are handed over, for one program.
    pub(super) fn open_mounts(&self, mounted: &Mounted<'a>) -> Result<Opened, BuildError> {
        let mut opened = Opened::default();
        for shown in &mounted.shown {
            let mount = match shown {
                Shown::Tree(tree) => self.open_tree(tree)?,
                Shown::Private(private) => {
                    let (mount, forward) = private.open()?;
                    opened.forwards.extend(forward);
                    mount
                }
            };
            opened.mounts.push(mount);
        }
        Ok(opened)
    }

    /// What a program's result depends on besides the words of its mounts. Of a secret and of an agent
    /// that is nothing, as in BuildKit: who has another password gets the same image.
    pub(super) fn mount_parts(
        &self,
        step: &Step,
        exec: &Exec,
        parts: &mut super::key::Parts,
    ) -> Result<(), BuildError> {
        for mount in &exec.mounts {
            if let Request::Bind { source, source_path, .. } = mount {
                let content = self.content(step, source, source_path)?;
                parts.add(format!("content of {source_path}"), content);
            }
        }
        Ok(())
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

/// Programs are built in memory, and then run.
fn tmpfs(target: &str, size: Option<u64>) -> Mount {
    let size = size.map(|bytes| format!("size={bytes}"));
    let options = ["exec".to_owned()].into_iter().chain(size).collect();
    Mount { options, ..mount(MountKind::Tmpfs, "", target) }
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
