//! `commit`: what a container changed becomes a layer, and an image of it.
//!
//! The changes are written as a layer's tar and unpacked as one at the same time, so the container goes on
//! with its own directory. Its image may be gone: the layers below are held by the container.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use jiff::Timestamp;
use wharf_model::image::{History, ImageConfig};
use wharf_model::storage::LayerFormat;
use wharf_model::{Diagnostic, Digest, Platform, Reference, ReferenceError};
use wharf_runtime::cgroup::{Cgroup, CgroupError};
use wharf_runtime::monitor::Status;
use wharf_runtime::mount::{self, MountError};
use wharf_store::archive::{Arrival, LoadError, place_layer};
use wharf_store::layer::{self, DiffError, Diffed, Times};
use wharf_store::{AttachError, BlobError, CommitError, Layer, RecordError};

use super::{Container, LookupError, cgroup_name};
use crate::Engine;
use crate::build::BuildFailure;
use crate::event::Entry;
use crate::home::Home;
use crate::hook::HookError;
use crate::snapshot::{self, SnapshotError, Snapshots};

/// How a container becomes an image.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// A name for it.
    pub name: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// Why, for its history.
    pub message: Option<String>,
    /// Dockerfile instructions that change the config.
    pub changes: Vec<String>,
    /// Hold its processes still meanwhile.
    pub pause: bool,
    /// Seconds since 1970, instead of now.
    pub epoch: Option<i64>,
}

/// An image that was made of a container.
#[derive(Debug)]
pub struct Committed {
    /// Its id.
    pub id: Digest,
    /// What hooks have to say.
    pub warnings: Vec<Diagnostic>,
    /// The container had changed nothing.
    pub is_empty: bool,
}

/// Why no image was made of a container. The container is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitContainerError {
    /// No such container.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The image's name is not one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// A `--change`.
    #[error(transparent)]
    Change(#[from] Box<BuildFailure>),
    /// It can not be held still.
    #[error("cannot pause the container")]
    Pause(#[from] CgroupError),
    /// Its root file system.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// It can not be looked into.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Something in it has no form in an image.
    #[error("cannot make a layer of the container's changes")]
    Diff(#[from] DiffError),
    /// The layer can not be kept.
    #[error("cannot keep the container's changes")]
    Layer(#[from] LoadError),
    /// Its tar can not be kept, or passed on.
    #[error("cannot keep the container's changes")]
    Blob(#[from] BlobError),
    /// No pipe.
    #[error("cannot make a pipe")]
    Pipe(#[source] io::Error),
    /// A directory.
    #[error("cannot open {}", .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A hook refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The image can not be kept.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// What hooks attach to it can not be kept.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The records.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl CommitContainerError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Hook(error) => error.next_step(),
            Self::Change(failure) => failure.hint(),
            _ => None,
        }
    }
}

/// Processes that are held still until this is dropped.
struct Paused(Cgroup);

impl Drop for Paused {
    fn drop(&mut self) {
        let _ = self.0.thaw();
    }
}

impl Engine {
    /// Makes an image of a container as it is now.
    ///
    /// # Errors
    /// When there is none, something in it has no form in an image, a hook refuses, or the disk does; no
    /// image is left then.
    pub fn commit_container(
        &self,
        name: &str,
        options: &CommitOptions,
    ) -> Result<Committed, CommitContainerError> {
        let names: Vec<Reference> =
            options.name.as_deref().map(Reference::to_give).transpose()?.into_iter().collect();
        let container = self.container(name)?;
        let config = self.changed(container.config.clone(), &options.changes).map_err(Box::new)?;
        self.sweep_unfinished();
        let made = self.make_image(&container, config, &names, options);
        // Of what failed nothing is left, nor a layer without anything in it.
        if made.as_ref().map_or(true, |committed| committed.is_empty) {
            self.throw_away();
        }
        made
    }

    fn make_image(
        &self,
        container: &Container,
        run: wharf_model::image::RunConfig,
        names: &[Reference],
        options: &CommitOptions,
    ) -> Result<Committed, CommitContainerError> {
        let _guard = self.store.guard()?;
        let snapshots = self.snapshots(&container.storage)?;
        let below = self.layers_below(container)?;
        let layer = self.changes_as_layer(container, &snapshots, &below, options.pause)?;
        let mut config = self.config_of(container)?;
        config.config = run;
        config.rootfs.diff_ids = below.iter().chain(&layer).map(|layer| layer.diff_id).collect();
        describe(&mut config, container, options, layer.is_none());
        let shown: Vec<String> = names.iter().map(Reference::familiar).collect();
        let tree = || self.open_layers(&snapshots, &below, layer.as_ref());
        let (warnings, attached) = if self.judges_commits() {
            self.ask_about_image(&shown, &mut config, tree()?)?
        } else {
            Default::default()
        };
        let id = self.store.commit(&config, names)?;
        self.attach_all(&id, &attached, None)?;
        let committed = Entry::of(container, "commit");
        self.note(
            [committed].into_iter().chain(shown.into_iter().map(|it| Entry::image("tag", &id, Some(it)))),
        );
        Ok(Committed { id, warnings, is_empty: layer.is_none() })
    }

    /// The layers of its image, lowest first.
    fn layers_below(&self, container: &Container) -> Result<Vec<Layer>, CommitContainerError> {
        let ids = container.layers.iter().rev().filter_map(|hex| Digest::from_hex(hex).ok());
        let missing = |id: Digest| CommitError::MissingLayer(id);
        ids.map(|id| Ok(self.store.layer(&id)?.ok_or_else(|| missing(id))?)).collect()
    }

    /// The config of its image; of one that is gone, an empty one.
    fn config_of(&self, container: &Container) -> Result<ImageConfig, RecordError> {
        let image = self.store.image(&container.image_id)?;
        let mut config = image.map_or_else(|| ImageConfig::empty(&Platform::host()), |image| image.config);
        crate::build::forget_cache(&mut config);
        Ok(config)
    }

    /// `None` when it changed nothing.
    fn changes_as_layer(
        &self,
        container: &Container,
        snapshots: &Snapshots<'_>,
        below: &[Layer],
        pause: bool,
    ) -> Result<Option<Layer>, CommitContainerError> {
        let running = matches!(self.status(container), Status::Running { .. });
        let paused = (running && pause).then(|| paused(&container.id)).transpose()?;
        let changes = snapshots.changes(&snapshot::container(&container.id, container.layers.clone()))?;
        let parent = below.last().map(|layer| layer.chain_id);
        let mut home = Home::new(snapshots);
        let (layer, diffed) = match snapshots.format() {
            LayerFormat::Overlay => self.piped(&changes, parent, &mut home)?,
            LayerFormat::Tree => {
                let tree = self.open_layers(snapshots, below, None)?;
                let path = self.root().to_owned();
                let tree = crate::home::readable(&tree).map_err(io::Error::from);
                let tree = tree.map_err(|source| CommitContainerError::Directory { path, source })?;
                self.kept_as_tar(&changes, &tree, parent, &mut home)?
            }
        };
        drop(paused);
        Ok((diffed.entries > 0).then_some(layer))
    }

    /// The tar of an overlay's layer can be made again from its directory, and is not kept.
    fn piped(
        &self,
        changes: &OwnedFd,
        parent: Option<Digest>,
        home: &mut Home<'_>,
    ) -> Result<(Layer, Diffed), CommitContainerError> {
        let (read, mut write) = io::pipe().map_err(CommitContainerError::Pipe)?;
        let arrival = Arrival { parent, ..Arrival::default() };
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                layer::diff(changes.as_fd(), None, LayerFormat::Overlay, &Times::KEEP, &mut write)
            });
            let placed = place_layer(&self.store, read, &arrival, home);
            match (writer.join(), placed) {
                (Ok(Ok(diffed)), Ok(layer)) => Ok((layer, diffed)),
                // Whoever reads no further has a better reason.
                (Ok(Err(DiffError::Write(_))), Err(error)) | (Ok(Ok(_)) | Err(_), Err(error)) => {
                    Err(error.into())
                }
                (Ok(Err(error)), _) => Err(error.into()),
                (Err(panic), Ok(_)) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// That of a whole tree could not be made again.
    fn kept_as_tar(
        &self,
        changes: &OwnedFd,
        below: &OwnedFd,
        parent: Option<Digest>,
        home: &mut Home<'_>,
    ) -> Result<(Layer, Diffed), CommitContainerError> {
        let mut blob = self.store.blobs().writer()?;
        let below = parent.map(|_| below.as_fd());
        let diffed = layer::diff(changes.as_fd(), below, LayerFormat::Tree, &Times::KEEP, &mut blob)?;
        let (digest, _) = blob.finish(Some((diffed.diff_id, diffed.tar_size)))?;
        let arrival = Arrival { parent, diff_id: Some(diffed.diff_id), blob: Some(digest) };
        let layer = place_layer(&self.store, self.store.blobs().open(&digest)?, &arrival, home)?;
        Ok((layer, diffed))
    }

    /// Layers as a directory that can be read.
    fn open_layers(
        &self,
        snapshots: &Snapshots<'_>,
        below: &[Layer],
        top: Option<&Layer>,
    ) -> Result<OwnedFd, CommitContainerError> {
        let all: Vec<String> = below.iter().chain(top).rev().map(|layer| layer.chain_id.hex()).collect();
        let Some((top, parents)) = all.split_first() else {
            let path = self.root().join("empty");
            let opened = std::fs::create_dir_all(&path)
                .and_then(|()| crate::home::open(&path).map_err(io::Error::from));
            return opened.map_err(|source| CommitContainerError::Directory { path, source });
        };
        let object = snapshot::layer(top, parents.to_vec());
        Ok(mount::detached(&snapshots.attach(&object, true)?)?)
    }
}

fn paused(id: &str) -> Result<Paused, CgroupError> {
    let group = Cgroup::open(&cgroup_name(id))?;
    group.freeze()?;
    Ok(Paused(group))
}

/// When, by whom and of what, as docker notes it.
fn describe(config: &mut ImageConfig, container: &Container, options: &CommitOptions, is_empty: bool) {
    let time = options.epoch.and_then(|epoch| Timestamp::from_second(epoch).ok());
    let created = Some(time.unwrap_or_else(Timestamp::now).to_string());
    config.created.clone_from(&created);
    config.author.clone_from(&options.author);
    config.history.push(History {
        created,
        created_by: Some(container.argv.join(" ")),
        author: options.author.clone(),
        comment: options.message.clone(),
        empty_layer: is_empty,
    });
}
