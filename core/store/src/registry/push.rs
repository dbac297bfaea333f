//! Images to a registry.
//!
//! ```text
//! image -> the manifest that a registry has of it already, or one of its own
//!       -> one round of questions: which blobs are there?
//!       -> the rest: mounted, or packed by this thread and sent by another one, several at once
//!       -> the config, and the manifest last: whoever reads the tag finds all of it
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wharf_model::{Digest, Reference};

use super::document::{self, Document, LIMIT};
use super::error::RegistryError;
use super::pack;
use super::pull::{PullError, runtime};
use super::session::Session;
use super::upload::{Arrived, Outgoing, Target};
use crate::archive::SaveError;
use crate::blob::Parked;
use crate::image::{CONFIG_TYPE, MANIFEST_TYPE};
use crate::record::{Remote, repository};
use crate::{BlobError, Image, Layer, LayerHome, RecordError, Store};

mod artifact;
mod index;
mod statement;

pub use artifact::{Part, Sending, send_artifact};
pub use index::push_index;
pub use statement::Say;

/// So many blobs at the same time.
const AT_ONCE: usize = 4;
/// Between two looks at how far they are.
const GLANCE: Duration = Duration::from_millis(50);

/// An image that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Of its manifest.
    pub digest: Digest,
    /// Bytes of its manifest.
    pub size: u64,
}

/// How far a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushStage {
    /// It is asked for, or compressed.
    Preparing,
    /// It is on its way.
    Sending {
        /// Bytes that were sent.
        sent: u64,
        /// Bytes of all of it.
        size: u64,
    },
    /// It is there.
    Done(Arrived),
}

/// Something that a person may want to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushEvent<'a> {
    /// It begins.
    Begun(&'a Reference),
    /// A layer got further: its diff id, and how far.
    Layer(&'a Digest, PushStage),
}

/// Why an image did not get there.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A layer can not be compressed.
    #[error("cannot compress layer {layer}")]
    Pack {
        /// Its diff id.
        layer: Digest,
        /// Why not.
        source: std::io::Error,
    },
    /// A layer is not whole any more.
    #[error(transparent)]
    Layer(#[from] SaveError),
    /// A blob can not be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Nothing can be waited for.
    #[error("cannot wait for the network")]
    Runtime(#[source] PullError),
}

impl PushError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.next_step(),
            _ => None,
        }
    }
}

/// Sends an image to where its name says, and what there is to say about it.
///
/// # Errors
/// When the registry does not take it, or a layer is not whole any more.
pub fn push(
    store: &Store,
    session: &Arc<Session>,
    image: &Image,
    name: &Reference,
    home: &mut dyn LayerHome,
    say: Option<&Say<'_>>,
    show: &mut dyn FnMut(PushEvent<'_>),
) -> Result<Pushed, PushError> {
    let _guard = store.guard()?;
    show(PushEvent::Begun(name));
    let runtime = runtime().map_err(PushError::Runtime)?;
    let layers = image.layers.iter().map(Some).collect();
    let mut way = Way::new(store, session, layers, name, &runtime)?;
    for known in way.manifests(image)? {
        let sent = way.send(known.pieces(store, image)?, home, show)?;
        if sent.is_some_and(|sent| known.lists(&sent)) {
            return way.finish(image, &known.text, &known.kind, say);
        }
    }
    let pieces = way.own_pieces(&image.id)?;
    let sent = way.send(pieces, home, show)?.ok_or_else(|| incomplete(image))?;
    let text = own_manifest(&sent);
    way.finish(image, &text, MANIFEST_TYPE, say)
}

/// A manifest that a registry has of the image.
struct Known {
    text: Vec<u8>,
    kind: String,
    layers: Vec<(Digest, u64)>,
    config: (Digest, u64),
}

/// A blob of the image: a layer, or the config.
struct Piece {
    /// The layer, by its place; `None` for the config.
    layer: Option<usize>,
    /// Digest and length, when they are known without making it.
    known: Option<(Digest, u64)>,
    /// Its bytes, when they are a blob here.
    path: Option<PathBuf>,
    /// Its type, when it is not that of the layer here.
    kind: Option<String>,
    /// A repository of the same registry that has it.
    from: Option<String>,
}

/// A layer as it was sent.
struct Sent {
    digest: Digest,
    size: u64,
    media_type: String,
}

impl Known {
    /// Whether what was sent is what it lists: a layer that was packed anew may be another blob.
    fn lists(&self, sent: &[Sent]) -> bool {
        let listed = self.layers.iter().chain([&self.config]).map(|(digest, _)| digest);
        listed.eq(sent.iter().map(|sent| &sent.digest))
    }

    fn pieces(&self, store: &Store, image: &Image) -> Result<Vec<Piece>, PushError> {
        let path = |digest: &Digest| store.blobs().contains(digest).then(|| store.blobs().path(digest));
        let layers = self.layers.iter().take(image.layers.len()).enumerate();
        let layers = layers.map(|(number, layer)| Piece {
            layer: Some(number),
            known: Some(*layer),
            path: path(&layer.0),
            kind: None,
            from: None,
        });
        let path = path(&self.config.0);
        let config = Piece { layer: None, known: Some(self.config), path, kind: None, from: None };
        Ok(layers.chain([config]).collect())
    }
}

/// What one push knows.
struct Way<'a> {
    store: &'a Store,
    /// What is sent; `None` for one whose bytes are not here.
    layers: Vec<Option<&'a Layer>>,
    name: &'a Reference,
    runtime: &'a Runtime,
    target: Target,
    blobs: Vec<Digest>,
}

impl<'a> Way<'a> {
    fn new(
        store: &'a Store,
        session: &Arc<Session>,
        layers: Vec<Option<&'a Layer>>,
        name: &'a Reference,
        runtime: &'a Runtime,
    ) -> Result<Self, PushError> {
        let endpoint = session.target(name)?;
        let mut scopes = vec![format!("repository:{}:pull,push", endpoint.repository)];
        for layer in layers.iter().flatten() {
            let Some((digest, _)) = pack::known(store, layer)? else { continue };
            let from = holders(store, name, &digest)?;
            scopes.extend(from.iter().take(1).map(|path| format!("repository:{path}:pull")));
        }
        scopes.dedup();
        let target = Target::new(session, endpoint, scopes);
        Ok(Self { store, layers, name, runtime, target, blobs: Vec::new() })
    }

    /// Manifests of the image that registries have, those of the same repository first. One that lists a
    /// blob that is neither here nor in the same registry is of no use.
    fn manifests(&self, image: &Image) -> Result<Vec<Known>, PushError> {
        let mut remotes = self.store.remotes().of(&image.id)?;
        let own = repository(self.name);
        remotes.sort_by_key(|remote| remote.repository != own);
        let mut all: Vec<Known> = Vec::new();
        for remote in remotes {
            let known = self.known(image, &remote.manifest)?;
            all.extend(known.filter(|known| all.iter().all(|other| other.text != known.text)));
        }
        Ok(all)
    }

    /// A manifest of the image, whose blobs can be had.
    fn known(&self, image: &Image, manifest: &Digest) -> Result<Option<Known>, PushError> {
        let Ok(text) = self.store.blobs().read(manifest, LIMIT) else { return Ok(None) };
        let Ok(Document::Manifest(manifest)) = document::parse("a manifest", &text, MANIFEST_TYPE) else {
            return Ok(None);
        };
        let layers: Vec<_> = manifest.layers.iter().map(|layer| (layer.digest, layer.size)).collect();
        let config = (manifest.config.digest, manifest.config.size);
        let fits = layers.len() == image.layers.len() && config.0 == image.id;
        let known = Known { text, kind: manifest.media_type, layers, config };
        Ok((fits && self.can_be_had(&known.layers)?).then_some(known))
    }

    fn can_be_had(&self, layers: &[(Digest, u64)]) -> Result<bool, PushError> {
        for (digest, _) in layers {
            let host = format!("{}/", self.name.domain());
            let near = || -> Result<bool, RecordError> {
                Ok(self.store.remotes().holders(digest)?.iter().any(|holder| holder.starts_with(&host)))
            };
            if !self.store.blobs().contains(digest) && !near()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn own_pieces(&self, config: &Digest) -> Result<Vec<Piece>, PushError> {
        let blobs = self.store.blobs();
        let layers = self.layers.iter().enumerate();
        let mut pieces = layers
            .filter_map(|(number, layer)| Some(self.piece(number, (*layer)?)))
            .collect::<Result<Vec<_>, _>>()?;
        let (known, path) = (Some((*config, blobs.size(config)?)), Some(blobs.path(config)));
        pieces.push(Piece { layer: None, known, path, kind: None, from: None });
        Ok(pieces)
    }

    fn piece(&self, number: usize, layer: &Layer) -> Result<Piece, PushError> {
        let known = pack::known(self.store, layer)?;
        let packed = layer.blob.filter(|_| pack::is_packed(layer));
        let path = packed.map(|blob| self.store.blobs().path(&blob));
        Ok(Piece { layer: Some(number), known, path, kind: None, from: None })
    }

    fn layer(&self, piece: &Piece) -> Option<&'a Layer> {
        self.layers.get(piece.layer?).copied().flatten()
    }

    /// Sees to it that the registry has all pieces; `None` when the bytes of one are nowhere.
    fn send(
        &mut self,
        pieces: Vec<Piece>,
        home: &mut dyn LayerHome,
        show: &mut dyn FnMut(PushEvent<'_>),
    ) -> Result<Option<Vec<Sent>>, PushError> {
        let there = self.runtime.block_on(self.ask(&pieces))?;
        let (jobs, work) = mpsc::unbounded_channel();
        let (done, mut results) = mpsc::unbounded_channel();
        let mut view = View::new(self, &pieces, &there, show);
        let (sent, delivered) = thread::scope(|scope| {
            let target = self.target.clone();
            let (ending, ended) = std::sync::mpsc::channel::<()>();
            let runtime = self.runtime;
            let sending = scope.spawn(move || {
                let _ending = ending;
                runtime.block_on(deliver_all(target, work, done))
            });
            let mut kept: Vec<Parked> = Vec::new();
            let mut queue = || -> Result<Vec<Sent>, PushError> {
                let mut sent = Vec::new();
                for (number, piece) in pieces.iter().enumerate() {
                    view.hear(&mut results);
                    if sending.is_finished() {
                        break;
                    }
                    let outgoing = self.outgoing(piece, there[number], home, &mut kept)?;
                    sent.push(self.sent(piece, &outgoing));
                    if !there[number] {
                        view.wait_for(number, &outgoing);
                        let _ = jobs.send((number, outgoing, piece.known.is_some()));
                    }
                }
                Ok(sent)
            };
            let sent = queue();
            drop(jobs);
            // It is over at once when it is: with nothing to send, that is before the first look.
            while ended.recv_timeout(GLANCE) == Err(RecvTimeoutError::Timeout) {
                view.hear(&mut results);
            }
            (sent, sending.join())
        });
        view.hear(&mut results);
        if let Ok(Err(error)) = delivered {
            return Err(error.into());
        }
        let sent = sent?;
        self.blobs = sent.iter().map(|sent| sent.digest).collect();
        Ok((!view.is_incomplete).then_some(sent))
    }

    /// Which of the pieces are there: one question each, side by side.
    async fn ask(&self, pieces: &[Piece]) -> Result<Vec<bool>, RegistryError> {
        let mut there = vec![false; pieces.len()];
        let mut waiting =
            pieces.iter().enumerate().filter_map(|(number, piece)| Some((number, piece.known?.0)));
        let mut running = JoinSet::new();
        loop {
            while running.len() < 2 * AT_ONCE
                && let Some((number, digest)) = waiting.next()
            {
                let target = self.target.clone();
                running.spawn(async move { (number, target.has(&digest).await) });
            }
            match running.join_next().await {
                Some(Ok((number, found))) => there[number] = found?,
                Some(Err(_)) => {}
                None => return Ok(there),
            }
        }
    }

    /// A piece with its bytes, unless nobody needs them; what is made for it is kept in `kept`.
    fn outgoing(
        &self,
        piece: &Piece,
        is_there: bool,
        home: &mut dyn LayerHome,
        kept: &mut Vec<Parked>,
    ) -> Result<Outgoing, PushError> {
        let (mut known, mut path) = (piece.known, piece.path.clone());
        if let Some(layer) = self.layer(piece).filter(|layer| {
            let ours = pack::known(self.store, layer).ok().flatten() == known || known.is_none();
            !is_there && path.is_none() && ours
        }) {
            let parked = pack::pack(self.store, layer, home)?;
            known = Some((parked.digest, parked.size));
            path = Some(parked.path().to_owned());
            kept.push(parked);
        }
        // Whatever was not known is made by now.
        let (digest, size) = known.unwrap_or((Digest::of(b""), 0));
        let mut holders = holders(self.store, self.name, &digest)?;
        holders.splice(0..0, piece.from.clone());
        Ok(Outgoing { digest, size, path, holders, sent: Arc::default() })
    }

    fn sent(&self, piece: &Piece, outgoing: &Outgoing) -> Sent {
        let layer = self.layer(piece).filter(|layer| layer.blob == Some(outgoing.digest));
        let kind = piece.kind.clone().or_else(|| layer.and_then(|layer| layer.media_type.clone()));
        let media_type = match piece.layer {
            None => CONFIG_TYPE.to_owned(),
            Some(_) => kind.unwrap_or_else(|| pack::MEDIA_TYPE.to_owned()),
        };
        Sent { digest: outgoing.digest, size: outgoing.size, media_type }
    }

    /// The manifest comes last; what the registry has now is remembered.
    fn finish(
        &self,
        image: &Image,
        text: &[u8],
        kind: &str,
        say: Option<&Say<'_>>,
    ) -> Result<Pushed, PushError> {
        if let Some(say) = say {
            return self.finish_with(image, text, kind, say);
        }
        let digest = self.store.blobs().put(text)?;
        let tag = self.name.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let what = format!("the manifest of {}", self.name.familiar());
        self.runtime.block_on(self.target.put_manifest(&tag, kind, text, &what))?;
        let remote = Remote { repository: repository(self.name), digest, manifest: digest };
        self.store.remotes().remember(&image.id, &remote, &self.blobs)?;
        Ok(Pushed { digest, size: text.len() as u64 })
    }
}

/// The same image gives the same manifest.
fn own_manifest(sent: &[Sent]) -> Vec<u8> {
    let (config, layers) = sent.split_last().map_or((None, sent), |(config, layers)| (Some(config), layers));
    let layers: Vec<_> = layers.iter().map(descriptor).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.map(descriptor),
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}

fn descriptor(sent: &Sent) -> serde_json::Value {
    json!({ "mediaType": sent.media_type, "digest": sent.digest, "size": sent.size })
}

fn incomplete(image: &Image) -> PushError {
    PushError::Blob(BlobError::Missing(image.id))
}

/// Other repositories of the same registry that hold a blob.
fn holders(store: &Store, name: &Reference, blob: &Digest) -> Result<Vec<String>, RecordError> {
    let host = format!("{}/", name.domain());
    let all = store.remotes().holders(blob)?;
    let paths = all.iter().filter_map(|holder| holder.strip_prefix(&host));
    Ok(paths.filter(|path| *path != name.path()).map(str::to_owned).collect())
}

type Job = (usize, Outgoing, bool);
type Done = (usize, Arrived);

/// Delivers what comes, several at once, until one fails.
async fn deliver_all(
    target: Target,
    mut work: mpsc::UnboundedReceiver<Job>,
    done: mpsc::UnboundedSender<Done>,
) -> Result<(), RegistryError> {
    let mut running = JoinSet::new();
    let mut is_over = false;
    loop {
        let next = std::future::poll_fn(|context| {
            if running.len() < AT_ONCE && !is_over {
                match work.poll_recv(context) {
                    Poll::Ready(Some(job)) => return Poll::Ready(Next::Job(job)),
                    Poll::Ready(None) => is_over = true,
                    Poll::Pending => {}
                }
            }
            match running.poll_join_next(context) {
                Poll::Ready(Some(ended)) => Poll::Ready(Next::Ended(ended)),
                Poll::Ready(None) if is_over => Poll::Ready(Next::Nothing),
                _ => Poll::Pending,
            }
        });
        match next.await {
            Next::Job((number, outgoing, missing)) => {
                let target = target.clone();
                running.spawn(async move { Ok((number, target.deliver(&outgoing, missing).await?)) });
            }
            Next::Ended(Ok(Ok(result))) => drop(done.send(result)),
            Next::Ended(Ok(Err(error))) => return Err(error),
            // A task does not panic, and is not aborted before.
            Next::Ended(Err(_)) => {}
            Next::Nothing => return Ok(()),
        }
    }
}

enum Next {
    Job(Job),
    Ended(Result<Result<Done, RegistryError>, tokio::task::JoinError>),
    Nothing,
}

/// How far each layer is, as it was shown.
struct View<'v> {
    /// The diff id of a layer; `None` for the config.
    names: Vec<Option<Digest>>,
    sending: Vec<Option<Outgoing>>,
    show: &'v mut dyn FnMut(PushEvent<'_>),
    is_incomplete: bool,
}

impl<'v> View<'v> {
    fn new(way: &Way<'_>, pieces: &[Piece], there: &[bool], show: &'v mut dyn FnMut(PushEvent<'_>)) -> Self {
        let name = |piece: &Piece| Some(way.layer(piece)?.diff_id);
        let names: Vec<_> = pieces.iter().map(name).collect();
        let sending = vec![None; pieces.len()];
        let mut view = Self { names, sending, show, is_incomplete: false };
        for (number, is_there) in there.iter().enumerate() {
            let stage = if *is_there { PushStage::Done(Arrived::Here) } else { PushStage::Preparing };
            view.say(number, stage);
        }
        view
    }

    fn say(&mut self, number: usize, stage: PushStage) {
        if let Some(Some(name)) = self.names.get(number) {
            (self.show)(PushEvent::Layer(name, stage));
        }
    }

    fn wait_for(&mut self, number: usize, outgoing: &Outgoing) {
        if let Some(place) = self.sending.get_mut(number) {
            *place = Some(outgoing.clone());
        }
    }

    /// What has been delivered since, and how far the rest is.
    fn hear(&mut self, results: &mut mpsc::UnboundedReceiver<Done>) {
        while let Ok((number, arrived)) = results.try_recv() {
            if let Some(place) = self.sending.get_mut(number) {
                *place = None;
            }
            self.is_incomplete |= arrived == Arrived::Nowhere;
            self.say(number, PushStage::Done(arrived));
        }
        for number in 0..self.sending.len() {
            let Some(Some(outgoing)) = self.sending.get(number) else { continue };
            let (sent, size) = (outgoing.sent.load(Ordering::Relaxed), outgoing.size);
            if sent > 0 {
                self.say(number, PushStage::Sending { sent, size });
            }
        }
    }
}
