//! Layers that make no image together, sent with a config that says what they are.
//!
//! The config is written when the layers are there, as only then all their blobs are known. It, and the
//! manifest that lists everything, come last.

use std::sync::Arc;

use serde_json::json;
use wharf_model::{Digest, Reference};

use super::{Piece, PushError, PushEvent, Pushed, Way, runtime};
use crate::image::MANIFEST_TYPE;
use crate::registry::session::Session;
use crate::{Layer, LayerHome, Store};

/// A layer that a registry is to have.
#[derive(Debug, Clone)]
pub enum Part {
    /// One that is here.
    Here(Layer),
    /// One that is not here, and that a registry has.
    There {
        /// Its blob.
        blob: Digest,
        /// Bytes of it.
        size: u64,
        /// What the blob is.
        media_type: String,
        /// The repository of the same registry that has it.
        from: String,
    },
}

/// What is sent, and where to.
pub struct Sending<'a> {
    /// A host, a path and a tag.
    pub name: &'a Reference,
    /// The layers.
    pub parts: &'a [Part],
    /// The media type of the config.
    pub config_type: &'a str,
    /// The config, from the layers' blobs in the order of the parts.
    pub config: &'a dyn Fn(&[Digest]) -> Vec<u8>,
}

/// Sends layers with a config; `None` when one that is not here is not there either.
///
/// # Errors
/// When the registry does not take it, or a layer is not whole any more.
pub fn send_artifact(
    store: &Store,
    session: &Arc<Session>,
    sending: &Sending<'_>,
    home: &mut dyn LayerHome,
    show: &mut dyn FnMut(PushEvent<'_>),
) -> Result<Option<Pushed>, PushError> {
    let _guard = store.guard()?;
    let runtime = runtime().map_err(PushError::Runtime)?;
    let layers = sending.parts.iter().map(|part| match part {
        Part::Here(layer) => Some(layer),
        Part::There { .. } => None,
    });
    let mut way = Way::new(store, session, layers.collect(), sending.name, &runtime)?;
    way.may_read(sending.parts);
    let pieces = sending.parts.iter().enumerate();
    let pieces = pieces.map(|(number, part)| way.part(number, part)).collect::<Result<Vec<_>, _>>()?;
    let Some(sent) = way.send(pieces, home, show)? else { return Ok(None) };
    let blobs: Vec<Digest> = sent.iter().map(|sent| sent.digest).collect();
    let config = (sending.config)(&blobs);
    way.send_bytes(&config)?;
    let first = |number: &usize| !blobs[..*number].contains(&blobs[*number]);
    let layers = (0..sent.len()).filter(first).map(|number| super::descriptor(&sent[number]));
    let layers: Vec<_> = layers.collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": sending.config_type, "digest": Digest::of(&config), "size": config.len(),
        },
        "layers": layers,
    });
    let text = manifest.to_string().into_bytes();
    let digest = Digest::of(&text);
    let tag = sending.name.tag().map_or_else(|| digest.to_string(), str::to_owned);
    way.put(&tag, MANIFEST_TYPE, &text)?;
    Ok(Some(Pushed { digest, size: text.len() as u64 }))
}

impl Way<'_> {
    fn part(&self, number: usize, part: &Part) -> Result<Piece, PushError> {
        match part {
            Part::Here(layer) => self.piece(number, layer),
            Part::There { blob, size, media_type, from } => Ok(Piece {
                layer: Some(number),
                known: Some((*blob, *size)),
                path: None,
                kind: Some(media_type.clone()),
                from: (from != self.name.path()).then(|| from.clone()),
            }),
        }
    }

    /// A token has to allow what is mounted to be read where it is.
    fn may_read(&mut self, parts: &[Part]) {
        let mut scopes = self.target.scopes.to_vec();
        for part in parts {
            if let Part::There { from, .. } = part
                && from != self.name.path()
            {
                scopes.push(format!("repository:{from}:pull"));
            }
        }
        scopes.sort_unstable();
        scopes.dedup();
        self.target.scopes = Arc::new(scopes);
    }
}
