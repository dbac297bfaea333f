//! What is said about an image, sent after it to where BuildKit puts it (`archive/attested.rs`): the manifests
//! go by their digests, and the index that leads to both comes last, by the tag.

use std::sync::Arc;

use serde_json::json;
use wharf_model::Digest;

use super::{PushError, Pushed, Way};
use crate::Image;
use crate::archive::{INDEX_TYPE, Statement, attested};
use crate::image::MANIFEST_TYPE;
use crate::record::{Remote, repository};
use crate::registry::upload::Outgoing;

/// What is to be said, once the digest of the image's manifest is known.
pub type Say<'s> = dyn Fn(&Digest) -> Statement + 's;

impl Way<'_> {
    /// As `finish`, with a statement beside the manifest.
    pub(super) fn finish_with(
        &self,
        image: &Image,
        text: &[u8],
        kind: &str,
        say: &Say<'_>,
    ) -> Result<Pushed, PushError> {
        let manifest = self.store.blobs().put(text)?;
        self.put(&manifest.to_string(), kind, text)?;
        let about = json!({ "mediaType": kind, "digest": manifest, "size": text.len() });
        let beside = attested::index(&about, &image.config.platform(), say(&manifest));
        for bytes in [&beside.layer, &beside.config] {
            self.send_bytes(bytes)?;
        }
        self.put(&Digest::of(&beside.manifest).to_string(), MANIFEST_TYPE, &beside.manifest)?;
        let digest = Digest::of(&beside.index);
        let tag = self.name.tag().map_or_else(|| digest.to_string(), str::to_owned);
        self.put(&tag, INDEX_TYPE, &beside.index)?;
        let remote = Remote { repository: repository(self.name), digest, manifest };
        self.store.remotes().remember(&image.id, &remote, &self.blobs)?;
        Ok(Pushed { digest, size: beside.index.len() as u64 })
    }

    pub(super) fn put(&self, reference: &str, kind: &str, text: &[u8]) -> Result<(), PushError> {
        let what = format!("the manifest of {}", self.name.familiar());
        Ok(self.runtime.block_on(self.target.put_manifest(reference, kind, text, &what))?)
    }

    pub(super) fn send_bytes(&self, bytes: &[u8]) -> Result<(), PushError> {
        let digest = self.store.blobs().put(bytes)?;
        let path = Some(self.store.blobs().path(&digest));
        let size = bytes.len() as u64;
        let blob = Outgoing { digest, size, path, holders: Vec::new(), sent: Arc::default() };
        Ok(self.runtime.block_on(self.target.deliver(&blob, false)).map(drop)?)
    }
}
