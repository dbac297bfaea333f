//! What has layers and is no image, or not one that is wanted whole: a build cache.
//!
//! Its manifest and config are fetched at once, as they say what there is. A layer is fetched when
//! somebody asks for it, and is verified as one of a pull is (`pull.rs`).

use std::sync::Arc;

use wharf_model::{Digest, Platform, Reference};

use super::beside::Beside;
use super::document::{Descriptor, Wanted};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::partial::Arriving;
use super::pull::{Judge, PullError, place_patiently, runtime, while_fetching};
use super::session::Session;
use crate::archive::Arrival;
use crate::image::CONFIG_TYPE;
use crate::{LayerHome, Store};

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A manifest in a registry with its config; the layers are still there.
#[derive(Debug, Clone)]
pub struct Artifact {
    places: Vec<Endpoint>,
    /// Of the manifest.
    pub digest: Digest,
    /// The config, verified.
    pub config: Vec<u8>,
    /// The media type of the config.
    pub config_type: String,
    layers: Vec<Descriptor>,
}

impl Artifact {
    /// Asks a registry for what a name leads to; of an index, for what is for this platform, or for this machine.
    /// `judge` may say no before more of it is fetched.
    ///
    /// # Errors
    /// When the registry does not give it, it can not be understood, or the judge says no.
    pub fn find(
        session: &Session,
        name: &Reference,
        platform: Option<&Platform>,
        judge: &mut Judge<'_>,
    ) -> Result<Self, PullError> {
        let (runtime, host) = (runtime()?, Platform::host());
        let resolved = runtime.block_on(session.resolve(name, Wanted::Cache(platform.unwrap_or(&host))))?;
        let beside = Beside { session, runtime: &runtime, resolved: &resolved, name };
        judge(&resolved.found(), &beside).map_err(PullError::Judged)?;
        let places = resolved.places();
        let manifest = resolved.manifest;
        let what = format!("the config of {}", name.familiar());
        let config = session.small_blob_from(&places, &manifest.config, &what);
        Ok(Self {
            config: runtime.block_on(config)?,
            places,
            digest: resolved.manifest_digest,
            config_type: manifest.config.media_type,
            layers: manifest.layers,
        })
    }

    /// Whether it is an image.
    pub fn is_image(&self) -> bool {
        [CONFIG_TYPE, DOCKER_CONFIG].contains(&self.config_type.as_str())
    }

    /// The blobs of its layers, in its order.
    pub fn layers(&self) -> impl Iterator<Item = Digest> + '_ {
        self.layers.iter().map(|layer| layer.digest)
    }

    /// Length and media type of one of them.
    pub fn layer(&self, blob: &Digest) -> Option<(u64, &str)> {
        let found = self.layers.iter().find(|layer| layer.digest == *blob)?;
        Some((found.size, &found.media_type))
    }

    /// Fetches these layers, each after the one that it stands on, and unpacks them.
    ///
    /// # Errors
    /// When one of them does not come, or is not what it should be. Those before it are here then.
    pub fn bring(
        &self,
        store: &Store,
        session: &Arc<Session>,
        wanted: &[Arrival],
        home: &mut dyn LayerHome,
    ) -> Result<(), PullError> {
        let _guard = store.guard()?;
        let mut arriving: Vec<Arc<Arriving>> = Vec::new();
        let mut steps = Vec::new();
        for arrival in wanted {
            let (digest, size) = self.listed(arrival)?;
            let known = arriving.iter().find(|known| known.digest == digest).cloned();
            let fresh = || Arc::new(Arriving::new(store.blobs(), digest, size));
            let blob = known.unwrap_or_else(|| {
                arriving.push(fresh());
                Arc::clone(&arriving[arriving.len() - 1])
            });
            steps.push((blob, arrival));
        }
        let place = |home: &mut dyn LayerHome| {
            let mut placed = steps.iter();
            placed.try_for_each(|(blob, arrival)| place_patiently(store, blob, arrival, home, &mut || {}))
        };
        while_fetching(session, self.places.clone(), &runtime()?, arriving, || place(home))
    }

    fn listed(&self, arrival: &Arrival) -> Result<(Digest, u64), RegistryError> {
        let blob = arrival.blob.or(arrival.diff_id).unwrap_or(self.digest);
        let (size, _) = self.layer(&blob).ok_or_else(|| RegistryError::Missing {
            what: format!("layer {blob}"),
            said: "the manifest does not list it".to_owned(),
        })?;
        Ok((blob, size))
    }
}
