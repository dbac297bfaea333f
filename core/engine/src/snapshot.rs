//! Directory trees of layers and containers, kept by a storage driver.
//!
//! A driver answers with a plan; this module carries it out below the three directories that the
//! core keeps for that driver:
//!
//! ```text
//! <root>/storage/<driver>/layer/...       what an image layer changed, or its whole tree
//! <root>/storage/<driver>/container/...   what a container changed
//! <root>/storage/<driver>/volume/...      reserved for drivers that keep volumes
//! ```
//!
//! A plan is carried out whole or not at all: when a step fails, the steps before it are undone
//! in reverse order. Trees are removed last, when nothing can fail any more. The driver's own
//! state changes after the steps.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharf_model::storage::{
    Area, Image, LayerFormat, Object, Rooted, StorageAction, StorageMount, StoragePlan,
};
use wharf_plugin::{PluginError, Plugins, StateView, Storage};
use wharf_runtime::disk::DiskError;
use wharf_runtime::mount::RootMount;
use wharf_runtime::tree;
use wharf_store::Store;

mod apart;
mod disk;

use self::apart::Apart;
use crate::event::{self, Asker, Entry, Kind};
use crate::{Engine, home};

/// Why a tree could not be made, mounted or removed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// No plugin of that name.
    #[error("no storage driver named `{name}`")]
    UnknownDriver {
        /// As the config or a record names it.
        name: String,
    },
    /// The driver refused or failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A step failed.
    #[error("{step}: {path}", path = .path.display())]
    Step {
        /// What was to be done.
        step: String,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A tree could not be copied or removed.
    #[error("{step}")]
    Tree {
        /// What was to be done.
        step: String,
        /// Why not.
        source: tree::TreeError,
    },
    /// A disk could not be made, mounted or copied.
    #[error("{step}")]
    Disk {
        /// What was to be done.
        step: String,
        /// Why not.
        source: DiskError,
    },
    /// The driver says that its objects are disks, and may not.
    #[error("storage driver `{driver}` has no right to mount disks")]
    NoRight {
        /// Which driver.
        driver: String,
    },
    /// The driver asks for something that this engine does not do.
    #[error("storage driver `{driver}` asks for the unknown operation `{name}`")]
    Extension {
        /// Which driver.
        driver: String,
        /// Which operation.
        name: String,
    },
    /// The driver answered an attach with no mount.
    #[error("storage driver `{driver}` did not say how `{id}` is mounted")]
    NoMount {
        /// Which driver.
        driver: String,
        /// Which object.
        id: String,
    },
    /// A test of a driver wanted it so.
    #[error("stopped after {steps} steps, as a test asked")]
    Stopped {
        /// How many were done, and undone by now.
        steps: usize,
    },
    /// The driver's state could not be kept.
    #[error("cannot keep the state of storage driver `{driver}`")]
    State {
        /// Which driver.
        driver: String,
        /// Why not.
        source: wharf_store::RecordError,
    },
}

impl SnapshotError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Plugin(error) => error.next_step(),
            Self::Disk { source, .. } => source.next_step(),
            Self::NoRight { driver } => {
                Some(format!("[plugin.{driver}]\ngrants.ops = [\"mount-image\", ...]"))
            }
            _ => None,
        }
    }
}

impl Engine {
    /// The trees kept by the driver `name`.
    pub(crate) fn snapshots(&self, name: &str) -> Result<Snapshots<'_>, SnapshotError> {
        let unknown = || SnapshotError::UnknownDriver { name: name.to_owned() };
        let driver = self.plugins.storage(name, &|| self.facts()).ok_or_else(unknown)??;
        let root = self.options.root.join("storage").join(&driver.info().name);
        let plugins = Some(&self.plugins);
        Ok(Snapshots { root, driver, store: &self.store, plugins, fails_after: None })
    }

    /// The trees kept by the driver that the config names.
    pub(crate) fn default_snapshots(&self) -> Result<Snapshots<'_>, SnapshotError> {
        self.snapshots(&self.config().storage)
    }
}

/// The object of a layer: its chain id, and the chain ids below it, topmost first.
pub(crate) fn layer(chain_id: &str, parents: Vec<String>) -> Object {
    Object { id: chain_id.to_owned(), area: Area::Layer, parents, size_limit: None }
}

/// The object of a container's root file system on the layers of its image, topmost first.
pub(crate) fn container(id: &str, parents: Vec<String>) -> Object {
    Object { id: id.to_owned(), area: Area::Container, parents, size_limit: None }
}

/// The trees of one driver.
pub(crate) struct Snapshots<'a> {
    root: PathBuf,
    driver: Arc<dyn Storage>,
    store: &'a Store,
    /// What a plan's driver may is looked at once more before it is carried out; a driver that is tried
    /// out by itself has no grants but those that its plans were checked against.
    plugins: Option<&'a Plugins>,
    /// Fail every plan after so many steps.
    fails_after: Option<usize>,
}

impl<'a> Snapshots<'a> {
    /// A driver's trees in a directory of their own, for tests of the driver. With `fails_after` a
    /// plan fails after so many steps; after the last one, before the driver's state is changed.
    pub(crate) fn alone(
        root: PathBuf,
        driver: Arc<dyn Storage>,
        store: &'a Store,
        fails_after: Option<usize>,
    ) -> Self {
        Self { root, driver, store, plugins: None, fails_after }
    }
}

impl Snapshots<'_> {
    /// The driver's name.
    pub(crate) fn driver(&self) -> &str {
        &self.driver.info().name
    }

    /// The store that the drivers' states are in.
    pub(crate) fn store(&self) -> &Store {
        self.store
    }

    /// How layers hold deletions.
    pub(crate) fn format(&self) -> LayerFormat {
        self.driver.info().layers
    }

    /// Makes an object.
    pub(crate) fn create(&self, object: &Object) -> Result<(), SnapshotError> {
        let plan = self.driver.plan_create(&object.id, object, &self.state())?;
        self.carry_out(object, &plan)
    }

    /// Makes an object that many files come into, away from where others were.
    pub(crate) fn create_apart(&self, object: &Object) -> Result<(), SnapshotError> {
        let _apart = Apart::below(&self.area(object.area));
        self.create(object)
    }

    /// The directory a layer is unpacked into, or where a container's changes are. Where the driver
    /// keeps disks, the mount that it is in lasts as long as the descriptor.
    pub(crate) fn changes(&self, object: &Object) -> Result<OwnedFd, SnapshotError> {
        let location = self.driver.locate(object)?;
        match &location.image {
            Some(image) => {
                let disk = self.disk(image, location.changes.path(), object.area != Area::Layer);
                self.open_disk(&disk)
            }
            None => {
                let path = self.path(&location.changes);
                home::open(&path).map_err(|error| step("open directory", &path, error.into()))
            }
        }
    }

    /// How an object is mounted.
    pub(crate) fn attach(&self, object: &Object, read_only: bool) -> Result<Vec<RootMount>, SnapshotError> {
        let plan = self.driver.plan_attach(&object.id, object, read_only, &self.state())?;
        self.carry_out(object, &plan)?;
        let mounts: Vec<RootMount> = plan.mounts.iter().map(|mount| self.mount(mount)).collect();
        if mounts.is_empty() {
            return Err(SnapshotError::NoMount { driver: self.driver().to_owned(), id: object.id.clone() });
        }
        Ok(mounts)
    }

    /// What is to be done after an object's mounts are gone.
    pub(crate) fn detach(&self, object: &Object) -> Result<(), SnapshotError> {
        let plan = self.driver.plan_detach(&object.id, object, &self.state())?;
        self.carry_out(object, &plan)
    }

    /// Turns what a container changed into a layer.
    pub(crate) fn commit(&self, container: &Object, layer: &Object) -> Result<(), SnapshotError> {
        let plan = self.driver.plan_commit(&layer.id, container, layer, &self.state())?;
        self.carry_out(layer, &plan)
    }

    /// Removes an object; one that is not there is fine.
    pub(crate) fn remove(&self, object: &Object) -> Result<(), SnapshotError> {
        let plan = self.driver.plan_remove(&object.id, object, &self.state())?;
        self.carry_out(object, &plan)
    }

    fn state(&self) -> DriverState<'_> {
        DriverState { store: self.store, driver: self.driver.name() }
    }

    fn path(&self, rooted: &Rooted) -> PathBuf {
        self.area(rooted.area()).join(rooted.path())
    }

    fn area(&self, area: Area) -> PathBuf {
        self.root.join(match area {
            Area::Layer => "layer",
            Area::Container => "container",
            Area::Volume => "volume",
        })
    }

    fn mount(&self, mount: &StorageMount) -> RootMount {
        match mount {
            StorageMount::Overlay { lower, upper, work, options } => RootMount::Overlay {
                lower: lower.iter().map(|path| self.path(path)).collect(),
                upper: upper.as_ref().map(|path| self.path(path)),
                work: work.as_ref().map(|path| self.path(path)),
                options: options.words(),
            },
            StorageMount::Bind { source, read_only } => {
                RootMount::Bind { source: self.path(source), read_only: *read_only }
            }
            StorageMount::Image { source, filesystem, path, read_only } => {
                let image = Image { source: source.clone(), filesystem: *filesystem };
                RootMount::Image(self.disk(&image, path, !read_only))
            }
        }
    }

    fn carry_out(&self, object: &Object, plan: &StoragePlan) -> Result<(), SnapshotError> {
        if let Some(plugins) = self.plugins {
            plugins.permit_storage(self.driver.name(), plan)?;
        }
        let driver = Asker::new(self.driver.name(), self.driver.digest());
        let steps = plan.steps.iter().map(|step| event::operation(&step.action, &object.id, &driver));
        let mounts = plan.mounts.iter().map(|mount| event::mount(mount, &object.id, &driver));
        event::note(self.store, steps.chain(mounts));
        self.carry_out_noted(plan).inspect_err(|error| {
            let failed = Entry::new(Kind::Operation, "failed", &object.id).by(&driver);
            event::note(self.store, [failed.with("error", error.to_string())]);
        })
    }

    fn carry_out_noted(&self, plan: &StoragePlan) -> Result<(), SnapshotError> {
        let mut done = Vec::new();
        for (number, step) in plan.steps.iter().enumerate() {
            let stopped = self.stop_after(number);
            if let Err(error) = stopped.and_then(|()| self.step(&step.action, &mut done)) {
                undo(done);
                return Err(error);
            }
        }
        let kept = self.stop_after(plan.steps.len()).and_then(|()| self.remember(plan));
        kept.inspect_err(|_| undo(std::mem::take(&mut done)))?;
        self.remove_trees(plan)
    }

    fn stop_after(&self, steps: usize) -> Result<(), SnapshotError> {
        if self.fails_after.is_some_and(|stop| stop <= steps) {
            return Err(SnapshotError::Stopped { steps });
        }
        Ok(())
    }

    fn step(&self, action: &StorageAction, done: &mut Vec<Undo>) -> Result<(), SnapshotError> {
        match action {
            StorageAction::Mkdir { path, mode, uid, gid } => {
                self.make_directory(&self.path(path), *mode, (*uid, *gid), done)
            }
            StorageAction::Rename { source, dest } => self.rename(&self.path(source), self.path(dest), done),
            StorageAction::CloneTree { source, dest } if self.are_disks(source, dest) => {
                self.fill_disk(source, dest)
            }
            StorageAction::CloneTree { source, dest } => {
                self.clone_tree(&self.path(source), self.path(dest), done)
            }
            StorageAction::MakeFile { path, size } => self.make_file(self.path(path), *size, done),
            StorageAction::Format { path, filesystem } => {
                self.format_file(&self.path(path), *filesystem, done)
            }
            StorageAction::CloneFile { source, dest } => {
                self.clone_file(&self.path(source), self.path(dest), done)
            }
            StorageAction::RemoveTree(_) => Ok(()),
            StorageAction::Extension(op) => {
                Err(SnapshotError::Extension { driver: self.driver().to_owned(), name: op.name.clone() })
            }
        }
    }

    fn make_directory(
        &self,
        path: &Path,
        mode: u32,
        (uid, gid): (u32, u32),
        done: &mut Vec<Undo>,
    ) -> Result<(), SnapshotError> {
        self.make_parents(path, done)?;
        let failed = |source| step("make directory", path, source);
        match fs::DirBuilder::new().mode(mode).create(path) {
            Ok(()) => done.push(Undo::RemoveTree(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(source) => return Err(failed(source)),
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        chown(path, Some(uid), Some(gid)).map_err(failed)
    }

    /// What is missing above `path`. It is undone with the rest, unless another object moved in;
    /// the directory of an area stays, as all objects share it.
    fn make_parents(&self, path: &Path, done: &mut Vec<Undo>) -> Result<(), SnapshotError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        let below_area =
            |path: &Path| path.strip_prefix(&self.root).is_ok_and(|path| path.iter().count() > 1);
        let missing = parent.ancestors().take_while(|above| !above.exists() && below_area(above));
        let mut missing: Vec<Undo> = missing.map(|above| Undo::RemoveEmpty(above.to_owned())).collect();
        missing.reverse();
        done.append(&mut missing);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.map_err(|source| step("make directory", parent, source))
    }

    fn rename(&self, source: &Path, dest: PathBuf, done: &mut Vec<Undo>) -> Result<(), SnapshotError> {
        self.make_parents(&dest, done)?;
        fs::rename(source, &dest).map_err(|error| step("move tree", source, error))?;
        done.push(Undo::Rename { from: dest, to: source.to_owned() });
        Ok(())
    }

    fn clone_tree(&self, source: &Path, dest: PathBuf, done: &mut Vec<Undo>) -> Result<(), SnapshotError> {
        self.make_parents(&dest, done)?;
        let failed =
            |source| SnapshotError::Tree { step: format!("copy tree to {}", dest.display()), source };
        tree::clone(source, &dest).map_err(failed)?;
        done.push(Undo::RemoveTree(dest));
        Ok(())
    }

    fn remember(&self, plan: &StoragePlan) -> Result<(), SnapshotError> {
        if plan.state.is_empty() {
            return Ok(());
        }
        let failed = |source| SnapshotError::State { driver: self.driver().to_owned(), source };
        self.store.driver_state(self.driver.name()).apply(&plan.state).map_err(failed)
    }

    fn remove_trees(&self, plan: &StoragePlan) -> Result<(), SnapshotError> {
        for step in &plan.steps {
            if let StorageAction::RemoveTree(path) = &step.action {
                let failed = |source| SnapshotError::Tree { step: step.label.clone(), source };
                tree::remove(&self.path(path)).map_err(failed)?;
            }
        }
        Ok(())
    }
}

enum Undo {
    RemoveTree(PathBuf),
    RemoveEmpty(PathBuf),
    RemoveFile(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
}

/// Best effort: the error that made it necessary is the one to report.
fn undo(done: Vec<Undo>) {
    for step in done.into_iter().rev() {
        let _ = match step {
            Undo::RemoveTree(path) => tree::remove(&path).map_err(|_| ()),
            Undo::RemoveEmpty(path) => fs::remove_dir(path).map_err(|_| ()),
            Undo::RemoveFile(path) => fs::remove_file(path).map_err(|_| ()),
            Undo::Rename { from, to } => fs::rename(from, to).map_err(|_| ()),
        };
    }
}

fn step(step: &str, path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::Step { step: step.to_owned(), path: path.to_owned(), source }
}

/// What a driver remembers, read through the store.
pub(crate) struct DriverState<'a> {
    pub(crate) store: &'a Store,
    pub(crate) driver: &'a str,
}

impl StateView for DriverState<'_> {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.store.driver_state(self.driver).get(key).ok().flatten()
    }

    fn keys(&self, prefix: &str, limit: u32) -> Vec<String> {
        self.store.driver_state(self.driver).keys(prefix, limit).unwrap_or_default()
    }
}
