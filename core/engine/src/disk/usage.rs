//! `system df`: how many bytes images, containers, volumes and the build cache take.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use wharf_model::{Digest, Reference};
use wharf_store::{Image, Layer, RecordError};

use crate::Engine;
use crate::container::{Container, ContainerSummary};
use crate::snapshot;
use crate::volume::{Volume, VolumeError};

/// Everything that takes room.
#[derive(Debug, Clone, Default)]
pub struct DiskUsage {
    /// Images, newest first.
    pub images: Vec<ImageUsage>,
    /// Bytes of all layers of images, each counted once.
    pub layers: u64,
    /// Bytes of layers of images in use.
    pub layers_in_use: u64,
    /// Containers, newest first.
    pub containers: Vec<ContainerUsage>,
    /// Volumes by name.
    pub volumes: Vec<VolumeUsage>,
    /// Layers that the build cache has, topmost first.
    pub cache: Vec<CacheUsage>,
}

/// One image.
#[derive(Debug, Clone)]
pub struct ImageUsage {
    /// Its id.
    pub id: Digest,
    /// Its names.
    pub names: Vec<Reference>,
    /// When it came to be here: seconds since 1970.
    pub added: i64,
    /// Bytes of its layers.
    pub size: u64,
    /// Of these, bytes that another image has too.
    pub shared: u64,
    /// How many containers were made from it.
    pub containers: usize,
}

/// One container.
#[derive(Debug, Clone)]
pub struct ContainerUsage {
    /// Its record and state.
    pub summary: ContainerSummary,
    /// Bytes of what it changed.
    pub size: u64,
}

/// One volume.
#[derive(Debug, Clone)]
pub struct VolumeUsage {
    /// The volume.
    pub volume: Volume,
    /// Bytes of its files.
    pub size: u64,
    /// How many containers have it.
    pub links: usize,
}

/// One layer that a step of a build led to.
#[derive(Debug, Clone)]
pub struct CacheUsage {
    /// Its chain id.
    pub id: Digest,
    /// Bytes.
    pub size: u64,
    /// An image or a container stands on it.
    pub in_use: bool,
}

impl Engine {
    /// Looks at everything that takes room; walks the files of containers and volumes.
    ///
    /// # Errors
    /// When the records can not be read.
    pub fn disk_usage(&self) -> Result<DiskUsage, VolumeError> {
        let failed = |source| VolumeError::Record { name: "*".to_owned(), source };
        let images = self.store.images().map_err(failed)?;
        let containers = self.containers(true).map_err(failed)?;
        let used: BTreeSet<Digest> = containers.iter().map(|item| item.container.image_id).collect();
        Ok(DiskUsage {
            layers: bytes(images.iter()),
            layers_in_use: bytes(images.iter().filter(|image| used.contains(&image.id))),
            cache: self.cache_usage().map_err(failed)?,
            images: image_usages(&images, &containers),
            containers: containers.into_iter().map(|item| self.container_usage(item)).collect(),
            volumes: self.volume_usages()?,
        })
    }

    fn container_usage(&self, summary: ContainerSummary) -> ContainerUsage {
        ContainerUsage { size: self.container_size(&summary.container), summary }
    }

    /// Bytes of what a container changed, or of its whole tree where the driver makes no difference.
    pub(super) fn container_size(&self, container: &Container) -> u64 {
        let object = snapshot::container(&container.id, container.layers.clone());
        let changes = self.snapshots(&container.storage).and_then(|snapshots| snapshots.changes(&object));
        changes.map_or(0, |changes| size_of(format!("/proc/self/fd/{}", changes.as_raw_fd()).as_ref()))
    }

    fn volume_usages(&self) -> Result<Vec<VolumeUsage>, VolumeError> {
        let usage = |volume: Volume| {
            let users = self.store.volumes().users(&volume.name);
            let links =
                users.map_err(|source| VolumeError::Record { name: volume.name.clone(), source })?.len();
            Ok(VolumeUsage { size: size_of(&volume.path), volume, links })
        };
        self.volumes()?.into_iter().map(usage).collect()
    }

    /// Layers of the build cache, each before those below it.
    pub(super) fn cache_usage(&self) -> Result<Vec<CacheUsage>, RecordError> {
        let layers: BTreeMap<Digest, Layer> =
            self.store.layers()?.into_iter().map(|layer| (layer.chain_id, layer)).collect();
        let in_use = self.layers_in_use()?;
        let mut seen = BTreeSet::new();
        let mut usages = Vec::new();
        for top in self.store.cache().layers()? {
            let mut next = Some(top);
            while let Some(layer) =
                next.and_then(|id| layers.get(&id)).filter(|layer| seen.insert(layer.chain_id))
            {
                let (id, size) = (layer.chain_id, layer.size);
                usages.push(CacheUsage { id, size, in_use: in_use.contains(&id) });
                next = layer.parent;
            }
        }
        Ok(usages)
    }

    /// Layers that images and containers stand on.
    pub(super) fn layers_in_use(&self) -> Result<BTreeSet<Digest>, RecordError> {
        let images = self.store.images()?;
        let of_images = images.iter().flat_map(|image| image.layers.iter().map(|layer| layer.chain_id));
        let containers = self.containers(true)?;
        let hexes = containers.iter().flat_map(|item| item.container.layers.iter());
        Ok(of_images.chain(hexes.filter_map(|hex| Digest::from_hex(hex).ok())).collect())
    }
}

/// Bytes of the layers of some images, each layer counted once.
fn bytes<'a>(images: impl Iterator<Item = &'a Image>) -> u64 {
    let layers = images.flat_map(|image| image.layers.iter().map(|layer| (layer.chain_id, layer.size)));
    layers.collect::<BTreeMap<_, _>>().into_values().sum()
}

fn image_usages(images: &[Image], containers: &[ContainerSummary]) -> Vec<ImageUsage> {
    let mut times: BTreeMap<Digest, usize> = BTreeMap::new();
    for layer in images.iter().flat_map(|image| &image.layers) {
        *times.entry(layer.chain_id).or_default() += 1;
    }
    let usage = |image: &Image| ImageUsage {
        id: image.id,
        names: image.names.clone(),
        added: image.added,
        size: image.layers.iter().map(|layer| layer.size).sum(),
        shared: image.layers.iter().filter(|layer| times[&layer.chain_id] > 1).map(|layer| layer.size).sum(),
        containers: containers.iter().filter(|item| item.container.image_id == image.id).count(),
    };
    let mut usages: Vec<ImageUsage> = images.iter().map(usage).collect();
    usages.sort_by_key(|image| std::cmp::Reverse(image.added));
    usages
}

/// Bytes of the regular files below a directory. A file with several names counts once; links lead
/// nowhere; what goes away meanwhile counts nothing.
pub(super) fn size_of(directory: &Path) -> u64 {
    let mut seen = BTreeSet::new();
    let mut todo = vec![directory.to_owned()];
    let mut total = 0;
    while let Some(path) = todo.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                todo.push(entry.path());
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())))
            {
                total += metadata.len();
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_once_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/file"), [0; 1000]).unwrap();
        fs::hard_link(dir.path().join("below/file"), dir.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("root")).unwrap();
        assert_eq!(size_of(dir.path()), 1000);
        assert_eq!(size_of(&dir.path().join("nowhere")), 0);
    }
}
