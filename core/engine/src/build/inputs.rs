//! What a plan reads besides its own stage: images and stages by name.

use wharf_model::Platform;
use wharf_model::build::Input;
use wharf_model::statement::{Body, Invocation};
use wharf_store::{Image, ResolveError};

use super::plan::Images;
use super::request::BuildError;
use crate::Engine;

/// Whether a stage's first line stands for an image, a stage or nothing.
pub(super) fn names_an_image(call: &Invocation) -> bool {
    let Body::Words(words) = &call.body else { return true };
    words.first().is_some_and(|base| base.parse::<wharf_model::Reference>().is_ok())
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

/// With registry and tag.
pub(super) fn full(name: &str) -> String {
    name.parse().map_or_else(|_| name.to_owned(), |full: wharf_model::Reference| full.to_string())
}

impl Images for Engine {
    fn base_image(&self, name: &str, platform: Option<&Platform>) -> Result<Image, BuildError> {
        self.store.resolve_for(name, platform).map_err(|error| match error {
            ResolveError::Unknown { .. } => BuildError::NoImage { full: full(name), meant: None, why: None },
            other => BuildError::Image(other),
        })
    }
}
