//! A storage driver's whole life.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use wharf_model::storage::{LayerFormat, Object, StoragePlan};
use wharf_plugin::Storage;
use wharf_runtime::mount;
use wharf_store::Store;
use wharf_store::layer::{self, Limits, Times};

use super::picture::{Picture, of_driver};
use super::{Run, is_root};
use crate::author::outcome::{Ended, chain};
use crate::snapshot::{self, DriverState, SnapshotError, Snapshots};

type Failed = String;

/// What is asked of the driver.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Create(&'a Object),
    Commit(&'a Object, &'a Object),
    Attach(&'a Object, bool),
    Detach(&'a Object),
    Remove(&'a Object),
}

/// Lives through everything that the core asks of a driver.
pub(crate) fn storage(driver: &Arc<dyn Storage>, run: &mut Run<'_>) {
    let scratch = match Scratch::new(driver) {
        Ok(scratch) => scratch,
        Err(error) => return run.step("a directory to try it in", || Ended::failed(error)),
    };
    let life = Life { scratch: &scratch };
    let objects = Objects::default();
    let empty = scratch.picture();
    life.first_layer(run, &objects);
    life.second_layer(run, &objects);
    life.container(run, &objects);
    life.changes(run, &objects);
    life.end(run, &objects, &empty);
}

/// Two layers, a container on them, and the layer that its changes become.
struct Objects {
    first: Object,
    second: Object,
    container: Object,
    changes: Object,
}

impl Default for Objects {
    fn default() -> Self {
        let id = |letter: &str| letter.repeat(64);
        let first = snapshot::layer(&id("a"), vec![]);
        let second = snapshot::layer(&id("b"), vec![id("a")]);
        let container = snapshot::container(&id("c"), vec![id("b"), id("a")]);
        let changes = snapshot::layer(&id("d"), vec![id("b"), id("a")]);
        Self { first, second, container, changes }
    }
}

/// A driver's own directory and store, gone when it is dropped.
struct Scratch {
    driver: Arc<dyn Storage>,
    store: Store,
    root: PathBuf,
    _directory: tempfile::TempDir,
}

impl Scratch {
    fn new(driver: &Arc<dyn Storage>) -> Result<Self, Failed> {
        // /tmp may be a file system that an overlay can not write to; the caller's directory is where
        // the work is.
        let directory = tempfile::Builder::new().prefix(".wharf-test-").tempdir_in(scratch_place());
        let directory = directory.map_err(|error| error.to_string())?;
        let root = directory.path().join("storage");
        for area in ["layer", "container", "volume"] {
            fs::create_dir_all(root.join(area)).map_err(|error| error.to_string())?;
        }
        let store = Store::open(&directory.path().join("store")).map_err(|error| chain(&error))?;
        Ok(Self { driver: Arc::clone(driver), store, root, _directory: directory })
    }

    fn snapshots(&self, fails_after: Option<usize>) -> Snapshots<'_> {
        Snapshots::alone(self.root.clone(), Arc::clone(&self.driver), &self.store, fails_after)
    }

    fn picture(&self) -> Picture {
        of_driver(&self.root, &self.store, self.driver.name()).unwrap_or_default()
    }

    /// The plan of a question, as the core would get it now.
    fn plan(&self, ask: Ask<'_>) -> Result<StoragePlan, Failed> {
        let (driver, state) = (&self.driver, DriverState { store: &self.store, driver: self.driver.name() });
        let plan = match ask {
            Ask::Create(object) => driver.plan_create(&object.id, object, &state),
            Ask::Commit(container, layer) => driver.plan_commit(&layer.id, container, layer, &state),
            Ask::Attach(object, read_only) => driver.plan_attach(&object.id, object, read_only, &state),
            Ask::Detach(object) => driver.plan_detach(&object.id, object, &state),
            Ask::Remove(object) => driver.plan_remove(&object.id, object, &state),
        };
        plan.map_err(|error| error.to_string())
    }

    fn carry_out(&self, ask: Ask<'_>, fails_after: Option<usize>) -> Result<(), SnapshotError> {
        let snapshots = self.snapshots(fails_after);
        match ask {
            Ask::Create(object) => snapshots.create(object),
            Ask::Commit(container, layer) => snapshots.commit(container, layer),
            Ask::Attach(object, read_only) => snapshots.attach(object, read_only).map(drop),
            Ask::Detach(object) => snapshots.detach(object),
            Ask::Remove(object) => snapshots.remove(object),
        }
    }

    /// Fails after every step in turn, then does it.
    fn every_failure(&self, ask: Ask<'_>) -> Ended {
        let plan = match self.plan(ask) {
            Ok(plan) => plan,
            Err(why) => return Ended::failed(why),
        };
        let mut why = Vec::new();
        match self.plan(ask) {
            Ok(again) if again == plan => {}
            Ok(_) => why.push("asked again with the same token, it plans something else".to_owned()),
            Err(error) => why.push(format!("asked again with the same token: {error}")),
        }
        for steps in 0..=plan.steps.len() {
            why.extend(self.failure_after(ask, steps, &plan));
        }
        if why.is_empty() {
            why.extend(self.carry_out(ask, None).err().map(|error| chain(&error)));
        }
        Ended::of(why)
    }

    fn failure_after(&self, ask: Ask<'_>, steps: usize, plan: &StoragePlan) -> Vec<String> {
        let before = self.picture();
        let place = match steps.checked_sub(1).and_then(|last| plan.steps.get(last)) {
            Some(step) => format!("a failure after step {steps} of {} ({})", plan.steps.len(), step.label),
            None => format!("a failure before the first of {} steps", plan.steps.len()),
        };
        match self.carry_out(ask, Some(steps)) {
            Err(SnapshotError::Stopped { .. }) => {}
            Err(error) => return vec![format!("{place} came too late: {}", chain(&error))],
            Ok(()) => return vec![format!("{place} did not happen")],
        }
        let changed = self.picture().since(&before);
        if changed.is_empty() {
            return Vec::new();
        }
        std::iter::once(format!("{place} is not undone:"))
            .chain(changed.into_iter().map(|line| format!("  {line}")))
            .collect()
    }

    /// The directory that the core unpacks into, or finds changes in.
    fn changes(&self, object: &Object) -> Result<OwnedFd, Failed> {
        self.snapshots(None).changes(object).map_err(|error| chain(&error))
    }

    /// The object mounted where nobody sees it.
    fn mounted(&self, object: &Object, read_only: bool) -> Result<OwnedFd, Failed> {
        let mounts = self.snapshots(None).attach(object, read_only).map_err(|error| chain(&error))?;
        mount::detached(&mounts).map_err(|error| chain(&error))
    }
}

/// Where the files of a test may be large and real.
fn scratch_place() -> PathBuf {
    let writable = |path: &PathBuf| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    let here = std::env::current_dir().ok().filter(|path| !on_overlay(path)).filter(writable);
    here.unwrap_or_else(std::env::temp_dir)
}

fn on_overlay(path: &std::path::Path) -> bool {
    const OVERLAYFS: i64 = 0x794c_7630;
    #[allow(clippy::unnecessary_cast, reason = "the type of f_type differs between processors")]
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type as i64 == OVERLAYFS)
}

struct Life<'a> {
    scratch: &'a Scratch,
}

impl Life<'_> {
    fn first_layer(&self, run: &mut Run<'_>, objects: &Objects) {
        let content = tar_of(&[("a", "one"), ("both", "lower"), ("dir/deep", "x"), ("gone", "soon")]);
        self.layer(run, "a layer", &objects.first, vec![], &content);
    }

    /// Deletes and overwrites what is in the layer below.
    fn second_layer(&self, run: &mut Run<'_>, objects: &Objects) {
        let content =
            tar_of(&[("both", "upper"), (".wh.gone", ""), ("dir/.wh..wh..opq", ""), ("dir/new", "y")]);
        let parents = objects.second.parents.clone();
        self.layer(run, "a layer on a layer", &objects.second, parents, &content);
    }

    /// As the core makes a layer of an archive: unpacked into a container, which then becomes one.
    fn layer(&self, run: &mut Run<'_>, name: &str, layer: &Object, parents: Vec<String>, content: &[u8]) {
        let scratch = self.scratch;
        let fresh = snapshot::container(&format!("new-{}", &layer.id[..16]), parents);
        run.step(format!("create {name}"), || scratch.every_failure(Ask::Create(&fresh)));
        run.step(format!("unpack {name}"), || ended(self.unpack(&fresh, content)));
        run.step(format!("commit {name}"), || scratch.every_failure(Ask::Commit(&fresh, layer)));
        run.step(format!("remove what {name} was made in"), || scratch.every_failure(Ask::Remove(&fresh)));
        run.step(format!("pack {name} again"), || ended(self.round_trip(layer, content)));
    }

    fn unpack(&self, object: &Object, content: &[u8]) -> Result<(), Failed> {
        let into = self.scratch.changes(object)?;
        let format = self.scratch.driver.info().layers;
        if format == LayerFormat::Overlay && !is_root() {
            return Err("marking deletions as overlayfs does takes root".into());
        }
        layer::apply(content, into.as_fd(), format, &Limits::default())
            .map(drop)
            .map_err(|error| chain(&error))
    }

    /// What comes out is what went in.
    fn round_trip(&self, object: &Object, content: &[u8]) -> Result<(), Failed> {
        let format = self.scratch.driver.info().layers;
        let changes = self.scratch.changes(object)?;
        let parent = match (format, object.parents.split_first()) {
            (LayerFormat::Tree, Some((top, below))) => {
                Some(self.scratch.changes(&snapshot::layer(top, below.to_vec()))?)
            }
            _ => None,
        };
        let mut packed = Vec::new();
        let parent = parent.as_ref().map(AsFd::as_fd);
        layer::diff(changes.as_fd(), parent, format, &Times::KEEP, &mut packed)
            .map_err(|error| chain(&error))?;
        let (before, after) = (entries(content, format)?, entries(&packed, format)?);
        if before == after {
            Ok(())
        } else {
            Err(format!("the layer had {before:?}, and packs as {after:?}"))
        }
    }

    fn container(&self, run: &mut Run<'_>, objects: &Objects) {
        let (scratch, container) = (self.scratch, &objects.container);
        run.step("create a container", || scratch.every_failure(Ask::Create(container)));
        run.step("attach the container", || scratch.every_failure(Ask::Attach(container, false)));
        if is_root() {
            run.check("its upper layers hide lower ones", || ended(self.sees_its_layers(container)));
            run.check("writes stay in the container", || ended(self.writes(objects)));
        } else {
            run.skip("its upper layers hide lower ones", "mounting takes root");
            run.skip("writes stay in the container", "mounting takes root");
        }
        run.step("detach the container", || scratch.every_failure(Ask::Detach(container)));
        run.step("attach a layer to be read", || scratch.every_failure(Ask::Attach(&objects.second, true)));
        run.step("detach the layer", || scratch.every_failure(Ask::Detach(&objects.second)));
    }

    fn sees_its_layers(&self, container: &Object) -> Result<(), Failed> {
        let root = self.scratch.mounted(container, false)?;
        for (path, content) in [
            ("a", Some("one")),
            ("both", Some("upper")),
            ("gone", None),
            ("dir/deep", None),
            ("dir/new", Some("y")),
        ] {
            let found = read(&root, path);
            if found.as_deref() != content {
                return Err(format!("`{path}` is {found:?} in the container, and should be {content:?}"));
            }
        }
        Ok(())
    }

    /// Also shows that what was mounted can be let go.
    fn writes(&self, objects: &Objects) -> Result<(), Failed> {
        let root = self.scratch.mounted(&objects.container, false)?;
        write(&root, "written", "here")?;
        rustix::fs::unlinkat(&root, "a", rustix::fs::AtFlags::empty()).map_err(|error| error.to_string())?;
        drop(root);
        let root = self.scratch.mounted(&objects.container, true)?;
        if read(&root, "written").as_deref() != Some("here") || read(&root, "a").is_some() {
            return Err("what was written or removed is not so when the container is mounted again".into());
        }
        if write(&root, "read-only", "").is_ok() {
            return Err("a container that is mounted to be read can be written to".into());
        }
        let layer = self.scratch.mounted(&objects.second, true)?;
        if read(&layer, "written").is_some() || read(&layer, "a").is_none() {
            return Err("what the container wrote is in its image's layer".into());
        }
        Ok(())
    }

    fn changes(&self, run: &mut Run<'_>, objects: &Objects) {
        let scratch = self.scratch;
        run.step("commit the container's changes", || {
            scratch.every_failure(Ask::Commit(&objects.container, &objects.changes))
        });
    }

    /// Everything goes, topmost first; what is gone already can be removed again.
    fn end(&self, run: &mut Run<'_>, objects: &Objects, empty: &Picture) {
        let scratch = self.scratch;
        for (name, object) in [
            ("the container", &objects.container),
            ("the layer of its changes", &objects.changes),
            ("the second layer", &objects.second),
            ("the first layer", &objects.first),
        ] {
            run.step(format!("remove {name}"), || scratch.every_failure(Ask::Remove(object)));
        }
        run.check("remove what is gone", || {
            ended(scratch.carry_out(Ask::Remove(&objects.container), None).map_err(|error| chain(&error)))
        });
        run.check("nothing is left", || {
            let left = scratch.picture().since(empty);
            Ended::of(left)
        });
    }
}

fn ended(result: Result<(), Failed>) -> Ended {
    Ended::of(result.err().into_iter().collect())
}

fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    let mut directories = std::collections::BTreeSet::new();
    for (path, content) in files {
        if let Some((directory, _)) = path.split_once('/')
            && directories.insert(directory.to_owned())
        {
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            let _in_memory = out.append_data(&mut header, directory, &b""[..]);
        }
        let mut header = header(tar::EntryType::Regular, 0o644, content.len());
        let _in_memory = out.append_data(&mut header, path, content.as_bytes());
    }
    out.into_inner().unwrap_or_default()
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(rustix::process::geteuid().as_raw().into());
    header.set_gid(rustix::process::getegid().as_raw().into());
    header.set_mtime(1_000_000_000);
    header.set_size(size as u64);
    header
}

/// Path and content of each file, and whiteouts. A whole tree does not know an opaque directory from
/// one whose files are all gone, so those marks are told as the same.
fn entries(tar: &[u8], format: LayerFormat) -> Result<Vec<(String, String)>, Failed> {
    let mut found = Vec::new();
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let path = entry
            .path()
            .map_err(|error| error.to_string())?
            .to_string_lossy()
            .trim_end_matches('/')
            .to_owned();
        let opaque = path.ends_with(".wh..wh..opq");
        let hidden = format == LayerFormat::Tree && path.contains("/.wh.");
        let mut content = String::new();
        entry.read_to_string(&mut content).map_err(|error| error.to_string())?;
        if entry.header().entry_type() == tar::EntryType::Regular
            && !(format == LayerFormat::Tree && opaque)
            && !hidden
        {
            found.push((path, content));
        }
    }
    found.sort();
    Ok(found)
}

fn read(root: &OwnedFd, path: &str) -> Option<String> {
    let file = rustix::fs::openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = String::new();
    fs::File::from(file).read_to_string(&mut text).ok()?;
    Some(text)
}

fn write(root: &OwnedFd, path: &str, content: &str) -> Result<(), Failed> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root, path, flags, Mode::from_raw_mode(0o644))
        .map_err(|error| error.to_string())?;
    std::io::Write::write_all(&mut fs::File::from(file), content.as_bytes())
        .map_err(|error| error.to_string())
}
