//! `rmi`: names first, then the image, then layers that nothing needs any more.

use wharf_model::{Digest, Platform, Reference};
use wharf_store::{Image, Layer, RecordError, ResolveError, TagError};

use crate::Engine;
use crate::container::Container;
use crate::event::Entry;
use crate::snapshot::{self, SnapshotError};

/// What `rmi` did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(Reference),
    /// An image or a layer is gone.
    Deleted(Digest),
}

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveImageError {
    /// No such image.
    #[error("No such image: {0}")]
    Unknown(String),
    /// Several ids begin so, or the name is not one.
    #[error(transparent)]
    Resolve(ResolveError),
    /// A container needs the last name of it.
    #[error(
        "conflict: unable to remove repository reference \"{name}\" (must force) - container {container} is using its referenced image {image}"
    )]
    NameInUse {
        /// As typed.
        name: String,
        /// Short id.
        container: String,
        /// Short id.
        image: String,
    },
    /// A stopped container needs it.
    #[error(
        "conflict: unable to delete {image} (must be forced) - image is being used by stopped container {container}"
    )]
    InUse {
        /// Short id.
        image: String,
        /// Short id.
        container: String,
    },
    /// A running container needs it.
    #[error(
        "conflict: unable to delete {image} (cannot be forced) - image is being used by running container {container}"
    )]
    Running {
        /// Short id.
        image: String,
        /// Short id.
        container: String,
    },
    /// An id that has several names.
    #[error("conflict: unable to delete {0} (must be forced) - image is referenced in multiple repositories")]
    ManyNames(String),
    /// It has other names.
    #[error("image {image} is not called {name}")]
    OtherName {
        /// Short id.
        image: String,
        /// As people write it.
        name: String,
    },
    /// The records.
    #[error("cannot change the records of images")]
    Record(#[from] RecordError),
    /// The name.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The layers.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl Engine {
    /// Removes a name, and the image with its last one; an id removes all of its names. The name of an
    /// index goes with all of its images, or with those for these platforms only.
    ///
    /// # Errors
    /// When there is none, or none for one of the platforms, or a container needs it and `force` does not help.
    pub fn remove_image(
        &self,
        name: &str,
        platforms: &[Platform],
        force: bool,
    ) -> Result<Vec<Removed>, RemoveImageError> {
        let _spare = self.store.spare();
        let which = self.to_remove(name, platforms)?;
        let Some(image) = which.first().cloned() else { return Ok(Vec::new()) };
        let by_name = name.parse::<Reference>().ok().filter(|reference| image.names.contains(reference));
        if let Some(reference) = &by_name {
            let all = self.store.variants(reference)?;
            if all.len() > 1 {
                let which = if platforms.is_empty() { all } else { which };
                return self.remove_variants(name, reference, &which, force);
            }
        }
        let users = self.users(&image)?;
        match by_name {
            Some(reference) if image.names.len() > 1 => Ok(vec![self.untag(&image, &reference)?]),
            Some(_) => self.remove_last_name(name, &image, &users, force),
            None => self.remove_by_id(&image, &users, force),
        }
    }

    /// The image that a name or an id stands for; those for these platforms, where there are some.
    fn to_remove(&self, name: &str, platforms: &[Platform]) -> Result<Vec<Image>, RemoveImageError> {
        let for_platform = |platform: Option<&Platform>| {
            self.store.resolve_for(name, platform).map_err(|error| match error {
                ResolveError::Unknown { .. } => RemoveImageError::Unknown(name.to_owned()),
                other => RemoveImageError::Resolve(other),
            })
        };
        if platforms.is_empty() {
            return Ok(vec![for_platform(None)?]);
        }
        let mut found: Vec<Image> = Vec::new();
        for platform in platforms {
            let image = for_platform(Some(platform))?;
            if found.iter().all(|known| known.id != image.id) {
                found.push(image);
            }
        }
        Ok(found)
    }

    /// A container keeps the layers of its image, so the name may go when it is forced to.
    fn remove_last_name(
        &self,
        name: &str,
        image: &Image,
        users: &[(Container, bool)],
        force: bool,
    ) -> Result<Vec<Removed>, RemoveImageError> {
        match users.first() {
            None => self.delete(image),
            Some((container, _)) if !force => Err(RemoveImageError::NameInUse {
                name: name.to_owned(),
                container: container.short_id().to_owned(),
                image: image.id.short(),
            }),
            Some(_) => image.names.iter().map(|reference| self.untag(image, reference)).collect(),
        }
    }

    /// Takes a name from some of its images; those that have no other one go.
    fn remove_variants(
        &self,
        name: &str,
        reference: &Reference,
        images: &[Image],
        force: bool,
    ) -> Result<Vec<Removed>, RemoveImageError> {
        for image in images.iter().filter(|image| image.names.len() == 1 && !force) {
            if let Some((container, _)) = self.users(image)?.first() {
                let container = container.short_id().to_owned();
                let (name, image) = (name.to_owned(), image.id.short());
                return Err(RemoveImageError::NameInUse { name, container, image });
            }
        }
        let mut removed = Vec::new();
        for image in images {
            removed.extend(self.untag_one(image, reference)?);
            let left = self.store.image(&image.id)?.filter(|image| image.names.is_empty());
            if let Some(left) = left.filter(|left| self.users(left).is_ok_and(|users| users.is_empty())) {
                removed.extend(self.delete(&left)?);
            }
        }
        Ok(removed)
    }

    fn remove_by_id(
        &self,
        image: &Image,
        users: &[(Container, bool)],
        force: bool,
    ) -> Result<Vec<Removed>, RemoveImageError> {
        let id = image.id.short();
        if let Some((container, _)) = users.iter().find(|(_, running)| *running) {
            return Err(RemoveImageError::Running { image: id, container: container.short_id().to_owned() });
        }
        if let (Some((container, _)), false) = (users.first(), force) {
            return Err(RemoveImageError::InUse { image: id, container: container.short_id().to_owned() });
        }
        let mut repositories: Vec<String> = image.names.iter().map(Reference::familiar_name).collect();
        repositories.dedup();
        if repositories.len() > 1 && !force {
            return Err(RemoveImageError::ManyNames(id));
        }
        self.delete(image)
    }

    /// Takes these names from an image, or all that it has; the image stays.
    ///
    /// # Errors
    /// When there is none, or it is not called so; then it keeps all names.
    pub fn untag_image(&self, image: &str, names: &[String]) -> Result<Vec<Removed>, RemoveImageError> {
        let image = self.store.resolve(image).map_err(|error| match error {
            ResolveError::Unknown { name } => RemoveImageError::Unknown(name),
            other => RemoveImageError::Resolve(other),
        })?;
        let own = |name: &String| {
            let name = name.parse::<Reference>().map_err(|error| RemoveImageError::Resolve(error.into()))?;
            let other = || RemoveImageError::OtherName { image: image.id.short(), name: name.familiar() };
            image.names.contains(&name).then(|| name.clone()).ok_or_else(other)
        };
        let mut gone = names.iter().map(own).collect::<Result<Vec<Reference>, _>>()?;
        if names.is_empty() {
            gone.clone_from(&image.names);
        }
        gone.sort();
        gone.dedup();
        gone.iter().map(|name| self.untag(&image, name)).collect()
    }

    fn untag(&self, image: &Image, reference: &Reference) -> Result<Removed, RemoveImageError> {
        self.store.untag(reference)?;
        self.note([Entry::image("untag", &image.id, Some(reference.familiar()))]);
        Ok(Removed::Untagged(reference.clone()))
    }

    /// The name itself is gone with the last image that has it.
    fn untag_one(&self, image: &Image, name: &Reference) -> Result<Option<Removed>, RemoveImageError> {
        self.store.untag_one(name, &image.id)?;
        if !self.store.variants(name)?.is_empty() {
            return Ok(None);
        }
        self.note([Entry::image("untag", &image.id, Some(name.familiar()))]);
        Ok(Some(Removed::Untagged(name.clone())))
    }

    fn delete(&self, image: &Image) -> Result<Vec<Removed>, RemoveImageError> {
        let mut removed = Vec::new();
        for reference in &image.names {
            removed.extend(self.untag_one(image, reference)?);
        }
        let layers = self.store.delete_image(&image.id)?;
        self.note([Entry::image("delete", &image.id, None)]);
        removed.push(Removed::Deleted(image.id));
        for layer in &layers {
            self.remove_layer(layer)?;
            removed.push(Removed::Deleted(layer.chain_id));
        }
        let _ = self.store.sweep();
        Ok(removed)
    }

    /// The record goes first: a directory without one is garbage, a record without one a lie.
    pub(crate) fn remove_layer(&self, layer: &Layer) -> Result<(), RemoveImageError> {
        if self.store.forget_layer(&layer.chain_id)? {
            let object = snapshot::layer(&layer.chain_id.hex(), Vec::new());
            self.snapshots(&layer.driver)?.remove(&object)?;
        }
        Ok(())
    }

    /// Containers of an image, and whether they run.
    fn users(&self, image: &Image) -> Result<Vec<(Container, bool)>, RemoveImageError> {
        let mut users = self.containers(true)?;
        users.retain(|item| item.container.image_id == image.id);
        Ok(users
            .into_iter()
            .map(|item| (item.is_running(), item.container))
            .map(|(runs, it)| (it, runs))
            .collect())
    }
}
