//! A root file system's tar -> an image of one layer.
//!
//! The image is as old as the newest file in the tar, so importing the same tar twice gives the
//! same image. The tar is read once: it is hashed, kept as a blob and unpacked as it comes in.

use std::io::{self, Read, Write};

use wharf_model::image::{History, ImageConfig};
use wharf_model::{Digest, Reference};

use super::LoadError;
use super::place::{Arrival, place};
use crate::layer::{Applied, Compression, Layer, LayerHome};
use crate::{BlobWriter, Store};

/// What an imported image is besides its files.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// Its config; layers, history and age are filled in.
    pub config: ImageConfig,
    /// Its names.
    pub names: Vec<Reference>,
    /// The comment in its history.
    pub message: Option<String>,
    /// How old it is, in seconds since 1970; otherwise as its newest file.
    pub epoch: Option<i64>,
}

/// Makes an image from the tar of a root file system, compressed or not.
///
/// # Errors
/// When the tar is damaged or the disk refuses; then nothing is left.
pub fn import(
    store: &Store,
    tar: impl Read,
    home: &mut dyn LayerHome,
    import: &Import,
) -> Result<Digest, LoadError> {
    let _guard = store.guard()?;
    let mut writer = store.blobs().writer()?;
    let mut found = None;
    let layer = {
        let tee = Tee { input: tar, writer: &mut writer };
        place(store, tee, &Arrival::default(), home, |applied: &Applied| {
            found = Some((applied.newest, applied.compression));
            Ok(None)
        })?
    };
    let (newest, compression) = found.unwrap_or((0, Compression::Plain));
    let layer = with_blob(store, layer, writer, compression)?;
    let mut config = import.config.clone();
    let age = import.epoch.unwrap_or(newest);
    let created = jiff::Timestamp::from_second(age).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string();
    config.created = Some(created.clone());
    config.rootfs.diff_ids = vec![layer.diff_id];
    config.history =
        vec![History { created: Some(created), comment: import.message.clone(), ..History::default() }];
    Ok(store.commit(&config, &import.names)?)
}

/// Only now the blob is whole: its end was read after the layer's last file.
fn with_blob(
    store: &Store,
    mut layer: Layer,
    writer: BlobWriter,
    compression: Compression,
) -> Result<Layer, LoadError> {
    if layer.blob.is_none() {
        let (digest, _) = writer.finish(None)?;
        layer.blob = Some(digest);
        layer.media_type = Some(compression.media_type().to_owned());
        store.record_layer(&layer)?;
    }
    Ok(layer)
}

/// Writes what is read to a blob as well.
struct Tee<'a, R> {
    input: R,
    writer: &'a mut BlobWriter,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.writer.write_all(&buffer[..count])?;
        Ok(count)
    }
}
