//! The `prune` verbs: what nobody uses goes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use wharf_model::Digest;
use wharf_runtime::tree::TreeError;
use wharf_store::{Layer, RecordError};

use crate::Engine;
use crate::container::RemoveError;
use crate::event::{Entry, Kind};
use crate::image::{RemoveImageError, Removed};
use crate::network::NetworkError;
use crate::volume::VolumeError;

/// How much goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Images without a name; volumes without one; cached layers no image stands on.
    Dangling,
    /// All that is not in use.
    Unused,
}

/// What stays although nobody uses it.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// What was made after this time.
    pub until: Option<Timestamp>,
    /// What has not all of these labels, each with a value or with any.
    pub labels: Vec<(String, Option<String>)>,
    /// What has one of these.
    pub labelled: Vec<(String, Option<String>)>,
}

/// What a prune removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned<T> {
    /// In the order in which they went.
    pub removed: Vec<T>,
    /// Bytes that they took.
    pub bytes: u64,
}

impl<T> Default for Pruned<T> {
    fn default() -> Self {
        Self { removed: Vec::new(), bytes: 0 }
    }
}

/// Why a prune stopped. What it had removed by then is gone.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The records.
    #[error("cannot read what there is to be removed")]
    Record(#[from] RecordError),
    /// A container.
    #[error(transparent)]
    Container(#[from] RemoveError),
    /// An image or a layer.
    #[error(transparent)]
    Image(#[from] RemoveImageError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The directory of a cache mount.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A network.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Keep {
    fn goes<'l>(
        &self,
        made: Option<Timestamp>,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
    ) -> bool {
        let old = match (self.until, made) {
            (Some(until), Some(made)) => made < until,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let has = |(name, value): &(String, Option<String>)| {
            labels
                .clone()
                .any(|(key, held)| key == name && value.as_deref().is_none_or(|value| value == held))
        };
        old && self.labels.iter().all(has) && !self.labelled.iter().any(has)
    }
}

impl Engine {
    /// Removes containers that do not run.
    ///
    /// # Errors
    /// When one can not be removed.
    pub fn prune_containers(&self, keep: &Keep) -> Result<Pruned<String>, PruneError> {
        let mut pruned = Pruned::default();
        for item in self.containers(true)? {
            let container = &item.container;
            let labels = container.config.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            if item.is_running() || !keep.goes(Some(container.created), labels) {
                continue;
            }
            let size = self.container_size(container);
            match self.remove(&container.id, false, false) {
                // It was started, or removed by somebody else, meanwhile.
                Err(RemoveError::Running { .. } | RemoveError::Lookup(_)) => continue,
                removed => removed?,
            };
            pruned.bytes += size;
            pruned.removed.push(container.id.clone());
        }
        self.note([Entry::prune(Kind::Container, pruned.bytes)]);
        Ok(pruned)
    }

    /// Removes images that no container was made from: those without a name, or all.
    ///
    /// # Errors
    /// When one can not be removed.
    pub fn prune_images(&self, scope: Scope, keep: &Keep) -> Result<Pruned<Removed>, PruneError> {
        self.sweep_unfinished();
        let sizes = self.layer_sizes()?;
        let mut pruned = Pruned::default();
        let containers = self.containers(true)?;
        for image in self.store.images()? {
            let used = containers.iter().any(|item| item.container.image_id == image.id);
            let labels = image.config.config.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let spared = scope == Scope::Dangling && !image.names.is_empty();
            if used || spared || !keep.goes(Timestamp::from_second(image.added).ok(), labels) {
                continue;
            }
            let removed = match self.remove_image(&image.id.to_string(), &[], true) {
                Err(RemoveImageError::Unknown(_) | RemoveImageError::Running { .. }) => continue,
                removed => removed?,
            };
            pruned.bytes += removed.iter().map(|removed| size_of(removed, &sizes)).sum::<u64>();
            pruned.removed.extend(removed);
        }
        let _spare = self.store.spare();
        pruned.bytes += self.store.forget_partial()?.bytes;
        self.throw_away();
        self.note([Entry::prune(Kind::Image, pruned.bytes)]);
        Ok(pruned)
    }

    /// Removes volumes that no container has: those without a name of their own, or all.
    ///
    /// # Errors
    /// When one can not be removed.
    pub fn prune_volumes(&self, scope: Scope, keep: &Keep) -> Result<Pruned<String>, PruneError> {
        let mut pruned = Pruned::default();
        for usage in self.disk_usage()?.volumes {
            let volume = &usage.volume;
            let labels = volume.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let spared = scope == Scope::Dangling && !volume.anonymous;
            if usage.links > 0 || spared || !keep.goes(volume.created.parse().ok(), labels) {
                continue;
            }
            match self.remove_volume(&volume.name) {
                Err(VolumeError::InUse { .. } | VolumeError::Unknown(_)) => continue,
                removed => removed?,
            }
            pruned.bytes += usage.size;
            pruned.removed.push(usage.volume.name);
        }
        self.note([Entry::prune(Kind::Volume, pruned.bytes)]);
        Ok(pruned)
    }

    /// Empties the build cache: what no image stands on, or all of it. Layers that images or
    /// containers stand on stay where they are.
    ///
    /// # Errors
    /// When a layer can not be removed.
    pub fn prune_build_cache(&self, scope: Scope) -> Result<Pruned<Digest>, PruneError> {
        let _spare = self.store.spare();
        self.sweep_unfinished();
        // Beside a build that goes on, layers it has just made would go.
        let Some(alone) = self.store.try_lock("gc", false)? else { return Ok(Pruned::default()) };
        let unused: Vec<Layer> = match scope {
            Scope::Unused => {
                self.store.plans().clear()?;
                // It only saves time: what can not be removed does no harm.
                let _ = std::fs::remove_dir_all(self.digests());
                self.store.cache().clear()?
            }
            Scope::Dangling => {
                let in_use = self.layers_in_use()?;
                self.store.cache().retain_layers(&|layer| in_use.contains(layer))?
            }
        };
        let mut pruned = Pruned::default();
        for layer in unused {
            self.remove_layer(&layer)?;
            pruned.bytes += layer.size;
            pruned.removed.push(layer.chain_id);
        }
        drop(alone);
        pruned.bytes += self.store.sweep()?.bytes;
        Ok(pruned)
    }

    fn layer_sizes(&self) -> Result<BTreeMap<Digest, u64>, RecordError> {
        Ok(self.store.layers()?.into_iter().map(|layer| (layer.chain_id, layer.size)).collect())
    }
}

fn size_of(removed: &Removed, sizes: &BTreeMap<Digest, u64>) -> u64 {
    match removed {
        Removed::Deleted(digest) => sizes.get(digest).copied().unwrap_or(0),
        Removed::Untagged(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_young_or_labelled_otherwise_stays() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let labels = [("a", "1"), ("b", "2")];
        for (until, wanted, goes) in [
            (None, vec![], true),
            (Some(at(100)), vec![], true),
            (Some(at(50)), vec![], false),
            (None, vec![("a".to_owned(), None)], true),
            (None, vec![("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)], true),
            (None, vec![("a".to_owned(), Some("2".to_owned()))], false),
            (None, vec![("c".to_owned(), None)], false),
        ] {
            let keep = Keep { until, labels: wanted, labelled: Vec::new() };
            assert_eq!(keep.goes(Some(at(60)), labels.into_iter()), goes, "for {keep:?}");
        }
    }
}
