//! Directory trees while a build goes on: layers one above the other, a tree that is being
//! changed, and what plugins see of it all while they plan.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use wharf_model::storage::{LayerFormat, Object};
use wharf_model::{Digest, Failure, FailureKind, Platform};
use wharf_plugin::{BuildContext, Entry, ResolvedImage, Root};
use wharf_runtime::mount::{self, RootMount};
use wharf_store::layer::{self, Diffed, Times};
use wharf_store::{Image, Layer};

use super::context::Context;
use super::look::{self, failure};
use super::named::Given;
use super::plan::Images;
use super::request::BuildError;
use super::stage::State;
use super::unchanged;
use crate::Engine;
use crate::container::fresh_id;
use crate::snapshot::{self, Snapshots};
use crate::unfinished::{Unfinished, turn};

/// An uncompressed layer (OCI image spec, "media types").
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// A root file system as its layers, lowest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    pub(super) layers: Vec<Layer>,
}

impl Chain {
    /// What the files are: the chain id of the topmost layer.
    pub(super) fn key(&self) -> String {
        self.layers.last().map_or_else(|| "scratch".to_owned(), |layer| layer.chain_id.to_string())
    }

    pub(super) fn top(&self) -> Option<&Digest> {
        self.layers.last().map(|layer| &layer.chain_id)
    }

    /// For a storage driver: topmost first.
    fn parents(&self) -> Vec<String> {
        self.layers.iter().rev().map(|layer| layer.chain_id.hex()).collect()
    }

    /// With one more layer on top.
    pub(super) fn with(&self, layer: Layer) -> Self {
        let mut layers = self.layers.clone();
        layers.push(layer);
        Self { layers }
    }

    /// The one that a step on top of this left, by its topmost layer: mostly this and the layer. But a plugin
    /// may put a stage on other files than it stood on; then the layers below are looked up by their chain
    /// ids. Nothing when one is missing.
    pub(super) fn ending_in<E>(
        &self,
        layer: Layer,
        find: impl Fn(&Digest) -> Result<Option<Layer>, E>,
    ) -> Result<Option<Self>, E> {
        if layer.parent.as_ref() == self.top() {
            return Ok(Some(self.with(layer)));
        }
        let mut next = layer.parent;
        let mut layers = vec![layer];
        while let Some(chain_id) = next {
            let Some(below) = find(&chain_id)? else { return Ok(None) };
            next = below.parent;
            layers.push(below);
        }
        layers.reverse();
        Ok(Some(Self { layers }))
    }
}

/// A tree that a step changes, on top of a chain. Dropped without [`Work::finish`], it is removed;
/// when even that can not be, the next build finds the claim on it.
pub(super) struct Work<'a> {
    snapshots: Arc<Snapshots<'a>>,
    engine: &'a Engine,
    object: Object,
    pub(super) base: Chain,
    claim: Option<Unfinished>,
}

impl<'a> Work<'a> {
    pub(super) fn on(
        engine: &'a Engine,
        snapshots: Arc<Snapshots<'a>>,
        base: &Chain,
    ) -> Result<Self, BuildError> {
        let random = |source| BuildError::File { path: "/dev/urandom".into(), source };
        let object =
            snapshot::container(&format!("build-{}", &fresh_id().map_err(random)?[..16]), base.parents());
        let claim = Unfinished::tree(&engine.store, snapshots.driver(), &object)?;
        let work = Self { snapshots, engine, object, base: base.clone(), claim: Some(claim) };
        work.snapshots.create(&work.object)?;
        Ok(work)
    }

    /// The tree's name among the driver's.
    pub(super) fn id(&self) -> &str {
        &self.object.id
    }

    /// Held by whoever works on the tree.
    pub(super) fn claim(&self) -> Option<BorrowedFd<'_>> {
        self.claim.as_ref().map(AsFd::as_fd)
    }

    /// How it is mounted.
    pub(super) fn mounts(&self, read_only: bool) -> Result<Vec<RootMount>, BuildError> {
        Ok(self.snapshots.attach(&self.object, read_only)?)
    }

    /// The whole tree as a directory that nobody else sees.
    pub(super) fn open(&self, read_only: bool) -> Result<OwnedFd, BuildError> {
        Ok(mount::detached(&self.mounts(read_only)?)?)
    }

    /// Directories that are only there because something was in them for a moment do not count.
    pub(super) fn forget_unchanged<'p>(
        &self,
        paths: impl Iterator<Item = &'p str>,
    ) -> Result<(), BuildError> {
        if self.snapshots.format() == LayerFormat::Tree {
            return Ok(()); // it is compared with the tree below
        }
        let changes = self.snapshots.changes(&self.object)?;
        let below = self.engine.open_chain(&self.snapshots, &self.base)?;
        unchanged::forget(changes.as_fd(), below.as_fd(), paths);
        Ok(())
    }

    /// The changes as a layer on top of the chain; the same chain when nothing changed.
    pub(super) fn finish(mut self, times: &Times) -> Result<Chain, BuildError> {
        let changes = self.snapshots.changes(&self.object)?;
        let (diffed, blob) = match self.snapshots.format() {
            LayerFormat::Overlay => (self.diff(&changes, None, times, &mut std::io::sink())?, None),
            LayerFormat::Tree => self.diff_kept(&changes, times)?,
        };
        // A disk is whole once nobody looks at it any more.
        drop(changes);
        if diffed.entries == 0 {
            return Ok(self.base.clone());
        }
        let chain_id = layer::chain_id(self.base.top(), &diffed.diff_id);
        let known = self.engine.store.layer(&chain_id)?;
        let layer = known.unwrap_or(Layer {
            diff_id: diffed.diff_id,
            chain_id,
            parent: self.base.top().copied(),
            size: diffed.size,
            tar_size: diffed.tar_size,
            media_type: blob.map(|_| TAR.to_owned()),
            blob,
            driver: self.snapshots.driver().to_owned(),
        });
        self.keep(&layer)?;
        Ok(self.base.with(layer))
    }

    /// Moved to its place, then recorded. The record counts for this boot only until the commit of
    /// an image syncs the file system, so nothing waits for the disk between two steps.
    fn keep(&mut self, layer: &Layer) -> Result<(), BuildError> {
        let _turn = self.engine.store.lock(&turn(&layer.chain_id), false)?;
        if self.engine.store.layer(&layer.chain_id)?.is_some() {
            return Ok(());
        }
        let object = snapshot::layer(&layer.chain_id.hex(), self.base.parents());
        if let Some(claim) = &mut self.claim {
            claim.becomes(&layer.chain_id)?;
        }
        self.snapshots.remove(&object)?;
        self.snapshots.commit(&self.object, &object)?;
        self.engine.store.record_layer(layer).map_err(layer_error)
    }

    /// A whole tree does not tell which of its directories a step touched, so its tar could not be
    /// made again from it: it is kept.
    fn diff_kept(&self, changes: &OwnedFd, times: &Times) -> Result<(Diffed, Option<Digest>), BuildError> {
        let parent = self.parent_tree()?;
        let mut blob = self.engine.store.blobs().writer().map_err(layer_error)?;
        let diffed = self.diff(changes, parent.as_ref(), times, &mut blob)?;
        if diffed.entries == 0 {
            return Ok((diffed, None));
        }
        let (digest, _) = blob.finish(Some((diffed.diff_id, diffed.tar_size))).map_err(layer_error)?;
        Ok((diffed, Some(digest)))
    }

    fn diff(
        &self,
        changes: &OwnedFd,
        parent: Option<&OwnedFd>,
        times: &Times,
        out: &mut dyn std::io::Write,
    ) -> Result<Diffed, BuildError> {
        let parent = parent.map(AsFd::as_fd);
        layer::diff(changes.as_fd(), parent, self.snapshots.format(), times, out).map_err(layer_error)
    }

    fn parent_tree(&self) -> Result<Option<OwnedFd>, BuildError> {
        let Some((top, below)) = self.base.layers.split_last() else { return Ok(None) };
        let parents = below.iter().rev().map(|layer| layer.chain_id.hex()).collect();
        Ok(Some(self.snapshots.changes(&snapshot::layer(&top.chain_id.hex(), parents))?))
    }
}

/// After a commit, what is left is an empty shell.
impl Drop for Work<'_> {
    fn drop(&mut self) {
        let removed = self.snapshots.remove(&self.object);
        if let (Ok(()), Some(claim)) = (removed, self.claim.take()) {
            claim.done();
        }
    }
}

fn layer_error(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BuildError {
    BuildError::Layer(error.into())
}

impl Engine {
    /// A chain as a directory that can be read; an empty one when there are no layers.
    pub(super) fn open_chain(&self, snapshots: &Snapshots<'_>, chain: &Chain) -> Result<OwnedFd, BuildError> {
        let Some((top, below)) = chain.layers.split_last() else { return self.empty_directory() };
        let parents = below.iter().rev().map(|layer| layer.chain_id.hex()).collect();
        let object = snapshot::layer(&top.chain_id.hex(), parents);
        Ok(mount::detached(&snapshots.attach(&object, true)?)?)
    }

    /// A directory with nothing in it.
    pub(super) fn empty_directory(&self) -> Result<OwnedFd, BuildError> {
        let path = self.root().join("empty");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || rustix::fs::open(&path, flags, Mode::empty());
        let made = std::fs::create_dir_all(&path).and_then(|()| open().map_err(Into::into));
        made.map_err(|source| BuildError::File { path: path.clone(), source })
    }
}

/// What a plugin sees while it plans.
pub(super) struct View<'a> {
    pub(super) images: &'a dyn Images,
    pub(super) context: &'a Context,
    pub(super) state: &'a State,
}

impl View<'_> {
    fn local(&self, root: &Root) -> Result<&Context, Failure> {
        match root {
            Root::Local => Ok(self.context),
            Root::Named(name) => match self.context.given(name) {
                Some(Given::Directory(context)) => Ok(context),
                Some(Given::Image { .. }) => {
                    Err(failure(FailureKind::NotFound, format!("build context `{name}` is an image")))
                }
                None => Err(failure(FailureKind::NotFound, format!("no build context named `{name}`"))),
            },
        }
    }
}

impl BuildContext for View<'_> {
    fn target_platform(&mut self) -> Platform {
        self.state.config.platform()
    }

    fn arg(&mut self, name: &str) -> Option<String> {
        self.state.args.get(name).cloned()
    }

    fn env(&mut self, name: &str) -> Option<String> {
        self.state.config.config.env(name).map(str::to_owned)
    }

    fn working_dir(&mut self) -> String {
        self.state.working_dir().to_owned()
    }

    fn user(&mut self) -> String {
        self.state.config.config.user.clone()
    }

    fn shell(&mut self) -> Vec<String> {
        self.state.shell()
    }

    fn stat(&mut self, root: &Root, path: &str) -> Result<Option<Entry>, Failure> {
        look::stat(self.local(root)?, path)
    }

    fn read(&mut self, root: &Root, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        look::read(self.local(root)?, path, limit)
    }

    fn glob(&mut self, root: &Root, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
        look::glob(self.local(root)?, patterns, limit)
    }

    fn resolve_image(
        &mut self,
        reference: &str,
        platform: Option<&Platform>,
    ) -> Result<ResolvedImage, Failure> {
        let image = match self.context.given(reference) {
            Some(Given::Image { image, .. }) => Ok(Image::clone(image)),
            _ => self.images.base_image(reference, platform),
        };
        let image = image.map_err(|error| failure(FailureKind::NotFound, error.to_string()))?;
        let config = &image.config.config;
        let pair = |pair: &String| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        };
        Ok(ResolvedImage {
            digest: image.id,
            platform: image.config.platform(),
            env: config.env.iter().map(pair).collect(),
            user: config.user.clone(),
            working_dir: config.working_dir.clone(),
            labels: config.labels.clone().into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(parent: Option<&Layer>, content: &str) -> Layer {
        let (diff_id, parent) = (Digest::of(content), parent.map(|below| below.chain_id));
        Layer {
            diff_id,
            chain_id: layer::chain_id(parent.as_ref(), &diff_id),
            parent,
            size: 0,
            tar_size: 0,
            blob: None,
            media_type: None,
            driver: String::new(),
        }
    }

    #[test]
    fn what_a_step_left_is_found_whatever_it_stands_on() {
        let base = layer(None, "base");
        let on_base = layer(Some(&base), "a");
        let other = layer(None, "other");
        let on_other = layer(Some(&other), "a");
        let chain = Chain::default().with(base.clone());
        let find = |known: &[&Layer]| {
            let known: Vec<Layer> = known.iter().copied().cloned().collect();
            move |id: &Digest| Ok::<_, ()>(known.iter().find(|layer| layer.chain_id == *id).cloned())
        };
        let layers = |layer: &Layer, known: &[&Layer]| {
            chain.ending_in(layer.clone(), find(known)).unwrap().map(|chain| chain.layers)
        };
        assert_eq!(layers(&on_base, &[]), Some(vec![base, on_base.clone()]));
        assert_eq!(layers(&on_other, &[&other]), Some(vec![other.clone(), on_other.clone()]));
        assert_eq!(layers(&other, &[]), Some(vec![other]));
        assert_eq!(layers(&on_other, &[]), None);
    }
}
