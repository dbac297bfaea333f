//! Layers as registries want them: gzip, which everybody reads.
//!
//! A layer that came compressed is sent as it came, so that it is the same blob everywhere. A layer that
//! was built here is compressed when it is sent for the first time. The same tar gives the same bytes, and
//! what they hash to is remembered: whether a registry has them is asked without making them.

use std::io::{self, Read, Write};

use wharf_model::Digest;

use super::gzip::gzip;
use super::push::PushError;
use crate::archive::write_layer;
use crate::blob::Parked;
use crate::layer::{Compression, decompress};
use crate::{Layer, LayerHome, Store};

pub(super) const MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Whether the blob that a layer came in can be sent as it is.
pub(super) fn is_packed(layer: &Layer) -> bool {
    let packed = [Compression::Gzip, Compression::Zstd];
    layer.blob.is_some()
        && layer.media_type.as_deref().is_some_and(|kind| packed.iter().any(|it| it.media_type() == kind))
}

/// Compresses a layer into a file that goes away when it is dropped.
pub(super) fn pack(store: &Store, layer: &Layer, home: &mut dyn LayerHome) -> Result<Parked, PushError> {
    let failed = |source| PushError::Pack { layer: layer.diff_id, source };
    let packed = gzip(store.blobs().writer()?, |out| match &layer.blob {
        Some(blob) => {
            let (_, mut plain) = decompress(store.blobs().open(blob)?).map_err(failed)?;
            copy(&mut plain, out).map_err(failed)
        }
        None => Ok(write_layer(store, layer, home, out)?),
    });
    let parked = packed.map_err(failed)??.park();
    store.remotes().note_packed(&layer.diff_id, &parked.digest, parked.size)?;
    Ok(parked)
}

fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a layer is as a blob, as far as that is known without making it.
pub(super) fn known(store: &Store, layer: &Layer) -> Result<Option<(Digest, u64)>, PushError> {
    match layer.blob.filter(|_| is_packed(layer)) {
        Some(blob) => Ok(Some((blob, store.blobs().size(&blob)?))),
        None => Ok(store.remotes().packed(&layer.diff_id)?),
    }
}
