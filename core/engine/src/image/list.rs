//! `images`, `tag`, and looking one image up.

use std::collections::{BTreeMap, HashMap, HashSet};

use wharf_model::{Digest, Platform, Reference, ReferenceError};
use wharf_store::record::repository;
use wharf_store::{Image, RecordError, ResolveError, TagError, usual_first};

use crate::Engine;
use crate::event::Entry;

/// One row of `images`: an image has as many as it has names, and one when it has none.
#[derive(Debug, Clone)]
pub struct ImageSummary {
    /// The name; `None` is `<none>`.
    pub name: Option<Reference>,
    /// Its id.
    pub id: Digest,
    /// When it came to be here: seconds since 1970.
    pub added: i64,
    /// Bytes of all its layers unpacked.
    pub size: u64,
    /// What it runs on.
    pub platform: Platform,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// An image, or an index with its images that are here.
#[derive(Debug, Clone)]
pub struct ImageTree {
    /// What `images` shows of it.
    pub summary: ImageSummary,
    /// The index that the name leads to.
    pub index: Option<Digest>,
    /// Its images, the usual one first; the image itself when there is no index.
    pub variants: Vec<ImageVariant>,
}

/// An image for one platform.
#[derive(Debug, Clone)]
pub struct ImageVariant {
    /// Its id.
    pub id: Digest,
    /// What it runs on.
    pub platform: Platform,
    /// Bytes of its layers unpacked.
    pub size: u64,
    /// Bytes of its layers as they came, and of its config, that are kept here.
    pub content: u64,
    /// Containers were made from it.
    pub in_use: bool,
}

/// Why an image got no further name.
#[derive(Debug, thiserror::Error)]
pub enum TagImageError {
    /// No such image.
    #[error(transparent)]
    Image(#[from] ResolveError),
    /// The new name is not one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// The name can not be kept.
    #[error(transparent)]
    Tag(#[from] TagError),
}

impl Engine {
    /// Names and images, newest first. A name of an index has one row.
    ///
    /// # Errors
    /// When the records can not be read.
    pub fn images(&self) -> Result<Vec<ImageSummary>, RecordError> {
        let mut images = self.store.images()?;
        images.sort_by(|one, other| other.added.cmp(&one.added).then(one.id.cmp(&other.id)));
        let mut rows: Vec<ImageSummary> = images.iter().flat_map(rows).collect();
        let mut times: BTreeMap<Reference, usize> = BTreeMap::new();
        rows.iter().flat_map(|row| row.name.clone()).for_each(|name| *times.entry(name).or_default() += 1);
        for (name, _) in times.into_iter().filter(|(_, times)| *times > 1) {
            let usual = variants(&name, &images).first().map(|image| image.id);
            rows.retain(|row| row.name.as_ref() != Some(&name) || Some(row.id) == usual);
        }
        Ok(rows)
    }

    /// What is behind each of these rows: the images of an index.
    ///
    /// # Errors
    /// When the records can not be read.
    pub fn image_trees(&self, rows: Vec<ImageSummary>) -> Result<Vec<ImageTree>, RecordError> {
        let (images, indexes) = (self.store.images()?, self.store.indexes()?);
        let containers = self.containers(true)?;
        let used: HashSet<Digest> = containers.into_iter().map(|item| item.container.image_id).collect();
        let mut named: HashMap<&Reference, Vec<Image>> = HashMap::new();
        for image in &images {
            image.names.iter().for_each(|name| named.entry(name).or_default().push(image.clone()));
        }
        let tree = |summary: ImageSummary| {
            let index = summary.name.as_ref().and_then(|name| indexes.get(name)).copied();
            let behind = match &summary.name {
                Some(name) => usual_first(named.get(name).cloned().unwrap_or_default()),
                None => images.iter().filter(|image| image.id == summary.id).cloned().collect(),
            };
            let variants = behind.iter().map(|image| self.variant(image, used.contains(&image.id))).collect();
            ImageTree { summary, index, variants }
        };
        Ok(rows.into_iter().map(tree).collect())
    }

    fn variant(&self, image: &Image, in_use: bool) -> ImageVariant {
        let size = |digest: &Digest| self.store.blobs().size(digest).unwrap_or(0);
        let layers = image.layers.iter().filter_map(|layer| layer.blob.as_ref());
        ImageVariant {
            id: image.id,
            platform: image.config.platform(),
            size: image.size,
            content: size(&image.id) + layers.map(size).sum::<u64>(),
            in_use,
        }
    }

    /// What a registry's tag of that name led to when the image was pulled or pushed.
    ///
    /// # Errors
    /// When the records can not be read.
    pub fn remote_digest(&self, image: &ImageSummary) -> Result<Option<Digest>, RecordError> {
        let Some(name) = &image.name else { return Ok(None) };
        let repository = repository(name);
        let remotes = self.store.remotes().of(&image.id)?;
        let own = remotes.into_iter().find(|remote| remote.repository == repository);
        Ok(name.digest().or(own.map(|remote| remote.digest)))
    }

    /// The image of that name, id or unambiguous beginning of an id.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn image(&self, name: &str) -> Result<Image, ResolveError> {
        self.store.resolve(name)
    }

    /// Gives an image a further name; an image that had it loses it.
    ///
    /// # Errors
    /// When there is no such image, or the name is not one.
    pub fn tag(&self, image: &str, name: &str) -> Result<(), TagImageError> {
        let from = image.parse::<Reference>().ok();
        let image = self.store.resolve(image)?;
        let reference = Reference::to_give(name)?;
        match from.filter(|from| image.names.contains(from)) {
            Some(from) => self.store.tag_alike(&from, &reference)?,
            None => drop(self.store.tag(&image.id, &reference)?),
        }
        self.note([Entry::image("tag", &image.id, Some(reference.familiar()))]);
        Ok(())
    }
}

/// Those of these images that a name leads to, the usual one first.
fn variants(name: &Reference, images: &[Image]) -> Vec<Image> {
    usual_first(images.iter().filter(|image| image.names.contains(name)).cloned().collect())
}

fn rows(image: &Image) -> Vec<ImageSummary> {
    let row = |name| ImageSummary {
        name,
        id: image.id,
        added: image.added,
        size: image.size,
        platform: image.config.platform(),
        labels: image.config.config.labels.clone(),
    };
    if image.names.is_empty() {
        vec![row(None)]
    } else {
        listed(&image.names).into_iter().map(Some).map(row).collect()
    }
}

/// A name with a digest says nothing new beside one with a tag of the same repository, as docker has it.
fn listed(names: &[Reference]) -> Vec<Reference> {
    let tagged = |repository: &String| {
        names.iter().any(|name| name.digest().is_none() && name.familiar_name() == *repository)
    };
    names.iter().filter(|name| name.digest().is_none() || !tagged(&name.familiar_name())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_a_row_where_no_tag_of_its_repository_has_one() {
        let digest = Digest::of("x");
        let names: Vec<Reference> =
            ["a:1".to_owned(), format!("a@{digest}"), "h.io/a:2".to_owned(), format!("h.io/b@{digest}")]
                .iter()
                .map(|name| name.parse().unwrap())
                .collect();
        let shown: Vec<String> = listed(&names).iter().map(Reference::familiar).collect();
        assert_eq!(shown, ["a:1".to_owned(), "h.io/a:2".to_owned(), format!("h.io/b@{digest}")]);
    }
}
