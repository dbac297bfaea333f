//! An in-toto statement: of what something is said.

use serde_json::{Value, json};
use wharf_model::{Digest, Platform, Reference};
use wharf_store::Attachment;
use wharf_store::archive::Statement;

use super::material::package;
use super::{FILE, OWNER, PREDICATE_TYPE};
use crate::Engine;
use crate::build::request::BuildError;
use crate::image::AttachmentError;

/// The statement as bytes. BuildKit writes this version of the envelope around both versions of the predicate.
pub(in crate::build) fn statement(subjects: &[Value], predicate: &Value) -> Vec<u8> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": PREDICATE_TYPE,
        "subject": subjects,
        "predicate": predicate,
    });
    let mut text = serde_json::to_vec_pretty(&statement).unwrap_or_default();
    text.push(b'\n');
    text
}

impl Engine {
    /// What is said about an image that is here, under these names.
    pub(in crate::build) fn statement_of(
        &self,
        id: &Digest,
        names: &[Reference],
        predicate: &Value,
    ) -> Result<Vec<u8>, BuildError> {
        let image = self.store.resolve(&id.to_string()).map_err(BuildError::Image)?;
        let subjects = of_image(names, &image.config.platform().to_string(), &image.manifest);
        Ok(statement(&subjects, predicate))
    }

    /// The predicate that a build left beside an image, if it did.
    pub(crate) fn kept_predicate(&self, id: &Digest) -> Result<Option<Value>, AttachmentError> {
        let id = id.to_string();
        let is_ours = |held: &Attachment| held.name == FILE && held.owner == OWNER;
        if !self.attachments(&id)?.iter().any(is_ours) {
            return Ok(None);
        }
        let text = self.read_attachment(&id, FILE)?;
        let said: Option<Value> = serde_json::from_slice(&text).ok();
        Ok(said.and_then(|mut said| said.get_mut("predicate").map(Value::take)))
    }
}

/// What is said about an image of that name whose manifest has this digest where it goes.
pub(crate) fn about(
    name: &Reference,
    platform: &Platform,
    manifest: &Digest,
    predicate: &Value,
) -> Statement {
    let subjects = of_image(std::slice::from_ref(name), &platform.to_string(), manifest);
    Statement { predicate_type: PREDICATE_TYPE.to_owned(), text: statement(&subjects, predicate) }
}

/// An image by its names, or `_` when it has none.
fn of_image(names: &[Reference], platform: &str, manifest: &Digest) -> Vec<Value> {
    let subject = |name: String| json!({ "name": name, "digest": { "sha256": manifest.hex() } });
    if names.is_empty() {
        return vec![subject("_".to_owned())];
    }
    names.iter().map(|name| subject(package(&name.to_string(), platform))).collect()
}

/// Files by their paths.
pub(in crate::build) fn of_files(files: &[(String, Digest)]) -> Vec<Value> {
    let others = files.iter().filter(|(path, _)| path != FILE);
    others.map(|(path, digest)| json!({ "name": path, "digest": { "sha256": digest.hex() } })).collect()
}
