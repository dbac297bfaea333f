//! Further contexts that have names (`--build-context NAME=VALUE`).
//!
//! | value | what it is |
//! |---|---|
//! | a directory | its files, seen through its own `.dockerignore` |
//! | a git repository | the commit's files |
//! | `http://...`, a tar | the tar's files |
//! | `http://...`, anything else | that file alone |
//! | `docker-image://NAME` | that image |
//! | `oci-layout://DIRECTORY[:TAG][@DIGEST]` | an image of an OCI image layout |
//!
//! A name wins over the stage and over the image of that name, wherever the Dockerfile says it:
//! FROM, `COPY --from`, `RUN --mount=from`. Names are references: `alpine` and `alpine:latest` are one
//! name. A FROM of a directory is a COPY of all of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharf_model::{Platform, Reference, ReferenceError};
use wharf_store::layer;
use wharf_store::{Image, fetch};

use super::context::Context;
use super::fetch::Scratch;
use super::gather::{Held, Inside, is_web};
use super::git;
use super::layout;
use super::plan::Images;
use super::provenance::Material;
use super::request::BuildError;
use crate::Engine;

/// Why a name can not be given.
#[derive(Debug, thiserror::Error)]
pub enum NamedError {
    /// It is no name.
    #[error("invalid context name `{name}`")]
    Name {
        /// As given.
        name: String,
        /// Why not.
        source: ReferenceError,
    },
    /// `target:` is for `bake`, where one build's result is another one's context.
    #[error("the build context `{0}` is a target of another build, which only a bake file has")]
    Target(String),
    /// An OCI image layout.
    #[error("cannot take build context `{name}` from the OCI image layout {path}", path = .path.display())]
    Layout {
        /// The context's name.
        name: String,
        /// The layout's directory.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Contexts by name.
#[derive(Debug, Default)]
pub(super) struct Named(BTreeMap<String, Given>);

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Given {
    Directory(Arc<Context>),
    Image {
        /// As policies know it.
        reference: String,
        image: Box<Image>,
    },
}

impl Named {
    /// What `name` stands for, if it was given.
    pub(super) fn get(&self, name: &str) -> Option<&Given> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&key(name).ok()?)
    }

    /// All that are directories.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Arc<Context>> {
        self.0.values().filter_map(|given| match given {
            Given::Directory(context) => Some(context),
            Given::Image { .. } => None,
        })
    }
}

fn key(name: &str) -> Result<String, ReferenceError> {
    // Stages may be written in any case, images may not.
    name.to_lowercase().parse::<Reference>().map(|reference| reference.to_string())
}

impl Engine {
    /// Fetches and opens what was given names, the later one of two with the same name.
    pub(super) fn name_contexts(
        &self,
        contexts: &[(String, String)],
        platform: Option<&Platform>,
        images: &dyn Images,
    ) -> Result<Named, BuildError> {
        let mut named = Named::default();
        for (name, value) in contexts {
            let key = key(name).map_err(|source| NamedError::Name { name: name.clone(), source })?;
            named.0.insert(key, self.given(name, value, platform, images)?);
        }
        Ok(named)
    }

    fn given(
        &self,
        name: &str,
        value: &str,
        platform: Option<&Platform>,
        images: &dyn Images,
    ) -> Result<Given, BuildError> {
        if let Some(reference) = value.strip_prefix("docker-image://") {
            let image = Box::new(images.base_image(reference, platform)?);
            return Ok(Given::Image { reference: reference.to_owned(), image });
        }
        if let Some(layout) = value.strip_prefix("oci-layout://") {
            return self.given_layout(name, layout);
        }
        if value.starts_with("target:") {
            return Err(NamedError::Target(name.to_owned()).into());
        }
        let context = if Path::new(value).is_dir() {
            Context::open(Path::new(value), None)?.remembering(self.digests())
        } else if let Some(address) = git::Address::parse(value) {
            inside(self.check_out_context(address)?)?
        } else if is_web(value) {
            inside(self.downloaded(value)?)?
        } else {
            Context::open(Path::new(value), None)?
        };
        Ok(Given::Directory(Arc::new(context)))
    }

    /// An archive unpacked, or the file alone.
    fn downloaded(&self, url: &str) -> Result<Inside, BuildError> {
        let fetched = fetch::download(&self.store, url, None)?;
        let failed = |source| BuildError::Read { path: url.into(), source };
        let blob = self.store.blobs().open(&fetched.digest);
        let mut blob = blob.map_err(|error| BuildError::Layer(error.into()))?;
        if layer::holds_tar(&mut blob).map_err(failed)? {
            let material = Some(Material::download(url, &fetched.digest));
            return Ok(Inside { material, ..self.unpacked(blob, url)? });
        }
        let scratch = Scratch::make(self)?;
        let directory = scratch.path().to_owned();
        let path = directory.join(file_name(url));
        let written =
            std::fs::File::create_new(&path).and_then(|mut file| std::io::copy(&mut blob, &mut file));
        written.map_err(|source| BuildError::File { path, source })?;
        let material = Some(Material::download(url, &fetched.digest));
        Ok(Inside { directory, held: Held::Scratch(scratch), material })
    }

    fn given_layout(&self, name: &str, layout: &str) -> Result<Given, BuildError> {
        let wanted = layout::Wanted::parse(layout);
        let failed =
            |source| NamedError::Layout { name: name.to_owned(), path: wanted.directory.clone(), source };
        let id = self.load_layout(&wanted).map_err(failed)?;
        let image = Box::new(self.store.resolve(&id.to_string()).map_err(BuildError::Image)?);
        Ok(Given::Image { reference: name.to_owned(), image })
    }
}

fn inside(Inside { directory, held, material }: Inside) -> Result<Context, BuildError> {
    Ok(Context::open_alone(&directory, None)?.holding(held).from(material))
}

/// The last part of an address, or docker's word where there is none.
fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = path.split_once('/').map_or("", |(_, path)| path).rsplit('/').next().unwrap_or_default();
    if matches!(name, "" | "." | "..") { "context" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_called_by_the_end_of_its_address() {
        for (url, name) in [
            ("http://h/a/b.txt?c=d/e", "b.txt"),
            ("https://h", "context"),
            ("https://h/", "context"),
            ("https://h/a/..", "context"),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }

    #[test]
    fn names_are_references() {
        let one = |name: &str| key(name).unwrap();
        assert_eq!(one("alpine"), one("alpine:latest"));
        assert_eq!(one("Base"), one("base"));
        assert_ne!(one("alpine"), one("alpine:3"));
        assert!(key("a b").is_err());
    }
}
