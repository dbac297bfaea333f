//! What caches from elsewhere know, while a build goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use wharf_model::{Digest, Reference};
use wharf_store::archive::{Arrival, place_layer};
use wharf_store::layer::chain_id;
use wharf_store::registry::{Artifact, Session};
use wharf_store::{CacheEntry, CommitError, Layer};

use super::super::cached::CachedStep;
use super::super::progress::BuildEvent;
use super::super::request::BuildError;
use super::super::schedule::lock;
use super::super::tree::Chain;
use super::directory::Directory;
use super::read::{causes, warn};
use super::record::{LayerRecord, Record, Records};
use crate::Engine;
use crate::home::Home;

/// Caches that were read.
#[derive(Default)]
pub(in crate::build) struct Imported {
    sources: Vec<Source>,
    /// Layers that earlier builds heard of, and that were not here when this one asked.
    heard: Mutex<BTreeSet<Digest>>,
    /// Layers that can not be had: of which source, and their chain ids.
    struck: BTreeSet<(Origin, Digest)>,
    /// Keys of steps that were found, by the layers that they lead to.
    found: Mutex<BTreeMap<Digest, BTreeSet<Digest>>>,
}

/// Whose word it is that there is a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// A cache's, by its number.
    Cache(usize),
    /// This machine's own, which heard of it from a cache that need not be read now.
    Hearsay,
}

/// One cache.
pub(super) struct Source {
    shown: String,
    steps: BTreeMap<Digest, Record>,
    layers: BTreeMap<Digest, LayerRecord>,
    place: Place,
}

/// Where its layers are.
pub(super) enum Place {
    /// In a directory.
    Directory(Directory),
    /// In a registry.
    Registry(Box<Remote>),

    /// In the store, as far as they are anywhere.
    Here,
}

/// A cache in a registry.
pub(super) struct Remote {
    pub(super) name: Reference,
    pub(super) session: Arc<Session>,
    pub(super) artifact: Artifact,
}

/// Layers that a cache does not give.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost {
    source: Origin,
    pub(super) layers: Vec<Digest>,
    /// What was wrong; nothing when the cache never said that it has them.
    why: Option<String>,
}

/// What a step is known to lead to.
pub(in crate::build) enum Found {
    /// What it stands on.
    Unchanged,
    /// One more layer, which need not be here.
    Layer(Box<Layer>),
}

impl Source {
    pub(super) fn new(shown: String, records: Records, place: Place) -> Self {
        let own = |record: &Record| record.layer.clone().map(|layer| (layer.chain_id, layer));
        let layers = records.records.iter().filter_map(own).collect();
        let steps = records.records.into_iter().map(|record| (record.key, record)).collect();
        Self { shown, steps, layers, place }
    }

    /// The registry's name for the cache, if that is where it is, and a layer's blob there: its digest,
    /// length and media type.
    pub(super) fn remote(&self, layer: &Digest) -> Option<(&Reference, Digest, u64, &str)> {
        let Place::Registry(remote) = &self.place else { return None };
        let blob = self.layers.get(layer)?.blob?;
        let (size, media_type) = remote.artifact.layer(&blob)?;
        Some((&remote.name, blob, size, media_type))
    }
}

impl Imported {
    pub(super) fn add(&mut self, source: Source) {
        self.sources.push(source);
    }

    fn is_empty(&self) -> bool {
        self.sources.is_empty() && lock(&self.heard).is_empty()
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// What a step leads to that stands on `base`. A record that is about something else, or whose layer is
    /// not what its parts make, is none.
    pub(in crate::build) fn find(&self, key: &Digest, base: Option<&Digest>) -> Option<Found> {
        self.sources.iter().enumerate().find_map(|(number, source)| {
            let record = source.steps.get(key)?;
            if record.unchanged {
                return Some(Found::Unchanged);
            }
            let layer = record.layer.as_ref()?;
            self.believed(Origin::Cache(number), key, layer, base).map(Found::Layer)
        })
    }

    /// The same of what an earlier build heard of the step.
    pub(in crate::build) fn heard(
        &self,
        key: &Digest,
        layer: &LayerRecord,
        base: Option<&Digest>,
    ) -> Option<Box<Layer>> {
        let believed = self.believed(Origin::Hearsay, key, layer, base)?;
        lock(&self.heard).insert(layer.chain_id);
        Some(believed)
    }

    fn believed(
        &self,
        origin: Origin,
        key: &Digest,
        layer: &LayerRecord,
        base: Option<&Digest>,
    ) -> Option<Box<Layer>> {
        let fits = layer.parent.as_ref() == base
            && chain_id(base, &layer.diff_id) == layer.chain_id
            && !self.struck.contains(&(origin, layer.chain_id));
        fits.then(|| {
            lock(&self.found).entry(layer.chain_id).or_default().insert(*key);
            Box::new(layer.elsewhere())
        })
    }

    /// The record of a step, for another cache.
    pub(super) fn record(&self, key: &Digest) -> Option<Record> {
        let (number, record) =
            self.sources.iter().enumerate().find_map(|(at, source)| Some((at, source.steps.get(key)?)))?;
        let struck = |layer: &LayerRecord| self.struck.contains(&(Origin::Cache(number), layer.chain_id));
        record.layer.as_ref().is_none_or(|layer| !struck(layer)).then(|| record.clone())
    }

    /// Who says that it has a layer; who only knows of it comes after that.
    fn giver(&self, layer: &Digest) -> Option<(Origin, bool)> {
        let is_struck = |origin: Origin| self.struck.contains(&(origin, *layer));
        let known = self.sources.iter().enumerate().filter_map(|(number, source)| {
            let origin = Origin::Cache(number);
            let blob = source.layers.get(layer).filter(|_| !is_struck(origin))?.blob;
            Some((origin, blob.is_some() && !matches!(source.place, Place::Here)))
        });
        let hearsay = lock(&self.heard).contains(layer) && !is_struck(Origin::Hearsay);
        let known = known.chain(hearsay.then_some((Origin::Hearsay, false)));
        known.max_by_key(|(origin, has)| (*has, std::cmp::Reverse(*origin)))
    }

    /// Believes nothing about these layers any more, and says why.
    pub(in crate::build) fn strike(&mut self, lost: &Lost, report: &mut (dyn FnMut(BuildEvent<'_>) + Send)) {
        // What was heard of it is worth no more than what a cache says.
        let origins = [lost.source, Origin::Hearsay];
        self.struck.extend(lost.layers.iter().flat_map(|layer| origins.map(|origin| (origin, *layer))));
        if let (Some(why), Some(source)) = (&lost.why, self.source(lost.source)) {
            warn(&format!("cannot use the cache `{}`: {why}", source.shown), report);
        }
    }

    fn source(&self, origin: Origin) -> Option<&Source> {
        match origin {
            Origin::Cache(number) => self.sources.get(number),
            Origin::Hearsay => None,
        }
    }
}

fn lost(source: Origin, layers: &[&Layer], why: Option<String>) -> BuildError {
    let layers = layers.iter().map(|layer| layer.chain_id).collect();
    BuildError::CacheLost(Lost { source, layers, why })
}

impl Engine {
    /// Sees to it that these layers, each after the one that it stands on, are here.
    pub(in crate::build) fn bring(&self, imported: &Imported, chain: &Chain) -> Result<(), BuildError> {
        if imported.is_empty() {
            return Ok(());
        }
        let missing = self.not_here(&chain.layers.iter().collect::<Vec<_>>())?;
        let mut left = missing.as_slice();
        while let Some(first) = left.first() {
            let Some((origin, has)) = imported.giver(&first.chain_id) else {
                return Err(CommitError::MissingLayer(first.diff_id).into());
            };
            let Some(source) = imported.source(origin).filter(|_| has) else {
                let without = |layer: &&&Layer| imported.giver(&layer.chain_id) == Some((origin, false));
                let without: Vec<&Layer> = left.iter().filter(without).copied().collect();
                return Err(lost(origin, &without, None));
            };
            let same = |layer: &&&Layer| imported.giver(&layer.chain_id) == Some((origin, true));
            let (own, rest) = left.split_at(left.iter().take_while(same).count());
            let brought = self.bring_from(source, own);
            self.remember_found(imported, own)?;
            if let Err(error) = brought {
                let missing = self.not_here(own)?;
                return Err(lost(origin, &missing, Some(causes(&*error))));
            }
            left = rest;
        }
        Ok(())
    }

    fn not_here<'l>(&self, layers: &[&'l Layer]) -> Result<Vec<&'l Layer>, BuildError> {
        let mut missing = Vec::new();
        for layer in layers {
            if self.store.layer(&layer.chain_id)?.is_none() {
                missing.push(*layer);
            }
        }
        Ok(missing)
    }

    fn bring_from(
        &self,
        source: &Source,
        layers: &[&Layer],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let snapshots = self.default_snapshots()?;
        let mut home = Home::new(&snapshots);
        let arrivals: Vec<Arrival> = layers
            .iter()
            .map(|layer| Arrival {
                parent: layer.parent,
                diff_id: Some(layer.diff_id),
                blob: source.layers.get(&layer.chain_id).and_then(|record| record.blob),
            })
            .collect();
        match &source.place {
            Place::Registry(remote) => {
                Ok(remote.artifact.bring(&self.store, &remote.session, &arrivals, &mut home)?)
            }
            Place::Directory(directory) => {
                for arrival in &arrivals {
                    self.unpack(directory, arrival, &mut home)?;
                }
                Ok(())
            }
            Place::Here => Ok(()),
        }
    }

    fn unpack(
        &self,
        directory: &Directory,
        arrival: &Arrival,
        home: &mut Home<'_>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Some(blob) = arrival.blob else { return Ok(()) };
        let (mut file, size) = directory.blob(&blob).map_err(|error| format!("layer {blob}: {error}"))?;
        let mut writer = self.store.blobs().writer()?;
        io::copy(&mut file, &mut writer).map_err(|error| format!("layer {blob}: {error}"))?;
        writer.finish(Some((blob, size)))?;
        place_layer(&self.store, self.store.blobs().open(&blob)?, arrival, home)?;
        Ok(())
    }

    /// From now on this machine knows them itself.
    fn remember_found(&self, imported: &Imported, layers: &[&Layer]) -> Result<(), BuildError> {
        for layer in layers {
            if self.store.layer(&layer.chain_id)?.is_none() {
                break;
            }
            let keys = lock(&imported.found).get(&layer.chain_id).cloned().unwrap_or_default();
            for key in keys {
                self.learn(&key, Some(layer.chain_id))?;
            }
        }
        Ok(())
    }

    /// What is known here already is not changed, but for what was only heard of.
    pub(in crate::build) fn learn(&self, key: &Digest, layer: Option<Digest>) -> Result<(), BuildError> {
        let held = self.store.cache().get(key)?;
        if held.is_some_and(|entry| !is_hearsay(&entry)) {
            return Ok(());
        }
        self.know(key, layer, &CachedStep { unchanged: layer.is_none(), elsewhere: None })
    }

    /// A step leads to a layer that is not here.
    pub(in crate::build) fn hear(&self, key: &Digest, layer: &Layer) -> Result<(), BuildError> {
        if self.store.cache().get(key)?.is_some() {
            return Ok(());
        }
        let elsewhere = Some(LayerRecord::of(layer));
        self.know(key, None, &CachedStep { unchanged: false, elsewhere })
    }

    /// Keeps what a step led to.
    pub(in crate::build) fn know(
        &self,
        key: &Digest,
        chain_id: Option<Digest>,
        step: &CachedStep,
    ) -> Result<(), BuildError> {
        let value = serde_json::to_vec(step).map_err(|error| BuildError::Layer(error.into()))?;
        Ok(self.store.cache().put(key, &CacheEntry { chain_id, value })?)
    }

    /// A chain with what is known of its layers now that they are here.
    pub(in crate::build) fn brought(&self, imported: &Imported, chain: Chain) -> Result<Chain, BuildError> {
        self.bring(imported, &chain)?;
        if imported.is_empty() {
            return Ok(chain);
        }
        let here = |layer: Layer| Ok(self.store.layer(&layer.chain_id)?.unwrap_or(layer));
        Ok(Chain { layers: chain.layers.into_iter().map(here).collect::<Result<_, BuildError>>()? })
    }
}

fn is_hearsay(entry: &CacheEntry) -> bool {
    serde_json::from_slice(&entry.value).is_ok_and(|step: CachedStep| step.elsewhere.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, parent: Option<Digest>, content: &str) -> Record {
        let diff_id = Digest::of(content);
        let layer =
            LayerRecord { chain_id: chain_id(parent.as_ref(), &diff_id), parent, diff_id, blob: None };
        Record { key: Digest::of(key), unchanged: false, layer: Some(layer) }
    }

    fn imported(records: Vec<Record>) -> Imported {
        let mut imported = Imported::default();
        imported.add(Source::new("x".into(), Records { records }, Place::Here));
        imported
    }

    #[test]
    fn a_record_is_about_a_layer_on_what_its_step_stands_on() {
        let base = Digest::of("base");
        let mut forged = record("forged", Some(base), "a");
        forged.layer.as_mut().unwrap().chain_id = Digest::of("another layer");
        let unchanged = Record { key: Digest::of("same"), unchanged: true, layer: None };
        let imported = imported(vec![record("good", Some(base), "a"), forged, unchanged]);
        let find = |key: &str, base: Option<&Digest>| imported.find(&Digest::of(key), base);
        assert!(matches!(find("good", Some(&base)), Some(Found::Layer(_))));
        assert!(find("good", None).is_none() && find("good", Some(&Digest::of("other"))).is_none());
        assert!(find("forged", Some(&base)).is_none());
        assert!(matches!(find("same", None), Some(Found::Unchanged)));
        assert!(find("unknown", Some(&base)).is_none());
    }

    #[test]
    fn what_is_struck_out_is_not_found_again() {
        let mut imported = imported(vec![record("a", None, "a"), record("b", None, "b")]);
        let Some(Found::Layer(layer)) = imported.find(&Digest::of("a"), None) else { panic!() };
        assert_eq!(imported.giver(&layer.chain_id), Some((Origin::Cache(0), false)));
        let lost = Lost { source: Origin::Cache(0), layers: vec![layer.chain_id], why: Some("gone".into()) };
        let mut said = Vec::new();
        imported.strike(&lost, &mut |event| {
            if let BuildEvent::Warning { warning, .. } = event {
                said.push(warning.message.clone());
            }
        });
        assert_eq!(said, ["cannot use the cache `x`: gone"]);
        assert!(imported.find(&Digest::of("a"), None).is_none());
        assert!(imported.record(&Digest::of("a")).is_none());
        assert!(imported.find(&Digest::of("b"), None).is_some());
    }
    #[test]
    fn what_was_heard_of_counts_until_somebody_wants_it() {
        let mut imported = Imported::default();
        assert!(imported.is_empty());
        let (base, key) = (Digest::of("base"), Digest::of("key"));
        let heard = record("key", Some(base), "a").layer.unwrap();
        assert!(imported.heard(&key, &heard, None).is_none(), "it stands on something else");
        let layer = imported.heard(&key, &heard, Some(&base)).unwrap();
        assert_eq!(imported.giver(&layer.chain_id), Some((Origin::Hearsay, false)));
        let lost = Lost { source: Origin::Hearsay, layers: vec![layer.chain_id], why: None };
        imported.strike(&lost, &mut |_| panic!("nothing to say"));
        assert!(imported.heard(&key, &heard, Some(&base)).is_none());
        assert_eq!(imported.giver(&layer.chain_id), None);
    }
}
