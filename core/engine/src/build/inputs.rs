//! What a plan reads besides its own stage: images and stages by name.

use wharf_model::build::Input;
use wharf_model::statement::{Body, Invocation};
use wharf_model::{Platform, Reference, ReferenceError};
use wharf_store::{Image, ResolveError};

use super::plan::Images;
use super::request::BuildError;
use crate::Engine;
use crate::image::PullImageError;

/// Whether a stage's first line stands for an image, a stage or nothing.
pub(super) fn names_an_image(call: &Invocation) -> bool {
    let Body::Words(words) = &call.body else { return true };
    words.first().is_some_and(|base| base.parse::<Reference>().is_ok())
}

pub(super) fn name_of(input: &Input) -> Option<String> {
    match input {
        Input::Named(name) => Some(name.clone()),
        _ => None,
    }
}

pub(super) fn mount_source(mount: &wharf_model::build::Mount) -> Option<&Input> {
    match mount {
        wharf_model::build::Mount::Bind { source, .. } | wharf_model::build::Mount::Cache { source, .. } => {
            Some(source)
        }
        _ => None,
    }
}

impl Images for Engine {
    fn base_image(&self, name: &str, platform: Option<&Platform>) -> Result<Image, BuildError> {
        let reference = reference(name)?;
        self.store.resolve_named(&reference, platform).map_err(|error| match error {
            ResolveError::Unknown { .. } => self.no_image(name, &reference, None),
            other => BuildError::Image(other),
        })
    }
}

/// What FROM, `COPY --from` and `RUN --mount=from` call an image.
///
/// # Errors
/// When it is no name, such as the id of an image.
pub(super) fn reference(name: &str) -> Result<Reference, BuildError> {
    name.parse().map_err(|error: ReferenceError| BuildError::Image(error.into()))
}

impl Engine {
    /// There is no image of that name; `why` is what a registry said.
    pub(super) fn no_image(
        &self,
        name: &str,
        reference: &Reference,
        why: Option<Box<PullImageError>>,
    ) -> BuildError {
        let id = self.store.resolve(name).is_ok().then(|| name.to_owned());
        BuildError::NoImage { full: reference.to_string(), meant: None, id, why }
    }
}
