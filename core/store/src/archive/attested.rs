//! What is said about an image, beside it in an archive, where BuildKit puts it:
//!
//! ```text
//! index.json
//! '- index of the image
//!    |- manifest of the image, with its platform
//!    '- manifest for platform unknown/unknown, with the annotations
//!       |    vnd.docker.reference.type = attestation-manifest
//!       |    vnd.docker.reference.digest = the image's manifest
//!       '- one layer: the statement, application/vnd.in-toto+json, whose annotation
//!            in-toto.io/predicate-type says of which kind
//! ```

use serde_json::{Value, json};
use wharf_model::{Digest, Platform};

use super::INDEX_TYPE;
use super::Statement;
use crate::image::{CONFIG_TYPE, MANIFEST_TYPE};

const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// All that is beside an image.
pub(crate) struct Attested {
    /// The statement.
    pub(crate) layer: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    /// It leads to the image's manifest and to that one.
    pub(crate) index: Vec<u8>,
}

impl Attested {
    /// Of the index.
    pub(super) fn descriptor(&self) -> Value {
        descriptor(INDEX_TYPE, &self.index)
    }
}

/// An index of the image that `about` describes and of a statement about it.
pub(crate) fn index(about: &Value, platform: &Platform, statement: Statement) -> Attested {
    let layer = with(
        descriptor(STATEMENT_TYPE, &statement.text),
        "annotations",
        json!({ "in-toto.io/predicate-type": statement.predicate_type }),
    );
    let config = text(&json!({
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&statement.text)] },
    }));
    let manifest = text(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &config),
        "layers": [layer],
    }));
    let attestation = with(
        with(
            descriptor(MANIFEST_TYPE, &manifest),
            "annotations",
            json!({
                "vnd.docker.reference.digest": about["digest"],
                "vnd.docker.reference.type": "attestation-manifest",
            }),
        ),
        "platform",
        json!({ "architecture": "unknown", "os": "unknown" }),
    );
    let image = with(about.clone(), "platform", json!(platform));
    let index = text(&json!({
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [image, attestation],
    }));
    Attested { layer: statement.text, config, manifest, index }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() })
}

fn with(mut value: Value, key: &str, part: Value) -> Value {
    value[key] = part;
    value
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
