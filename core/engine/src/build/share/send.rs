//! A build's records and layers -> a registry.
//!
//! What the registry has is not sent again. A layer that was found in a cache of the same registry and
//! never came here is mounted from there.

use wharf_model::hook::ImageTransfer;
use wharf_model::{Digest, Reference};
use wharf_store::Layer;
use wharf_store::registry::{Part, Pushed, Sending, send_artifact};

use super::super::execute::Finished;
use super::super::progress::BuildEvent;
use super::super::request::BuildError;
use super::CacheMode;
use super::imported::Imported;
use super::record::{Records, wanted};
use super::write::{CONFIG_TYPE, CacheWriteError};
use crate::Engine;
use crate::home::Home;
use crate::hook::AskedTransfer;

/// A list is not longer, as registries take no longer config, nor does a reader of one.
const LONGEST: usize = 4 << 20;

impl Engine {
    pub(super) fn send_cache(
        &self,
        to: &Reference,
        (imported, mode): (&mut Imported, CacheMode),
        stage: &Finished,
        report: &mut (dyn FnMut(BuildEvent<'_>) + Send),
    ) -> Result<(), BuildError> {
        report(BuildEvent::Caching(&format!("exporting cache to {}", to.familiar())));
        let records = self.records(imported, stage)?;
        let mut wanted = wanted(&records, stage, mode);
        let parts = wanted.iter().map(|layer| self.part(imported, layer, to));
        let parts: Option<Vec<Part>> = parts.collect::<Result<Option<_>, _>>()?;
        if let Some(parts) = parts
            && self.send_parts(to, &records, &wanted, &parts)?.is_some()
        {
            return Ok(());
        }
        self.bring_wanted(imported, &mut wanted, report)?;
        let mut here = Vec::new();
        for layer in &wanted {
            here.extend(self.store.layer(&layer.chain_id)?);
        }
        let parts: Vec<Part> = here.iter().cloned().map(Part::Here).collect();
        self.send_parts(to, &records, &here, &parts)?;
        Ok(())
    }

    /// A layer that is here, or in the same registry; `None` when it has to come first.
    fn part(&self, imported: &Imported, layer: &Layer, to: &Reference) -> Result<Option<Part>, BuildError> {
        if let Some(layer) = self.store.layer(&layer.chain_id)? {
            return Ok(Some(Part::Here(layer)));
        }
        let known = imported.sources().iter().filter_map(|source| source.remote(&layer.chain_id));
        let near = known.into_iter().find(|(name, ..)| name.domain() == to.domain());
        Ok(near.map(|(name, blob, size, media_type)| Part::There {
            blob,
            size,
            media_type: media_type.to_owned(),
            from: name.path().to_owned(),
        }))
    }

    fn send_parts(
        &self,
        to: &Reference,
        records: &Records,
        layers: &[Layer],
        parts: &[Part],
    ) -> Result<Option<Pushed>, CacheWriteError> {
        let config = |blobs: &[Digest]| {
            let mut records = records.clone();
            layers.iter().zip(blobs).for_each(|(layer, blob)| records.note(&layer.chain_id, *blob));
            serde_json::to_vec(&records).unwrap_or_default()
        };
        let blobs: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
        if config(&blobs).len() > LONGEST {
            return Err(CacheWriteError::TooLong { steps: records.records.len() });
        }
        let transfer = ImageTransfer { reference: to.to_string(), digest: None, layers: blobs };
        let mut asked = AskedTransfer::Push(transfer);
        self.ask_aloud(&mut asked)?;
        let snapshots = self.default_snapshots()?;
        let sending = Sending { name: to, parts, config_type: CONFIG_TYPE, config: &config };
        let mut home = Home::new(&snapshots);
        let sent = send_artifact(&self.store, &self.session(), &sending, &mut home, &mut |_| {});
        let sent = sent.map_err(|source| CacheWriteError::Send {
            name: Box::new(to.clone()),
            source: Box::new(source),
        })?;
        self.tell_hooks(&asked);
        Ok(sent)
    }
}
