//! `type=bind`: files of a stage, an image or a context.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use wharf_model::Digest;
use wharf_model::build::{Copy, Input};
use wharf_runtime::mount::{self, RootMount};
use wharf_store::CacheEntry;

use super::super::copy::{self, NoUnpack, Target};
use super::super::execute::{Execution, Trees};
use super::super::plan::{Base, Step};
use super::super::request::BuildError;
use super::super::source::{Kind, Origin, Source, kind_of};
use super::super::tree::{Chain, Work};
use super::{Mounted, Shown};
use crate::container::{Mount, MountKind};
use crate::home;
use crate::snapshot;
use crate::volume::clean;

/// The file system of a stage or an image.
pub(super) enum Tree<'a> {
    /// As it is.
    Whole(Chain),
    /// What is written to it stays in a tree of its own, and goes with that.
    Written(Work<'a>),
}

impl<'a> Execution<'a, '_> {
    /// Shows a path of an input.
    pub(super) fn bind(
        &self,
        step: &Step,
        (input, path): (&Input, &str),
        (target, writable): (String, bool),
        place: &Path,
        mounted: &mut Mounted<'a>,
    ) -> Result<(), BuildError> {
        let Some(chain) = self.chain_of(step, input)? else {
            let from = self.copied(step, input, path, place)?;
            let bind = super::mount(MountKind::Bind, &from.to_string_lossy(), &target);
            mounted.mounts.push(Mount { read_only: !writable, ..bind });
            return Ok(());
        };
        let tree = if writable { Tree::Written(self.work_on(&chain)?) } else { Tree::Whole(chain) };
        mounted.show(Shown::Tree(tree), &clean(path), target, !writable);
        Ok(())
    }

    /// A mount of it.
    pub(super) fn open_tree(&self, tree: &Tree<'_>) -> Result<OwnedFd, BuildError> {
        let mounts = match tree {
            Tree::Written(work) => work.mounts(false)?,
            Tree::Whole(chain) => self.mounts_of(chain)?,
        };
        Ok(mount::visible(&mounts)?)
    }

    fn mounts_of(&self, chain: &Chain) -> Result<Vec<RootMount>, BuildError> {
        let Some((top, below)) = chain.layers.split_last() else {
            drop(self.engine.empty_directory()?);
            return Ok(vec![RootMount::Bind { source: self.engine.root().join("empty"), read_only: true }]);
        };
        self.engine.bring(self.imported, chain)?;
        let parents = below.iter().rev().map(|layer| layer.chain_id.hex()).collect();
        Ok(self.snapshots()?.attach(&snapshot::layer(&top.chain_id.hex(), parents), true)?)
    }

    /// The layers of a stage or an image; `None` for whatever has to be copied.
    pub(super) fn chain_of(&self, step: &Step, input: &Input) -> Result<Option<Chain>, BuildError> {
        match input {
            Input::Named(name) if !matches!(step.named.get(name), Some(Base::Directory(_))) => {
                Ok(Some(self.named(step, name)?))
            }
            Input::Scratch => Ok(Some(Chain::default())),
            _ => Ok(None),
        }
    }

    /// What a path of an input holds. Of a tree of layers that is always the same, so it is looked at
    /// once; all of one is known without looking.
    pub(super) fn content(&self, step: &Step, input: &Input, path: &str) -> Result<String, BuildError> {
        let inside = clean(path);
        let chain = self.chain_of(step, input)?;
        let Some(chain) = chain.filter(|_| inside != "/") else {
            return self.input_digest(step, input, &literal(&inside));
        };
        let place = Digest::of(format!("content\0{}\0{inside}", chain.key()));
        if let Some(known) = self.engine.store.cache().get(&place)?
            && let Ok(known) = String::from_utf8(known.value)
        {
            return Ok(known);
        }
        let opened = self.open_source(step, input, &Trees::default())?;
        let digest = self.source(&opened).digest(&[literal(&inside)], &[], false)?.to_string();
        let entry = CacheEntry { chain_id: None, value: digest.clone().into_bytes() };
        self.engine.store.cache().put(&place, &entry)?;
        Ok(digest)
    }

    /// A copy of one path of an input below `place`.
    pub(super) fn copied(
        &self,
        step: &Step,
        input: &Input,
        path: &str,
        place: &Path,
    ) -> Result<PathBuf, BuildError> {
        let failed = |source: io::Error| BuildError::File { path: place.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o755).create(place).map_err(failed)?;
        let into = home::open(place).map_err(|error| failed(error.into()))?;
        let opened = self.open_source(step, input, &Trees::default())?;
        let inside = clean(path);
        let name = inside.rsplit('/').next().filter(|name| !name.is_empty());
        let request = Copy {
            base: Input::Scratch,
            source: input.clone(),
            paths: vec![literal(&inside)],
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
        let source = self.source(&opened);
        copy::copy(&request, &source, &target, &mut NoUnpack)?;
        let copy = name.map_or_else(|| place.to_owned(), |name| place.join(name));
        as_the_original(&copy, &source, &inside).map_err(failed)?;
        Ok(copy)
    }
}

/// A path as a pattern that matches nothing else.
fn literal(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for letter in path.chars() {
        if matches!(letter, '*' | '?' | '[' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// The directory that a COPY is made into has a mode of its own; one that is shown has that of the
/// original, and of a stage or an image the owner.
fn as_the_original(copy: &Path, source: &Source<'_>, inside: &str) -> io::Result<()> {
    let Ok((_, stat)) = source.find(inside) else { return Ok(()) };
    // Where a context lies is no part of it, and neither is the mode of that directory.
    let is_context = inside == "/" && source.origin == Origin::Context;
    if is_context || kind_of(&stat) != Some(Kind::Directory) {
        return Ok(());
    }
    if source.origin == Origin::Rootfs {
        chown(copy, Some(stat.st_uid), Some(stat.st_gid))?;
    }
    fs::set_permissions(copy, fs::Permissions::from_mode(stat.st_mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_pattern() {
        assert_eq!(literal("/a/b.c"), "/a/b.c");
        assert_eq!(literal("/[a]*?\\"), "/\\[a]\\*\\?\\\\");
    }
}
