//! One layer that comes from outside: unpacked where its driver wants it, verified, recorded.

use std::io::Read;
use std::os::fd::AsFd;

use wharf_model::Digest;

use super::LoadError;
use crate::blob::Parked;
use crate::layer::{self, Applied, Layer, LayerHome, Limits, chain_id};
use crate::{BlobError, RecordError, Store};

/// What is known about a layer before it is unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The layer below, by chain id.
    pub parent: Option<Digest>,
    /// What its uncompressed tar must hash to.
    pub diff_id: Option<Digest>,
    /// The blob that `tar` is read from, when the store has it.
    pub blob: Option<Digest>,
}

/// Unpacks a layer on top of another one and records it. A layer that is here already is not
/// unpacked again. The layer survives a power cut only after [`Store::commit`].
///
/// # Errors
/// When it is not what was expected, can not be unpacked, or the disk refuses; then nothing of
/// it is left.
pub fn place_layer(
    store: &Store,
    tar: impl Read,
    arrival: &Arrival,
    home: &mut dyn LayerHome,
) -> Result<Layer, LoadError> {
    place(store, tar, arrival, home, |_| Ok(arrival.blob))
}

/// As [`place_layer`]; `keep_blob` is called between unpacking and recording and says
/// which blob the layer came in.
pub(crate) fn place(
    store: &Store,
    tar: impl Read,
    arrival: &Arrival,
    home: &mut dyn LayerHome,
    keep_blob: impl FnOnce(&Applied) -> Result<Option<Digest>, BlobError>,
) -> Result<Layer, LoadError> {
    let _guard = store.guard()?;
    let _turn = turn(store, arrival)?;
    if let Some(found) = known(store, arrival)? {
        return Ok(found);
    }
    let parents = parents(store, arrival.parent)?;
    let dir = home.place(&parents).map_err(LoadError::Home)?;
    let unpacked = unpack(tar, arrival, &dir, home.format()).and_then(|applied| {
        let blob = keep_blob(&applied)?;
        Ok((applied, blob))
    });
    let (applied, blob) = unpacked.inspect_err(|_| home.discard())?;
    let layer = Layer {
        diff_id: applied.diff_id,
        chain_id: chain_id(arrival.parent.as_ref(), &applied.diff_id),
        parent: arrival.parent,
        size: applied.size,
        tar_size: applied.tar_size,
        media_type: blob.map(|_| applied.compression.media_type().to_owned()),
        blob,
        driver: home.driver().to_owned(),
    };
    if let Some(found) = store.layer(&layer.chain_id)? {
        home.discard();
        return Ok(found);
    }
    if let Err(source) = home.keep(&layer.chain_id) {
        home.discard();
        return Err(LoadError::Home(source));
    }
    store.record_layer(&layer)?;
    Ok(layer)
}

/// Whoever brings the same layer at the same time waits here and finds it done.
fn turn(store: &Store, arrival: &Arrival) -> Result<Option<crate::LockGuard>, RecordError> {
    let Some(diff_id) = arrival.diff_id else { return Ok(None) };
    let bucket = &chain_id(arrival.parent.as_ref(), &diff_id).hex()[..2];
    store.lock(&format!("layer-{bucket}"), false).map(Some)
}

fn known(store: &Store, arrival: &Arrival) -> Result<Option<Layer>, RecordError> {
    match arrival.diff_id {
        Some(diff_id) => store.layer(&chain_id(arrival.parent.as_ref(), &diff_id)),
        None => Ok(None),
    }
}

/// The layer `top` and those below it, topmost first.
fn parents(store: &Store, top: Option<Digest>) -> Result<Vec<Digest>, RecordError> {
    let Some(top) = top else { return Ok(Vec::new()) };
    let chain = store.database.read(|database| layer::chain(database, &top))?;
    Ok(chain.iter().rev().map(|layer| layer.chain_id).collect())
}

fn unpack(
    tar: impl Read,
    arrival: &Arrival,
    dir: &std::os::fd::OwnedFd,
    format: wharf_model::storage::LayerFormat,
) -> Result<Applied, LoadError> {
    // The blob of a plain tar was hashed when it was written.
    let hashed = arrival.diff_id.filter(|diff_id| arrival.blob == Some(*diff_id));
    let limits = Limits::with_room(dir.as_fd()).map_err(|error| LoadError::Home(error.into()))?;
    let applied = layer::apply_known(tar, dir.as_fd(), format, &limits, hashed)?;
    match arrival.diff_id {
        Some(expected) if expected != applied.diff_id => {
            Err(LoadError::DiffId { expected, found: applied.diff_id })
        }
        _ => Ok(applied),
    }
}

/// Unpacks a layer while its blob goes to the disk.
pub(super) fn place_parked(
    store: &Store,
    parked: &Parked,
    parent: Option<Digest>,
    diff_id: Digest,
    home: &mut dyn LayerHome,
) -> Result<Layer, LoadError> {
    let arrival = Arrival { parent, diff_id: Some(diff_id), blob: Some(parked.digest) };
    let file = parked.open()?;
    std::thread::scope(|scope| {
        let mut kept = known(store, &arrival)?.is_none().then(|| scope.spawn(|| parked.finish()));
        let keep_blob = |_: &Applied| match kept.take().map(std::thread::ScopedJoinHandle::join) {
            Some(Ok(result)) => result.map(|()| Some(parked.digest)),
            _ => Ok(None),
        };
        place(store, file, &arrival, home, keep_blob)
    })
}
