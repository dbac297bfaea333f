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
use super::save::Statement;
use crate::image::{CONFIG_TYPE, MANIFEST_TYPE};

const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// Blobs, and the descriptor of the one that leads to the others.
pub(super) struct Index {
    pub(super) blobs: Vec<Vec<u8>>,
    pub(super) descriptor: Value,
}

/// An index of the image that `about` describes and of a statement about it.
pub(super) fn index(about: &Value, platform: &Platform, statement: &Statement) -> Index {
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
    let descriptor = descriptor(INDEX_TYPE, &index);
    Index { blobs: vec![statement.text.clone(), config, manifest, index], descriptor }
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
