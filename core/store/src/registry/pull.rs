//! Images from a registry.
//!
//! ```text
//! name -> manifest -> config -> which layers are missing
//!                               one thread brings their blobs, several at once     (transfer.rs)
//!                               this one unpacks them as they come, lowest first    (archive/place.rs)
//!      -> image, its name, and what the registry calls it
//! ```
//!
//! A layer that is here by its chain id is not asked for. A layer's directory counts, and its blob is
//! visible, once both its blob and its uncompressed tar had the digests that manifest and config say. What
//! came before a pull was broken off stays for a day: whole layers as layers, parts of blobs as parts.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use wharf_model::image::ImageConfig;
use wharf_model::{Digest, Platform, Reference};

use super::beside::Beside;
use super::document::{Descriptor, Wanted};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::partial::{Arriving, Stage};
use super::resolve::Resolved;
use super::session::Session;
use super::transfer::fetch_all;
use crate::archive::{Arrival, LoadError, place};
use crate::image::Origin;
use crate::layer::{ApplyError, TarError};
use crate::record::{Remote, repository};
use crate::{BlobError, CommitError, HomeError, LayerHome, RecordError, Store};

/// Between two looks at how far the blobs are.
const GLANCE: Duration = Duration::from_millis(100);

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub id: Digest,
    /// What the registry's name leads to.
    pub digest: Digest,
    /// The name that the image has here now.
    pub name: Reference,
    /// Whether the name led to the same image before.
    pub was_here: bool,
}

/// What a registry has under a name, before any of it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Of the image's manifest.
    pub manifest: Digest,
    /// The blobs of its layers, the lowest first.
    pub layers: Vec<Digest>,
}

/// Says whether what was found may come, before more of it is asked for.
pub type Judge<'a> = dyn FnMut(&Found, &Beside<'_>) -> Result<(), HomeError> + 'a;

/// How far a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerStage {
    /// It was here before.
    Here,
    /// It is going to be fetched.
    Waiting,
    /// It comes.
    Downloading {
        /// Bytes that are here.
        have: u64,
        /// Bytes of all of it.
        size: u64,
    },
    /// All of it came; it is being unpacked, or waits for those below.
    Downloaded,
    /// It is a layer.
    Done,
}

/// Something that a person may want to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullEvent<'a> {
    /// It begins.
    Begun(&'a Reference),
    /// A layer got further: its blob, and how far.
    Layer(&'a Digest, LayerStage),
    /// The image is for another machine than this one.
    Foreign(&'a Platform),
}

/// Who is asked, and told, while an image comes.
pub struct Watch<'a> {
    /// May say no before anything is fetched.
    pub judge: &'a mut Judge<'a>,
    /// Is told how far it is.
    pub show: &'a mut dyn FnMut(PullEvent<'_>),
}

/// Why an image did not come.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry, or what it gave.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A layer can not be unpacked.
    #[error("cannot unpack layer {digest}")]
    Layer {
        /// Its blob.
        digest: Digest,
        /// Why not.
        source: LoadError,
    },
    /// Somebody who was asked said no.
    #[error(transparent)]
    Judged(HomeError),
    /// The image can not be kept.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A blob can not be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Nothing can be waited for.
    #[error("cannot wait for the network")]
    Runtime(#[source] std::io::Error),
}

impl PullError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.next_step(),
            _ => None,
        }
    }
}

/// Brings an image and gives it its name. Without a platform it is the one for this machine, or whatever
/// there is when the name leads to a single image.
///
/// # Errors
/// When the registry does not give it, it is not what it says, or the disk refuses. Then there is no
/// image, and what came so far waits for the next pull.
pub fn pull(
    store: &Store,
    session: &Arc<Session>,
    name: &Reference,
    platform: Option<&Platform>,
    home: &mut dyn LayerHome,
    watch: &mut Watch<'_>,
) -> Result<Pulled, PullError> {
    let _guard = store.guard()?;
    (watch.show)(PullEvent::Begun(name));
    let runtime = runtime()?;
    let host = Platform::host();
    let resolved = runtime.block_on(session.resolve(name, Wanted::Image(platform.unwrap_or(&host))))?;
    let found = resolved.found();
    let beside = Beside { session, runtime: &runtime, resolved: &resolved, name };
    (watch.judge)(&found, &beside).map_err(PullError::Judged)?;
    let (text, config) = config(store, session, &runtime, name, &resolved)?;
    fits(name, &config, platform, watch)?;
    let image = Coming { store, name, resolved: &resolved, config: &config };
    image.layers(session, &runtime, home, watch)?;
    image.finish(&text, &found, session.is_lasting())
}

/// One thread is enough for waiting.
pub(super) fn runtime() -> Result<Runtime, PullError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PullError::Runtime)
}

/// The config, from here when it is here.
fn config(
    store: &Store,
    session: &Session,
    runtime: &Runtime,
    name: &Reference,
    resolved: &Resolved,
) -> Result<(Vec<u8>, ImageConfig), PullError> {
    let descriptor = &resolved.manifest.config;
    let what = format!("the config of {}", name.familiar());
    let text = match store.blobs().read(&descriptor.digest, super::document::LIMIT) {
        Ok(text) => text,
        Err(_) => runtime.block_on(session.small_blob_from(&resolved.places(), descriptor, &what))?,
    };
    let damaged = |reason: String| RegistryError::Damaged { what: what.clone(), reason };
    let config: ImageConfig = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    let (own, listed) = (config.rootfs.diff_ids.len(), resolved.manifest.layers.len());
    if own != listed {
        return Err(damaged(format!("it has {own} layers, but the manifest lists {listed}")).into());
    }
    Ok((text, config))
}

/// Whether the image is for the platform that was asked for; a word about it when nobody asked.
fn fits(
    name: &Reference,
    config: &ImageConfig,
    wanted: Option<&Platform>,
    watch: &mut Watch<'_>,
) -> Result<(), RegistryError> {
    let (own, host) = (config.platform(), Platform::host());
    match wanted {
        Some(wanted) if !own.is_like(wanted) => {
            let (wanted, there) = (wanted.to_string(), own.to_string());
            Err(RegistryError::Platform { what: name.familiar(), wanted, there })
        }
        None if !own.is_like(&host) => {
            (watch.show)(PullEvent::Foreign(&own));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// An image whose manifest and config are known.
struct Coming<'a> {
    store: &'a Store,
    name: &'a Reference,
    resolved: &'a Resolved,
    config: &'a ImageConfig,
}

/// A layer, and its blob when that is on its way.
struct Step<'a> {
    descriptor: &'a Descriptor,
    chain_id: Digest,
    arrival: Arrival,
    arriving: Option<Arc<Arriving>>,
}

impl Coming<'_> {
    /// Brings the layers that are missing.
    fn layers(
        &self,
        session: &Arc<Session>,
        runtime: &Runtime,
        home: &mut dyn LayerHome,
        watch: &mut Watch<'_>,
    ) -> Result<(), PullError> {
        let steps = self.steps()?;
        let mut view = View::new(&steps, watch);
        let wanted: Vec<_> = steps.iter().filter_map(|step| step.arriving.clone()).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        while_fetching(session, self.resolved.places(), runtime, wanted, || {
            steps.iter().try_for_each(|step| self.place(step, home, &mut view))
        })
    }

    /// Two layers with the same content have one blob, which comes once.
    fn steps(&self) -> Result<Vec<Step<'_>>, PullError> {
        let mut steps: Vec<Step<'_>> = Vec::new();
        let mut parent = None;
        let listed = self.resolved.manifest.layers.iter().zip(&self.config.rootfs.diff_ids);
        for ((descriptor, diff_id), chain_id) in listed.zip(self.config.chain_ids()) {
            let arrival = Arrival { parent, diff_id: Some(*diff_id), blob: Some(descriptor.digest) };
            let arriving = if self.store.layer(&chain_id)?.is_some() {
                None
            } else {
                let known = steps.iter().filter_map(|step| step.arriving.as_ref());
                let known = known.into_iter().find(|known| known.digest == descriptor.digest);
                let fresh =
                    || Arc::new(Arriving::new(self.store.blobs(), descriptor.digest, descriptor.size));
                Some(known.map_or_else(fresh, Arc::clone))
            };
            steps.push(Step { descriptor, chain_id, arrival, arriving });
            parent = Some(chain_id);
        }
        Ok(steps)
    }

    fn place(
        &self,
        step: &Step<'_>,
        home: &mut dyn LayerHome,
        view: &mut View<'_, '_>,
    ) -> Result<(), PullError> {
        let Some(arriving) = &step.arriving else { return Ok(()) };
        place_patiently(self.store, arriving, &step.arrival, home, &mut || view.glance())?;
        self.store.remotes().note_arrived(&step.chain_id)?;
        view.done(&step.descriptor.digest);
        Ok(())
    }

    /// The image, its name, and what the registry calls it.
    fn finish(&self, text: &[u8], found: &Found, is_lasting: bool) -> Result<Pulled, PullError> {
        let Resolved { digest, documents, .. } = self.resolved;
        let name = self.name_here(digest);
        let before = self.store.variants(&name)?;
        for document in [documents.first(), documents.last()].into_iter().flatten() {
            self.store.blobs().put(document)?;
        }
        let via = (documents.len() > 1).then_some(digest);
        // What no registry is going to be asked for again is handed on as it came, as an archive's is.
        let manifest = documents.last().filter(|_| !is_lasting);
        let manifest = if self.is_as_listed()? { manifest.map(Vec::as_slice) } else { None };
        let origin = Origin { via, manifest };
        let id = self.store.commit_bytes(text, self.config, std::slice::from_ref(&name), origin)?;
        if is_lasting {
            let remote =
                Remote { repository: repository(self.name), digest: *digest, manifest: found.manifest };
            self.store.remotes().remember(&id, &remote, &found.layers)?;
        }
        self.store.remotes().forget_arrived(Some(&self.config.chain_ids()))?;
        Ok(Pulled { id, digest: *digest, name, was_here: before.iter().any(|image| image.id == id) })
    }

    /// Whether the layers here came in the blobs that the manifest lists.
    fn is_as_listed(&self) -> Result<bool, RecordError> {
        let listed = self.resolved.manifest.layers.iter();
        for (descriptor, chain_id) in listed.zip(self.config.chain_ids()) {
            let layer = self.store.layer(&chain_id)?;
            if layer.and_then(|layer| layer.blob) != Some(descriptor.digest) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What was asked for by its digest is called by it, and by nothing else: a tag beside it was not asked.
    fn name_here(&self, digest: &Digest) -> Reference {
        if self.name.digest().is_none() {
            return self.name.clone();
        }
        let text = format!("{}@{digest}", repository(self.name));
        text.parse().unwrap_or_else(|_| self.name.clone())
    }
}

/// Does `work` while these blobs are fetched, and stops fetching them when it is over.
pub(super) fn while_fetching(
    session: &Arc<Session>,
    places: Vec<Endpoint>,
    runtime: &Runtime,
    wanted: Vec<Arc<Arriving>>,
    work: impl FnOnce() -> Result<(), PullError>,
) -> Result<(), PullError> {
    let (stop, stopped) = oneshot::channel();
    thread::scope(|scope| {
        let fetching = fetch_all(Arc::clone(session), places, wanted, stopped);
        let fetched = scope.spawn(|| runtime.block_on(fetching));
        let worked = work();
        // It may be over already, and need no telling.
        drop(stop);
        match (fetched.join(), worked) {
            // What could not be unpacked because it did not come has this as its reason.
            (Ok(Err(error)), _) => Err(error.into()),
            (_, worked) => worked,
        }
    })
}

/// Unpacks a layer while its blob comes, and once more when what an earlier run or a mirror gave was wrong.
pub(super) fn place_patiently(
    store: &Store,
    arriving: &Arriving,
    arrival: &Arrival,
    home: &mut dyn LayerHome,
    tick: &mut dyn FnMut(),
) -> Result<(), PullError> {
    loop {
        let round = arriving.round();
        match place_arriving(store, arriving, arrival, home, tick) {
            Err(_) if arriving.was_wrong(round, tick) => {}
            placed => {
                let failed = |source| PullError::Layer { digest: arriving.digest, source };
                return placed.inspect_err(|error| wait_for_digest(error, arriving, tick)).map_err(failed);
            }
        }
    }
}

/// Bytes that make no tar may be others than those that were asked for. That is known at the end, and says more.
fn wait_for_digest(error: &LoadError, arriving: &Arriving, tick: &mut dyn FnMut()) {
    let LoadError::Unpack(ApplyError::Tar(error)) = error else { return };
    match error {
        TarError::Read(_)
        | TarError::NotAnArchive
        | TarError::Truncated
        | TarError::Header { .. }
        | TarError::Kind { .. } => arriving.settle(tick),
        TarError::Entries(_) | TarError::Inodes(_) | TarError::Length { .. } => {}
    }
}

/// Unpacks a layer while its blob comes.
fn place_arriving(
    store: &Store,
    arriving: &Arriving,
    arrival: &Arrival,
    home: &mut dyn LayerHome,
    tick: &mut dyn FnMut(),
) -> Result<(), LoadError> {
    let unreadable = |source| LoadError::Unpack(crate::layer::TarError::Read(source).into());
    let reader = arriving.reader(tick).map_err(unreadable)?;
    place(store, reader, arrival, home, |_| arriving.keep().map(|()| Some(arriving.digest)))?;
    Ok(())
}

/// How far each layer is, as it was shown.
struct View<'v, 'w> {
    shown: Vec<(Digest, Option<Arc<Arriving>>, LayerStage)>,
    watch: &'v mut Watch<'w>,
    last: Instant,
}

impl<'v, 'w> View<'v, 'w> {
    fn new(steps: &[Step<'_>], watch: &'v mut Watch<'w>) -> Self {
        let stage =
            |step: &Step<'_>| if step.arriving.is_some() { LayerStage::Waiting } else { LayerStage::Here };
        let shown: Vec<_> =
            steps.iter().map(|step| (step.descriptor.digest, step.arriving.clone(), stage(step))).collect();
        for (digest, _, stage) in &shown {
            (watch.show)(PullEvent::Layer(digest, *stage));
        }
        Self { shown, watch, last: Instant::now() }
    }

    /// Shows what changed, now and then.
    fn glance(&mut self) {
        if self.last.elapsed() >= GLANCE {
            self.look();
        }
    }

    fn look(&mut self) {
        self.last = Instant::now();
        for (digest, arriving, shown) in &mut self.shown {
            let Some(arriving) = arriving.as_ref().filter(|_| *shown != LayerStage::Done) else { continue };
            let now = match arriving.progress() {
                (have, Stage::Flowing) => LayerStage::Downloading { have, size: arriving.size },
                (_, Stage::Whole) => LayerStage::Downloaded,
                (_, Stage::Waiting | Stage::Lost) => continue,
            };
            if now != *shown {
                *shown = now;
                (self.watch.show)(PullEvent::Layer(digest, now));
            }
        }
    }

    fn done(&mut self, digest: &Digest) {
        self.look();
        for (own, _, shown) in &mut self.shown {
            if own == digest && *shown != LayerStage::Done {
                *shown = LayerStage::Done;
                (self.watch.show)(PullEvent::Layer(digest, LayerStage::Done));
                return;
            }
        }
    }
}
