//! The build cache: what there is, and what goes when it is too much.
//!
//! It is the layers that steps led to, and the directories of cache mounts. What was not used for the
//! longest time goes first. What an image or a container stands on is not counted and stays; while
//! something is being built, nothing goes. A cache mount counts as used when something in its topmost
//! directory came or went last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use wharf_model::Digest;
use wharf_runtime::tree;
use wharf_store::{CacheItem, Layer, RecordError};

use super::prune::{PruneError, Pruned, Scope};
use super::usage::size_of;
use crate::Engine;

/// Where cache mounts are, below the root.
const MOUNTS: &str = "cache-mounts";

/// Something that the build cache keeps.
#[derive(Debug, Clone)]
pub struct Cached {
    /// A layer, or the directory of a cache mount.
    pub place: CachedPlace,
    /// Bytes.
    pub size: u64,
    /// An image or a container stands on it.
    pub in_use: bool,
    /// When it was made, where that is known.
    pub made: Option<Timestamp>,
    /// When it was used last, where that is known.
    pub used: Option<Timestamp>,
    /// The statement that used it last.
    pub description: String,
}

/// What keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachedPlace {
    /// A layer, by chain id.
    Layer(Digest),
    /// A cache mount.
    Mount(PathBuf),
}

impl CachedPlace {
    /// What it is called in lists.
    pub fn name(&self) -> String {
        match self {
            Self::Layer(chain_id) => chain_id.hex(),
            Self::Mount(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}

/// How far the build cache is emptied.
#[derive(Debug, Clone, Copy)]
pub struct Trim {
    /// Also what images stand on; the images stay.
    pub scope: Scope,
    /// Only what was not used since.
    pub until: Option<Timestamp>,
    /// No further than to so many bytes.
    pub keep: Option<u64>,
}

impl Engine {
    /// What the build cache keeps, used last first.
    ///
    /// # Errors
    /// When the records can not be read.
    pub fn build_cache(&self) -> Result<Vec<Cached>, RecordError> {
        let items: BTreeMap<Digest, CacheItem> =
            self.store.cache().items()?.into_iter().map(|item| (item.layer, item)).collect();
        let layers = self.cache_usage()?.into_iter().map(|usage| {
            let item = items.get(&usage.id);
            let time = |time: fn(&CacheItem) -> i64| item.map(time).filter(|at| *at > 0);
            Cached {
                place: CachedPlace::Layer(usage.id),
                size: usage.size,
                in_use: usage.in_use,
                made: time(|item| item.made).and_then(|at| Timestamp::from_second(at).ok()),
                used: time(|item| item.used).and_then(|at| Timestamp::from_second(at).ok()),
                description: item.map(|item| item.label.clone()).unwrap_or_default(),
            }
        });
        let mut cached: Vec<Cached> = layers.chain(self.cache_mounts()).collect();
        cached.sort_by_key(|cached| std::cmp::Reverse(cached.used));
        Ok(cached)
    }

    fn cache_mounts(&self) -> Vec<Cached> {
        let mounts = fs::read_dir(self.root().join(MOUNTS)).into_iter().flatten().flatten();
        let cached = mounts.map(|entry| {
            let changed = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            Cached {
                size: size_of(&entry.path()),
                place: CachedPlace::Mount(entry.path()),
                in_use: false,
                made: None,
                used: changed.and_then(|time| Timestamp::try_from(time).ok()),
                description: "a cache mount of RUN".to_owned(),
            }
        });
        cached.collect()
    }

    /// Takes the build cache down to what a site wants to keep of it. Layers that images or containers
    /// stand on stay where they are.
    ///
    /// # Errors
    /// When something can not be removed.
    pub fn trim_build_cache(&self, trim: &Trim) -> Result<Pruned<String>, PruneError> {
        let _spare = self.store.spare();
        self.sweep_unfinished();
        let mut pruned = Pruned::default();
        // Beside a build that goes on, layers it has just made would go.
        let Some(alone) = self.store.try_lock("gc", false)? else { return Ok(pruned) };
        let cached = self.build_cache()?;
        let mut left: u64 = cached.iter().filter(|cached| !cached.in_use).map(|cached| cached.size).sum();
        let known: BTreeSet<Digest> = self.store.cache().layers()?.into_iter().collect();
        for oldest in cached.iter().rev().filter(|cached| goes(cached, trim, &known)) {
            if trim.keep.is_some_and(|keep| left <= keep) {
                break;
            }
            let bytes = self.evict(oldest, &mut pruned.removed)?;
            left = left.saturating_sub(bytes);
            pruned.bytes += bytes;
        }
        if trim.scope == Scope::Unused && trim.until.is_none() && trim.keep.is_none() {
            // What leads to no layer, and what was downloaded.
            self.store.plans().clear()?;
            self.store.cache().clear()?;
        }
        drop(alone);
        pruned.bytes += self.store.sweep()?.bytes;
        Ok(pruned)
    }

    /// Bytes that went with it.
    fn evict(&self, cached: &Cached, removed: &mut Vec<String>) -> Result<u64, PruneError> {
        match &cached.place {
            CachedPlace::Mount(path) => {
                tree::remove(path)?;
                removed.push(cached.place.name());
                Ok(cached.size)
            }
            CachedPlace::Layer(chain_id) => {
                let unused: Vec<Layer> = self.store.cache().forget(chain_id)?;
                for layer in &unused {
                    self.remove_layer(layer)?;
                    removed.push(layer.chain_id.hex());
                }
                Ok(unused.iter().map(|layer| layer.size).sum())
            }
        }
    }

    /// After a build: what is more than the site's limit goes. That it can not is no failure of the
    /// build.
    pub(crate) fn keep_cache_small(&self) -> Option<PruneError> {
        let keep = self.config().build_cache?;
        let trim = Trim { scope: Scope::Dangling, until: None, keep: Some(keep) };
        self.trim_build_cache(&trim).err()
    }
}

/// Cache mounts cost the most to fill again, so they only go when somebody says how much is too much or
/// too old, or wants all gone.
fn goes(cached: &Cached, trim: &Trim, known: &BTreeSet<Digest>) -> bool {
    let old = trim.until.is_none_or(|until| cached.used.is_none_or(|used| used < until));
    let wanted = match &cached.place {
        CachedPlace::Layer(chain_id) => {
            known.contains(chain_id) && (trim.scope == Scope::Unused || !cached.in_use)
        }
        CachedPlace::Mount(_) => trim.scope == Scope::Unused || trim.until.is_some() || trim.keep.is_some(),
    };
    old && wanted
}
