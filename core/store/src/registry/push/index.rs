//! An index that came from a registry or in an archive, to another place: with all its images, when all of them are here.

use std::sync::Arc;

use serde_json::Value;
use wharf_model::{Digest, Reference};

use super::{PushError, PushEvent, Pushed, Way, runtime};
use crate::archive::INDEX_TYPE;
use crate::record::{Remote, repository};
use crate::registry::document::{self, Descriptor, Document, LIMIT};
use crate::registry::session::Session;
use crate::{Image, LayerHome, Store};

/// Sends the index of a name with its images; `None` when one of those that it lists is not here as the
/// registry has it. Then nothing can be read by the name's tag that could not be before.
///
/// # Errors
/// When the registry does not take it.
pub fn push_index(
    store: &Store,
    session: &Arc<Session>,
    (index, images): (&Digest, &[Image]),
    name: &Reference,
    home: &mut dyn LayerHome,
    show: &mut dyn FnMut(PushEvent<'_>),
) -> Result<Option<Pushed>, PushError> {
    let _guard = store.guard()?;
    let Ok(text) = store.blobs().read(index, LIMIT) else { return Ok(None) };
    let Ok(Document::Index(entries)) = document::parse("an index", &text, "") else { return Ok(None) };
    let Some(pairs) = pairs(store, &entries, images)? else { return Ok(None) };
    show(PushEvent::Begun(name));
    let runtime = runtime().map_err(PushError::Runtime)?;
    let mut sent = Vec::new();
    for (entry, image) in pairs {
        let layers = image.layers.iter().map(Some).collect();
        let mut way = Way::new(store, session, layers, name, &runtime)?;
        let Some(known) = way.known(image, &entry.digest)? else { return Ok(None) };
        match way.send(known.pieces(store, image)?, home, show)? {
            Some(pieces) if known.lists(&pieces) => {}
            _ => return Ok(None),
        }
        way.put(&entry.digest.to_string(), &known.kind, &known.text)?;
        sent.push((entry.digest, image, way));
    }
    let Some((.., last)) = sent.last() else { return Ok(None) };
    let kind = serde_json::from_slice::<Value>(&text).unwrap_or_default();
    let kind = kind["mediaType"].as_str().unwrap_or(INDEX_TYPE);
    last.put(&name.tag().map_or_else(|| index.to_string(), str::to_owned), kind, &text)?;
    for (manifest, image, way) in &sent {
        let remote = Remote { repository: repository(name), digest: *index, manifest: *manifest };
        store.remotes().remember(&image.id, &remote, &way.blobs)?;
    }
    Ok(Some(Pushed { digest: *index, size: text.len() as u64 }))
}

/// Each entry with the image that it is here.
fn pairs<'a>(
    store: &Store,
    entries: &'a [Descriptor],
    images: &'a [Image],
) -> Result<Option<Vec<(&'a Descriptor, &'a Image)>>, PushError> {
    let mut found = Vec::new();
    for image in images {
        for remote in store.remotes().of(&image.id)? {
            found.push((remote.manifest, image));
        }
        // As an archive had it.
        found.push((image.manifest, image));
    }
    let of = |entry: &'a Descriptor| {
        let image = found.iter().find(|(manifest, _)| *manifest == entry.digest);
        image.map(|(_, image)| (entry, *image))
    };
    Ok(entries.iter().map(of).collect())
}
