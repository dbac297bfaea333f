//! For which platforms a registry has an image.

use std::sync::Arc;

use wharf_model::{Platform, Reference};

use super::document::{self, Document};
use super::error::RegistryError;
use super::pull::{PullError, runtime};
use super::session::Session;

/// The platforms that an index lists, each once; none when the name leads to a single image.
///
/// # Errors
/// When neither a mirror nor the registry tells.
pub fn platforms(session: &Arc<Session>, name: &Reference) -> Result<Vec<Platform>, PullError> {
    let what = format!("the manifest of {}", name.familiar());
    let (text, kind) = runtime()?.block_on(session.first_document(name))?;
    let Document::Index(entries) = document::parse(&what, &text, &kind)? else { return Ok(Vec::new()) };
    // What is about an image, and no image, is for no machine.
    let real = entries.into_iter().filter_map(|entry| entry.platform).filter(|own| own.os != "unknown");
    let mut found: Vec<Platform> = Vec::new();
    for platform in real {
        if !found.contains(&platform) {
            found.push(platform);
        }
    }
    if found.is_empty() {
        let reason = "it is an index of nothing that runs".to_owned();
        return Err(RegistryError::Damaged { what, reason }.into());
    }
    Ok(found)
}
