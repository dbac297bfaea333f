//! `index.json` of an OCI image layout.
//!
//! An index may list further indexes, for instance one image for several platforms; of those,
//! the image for this machine is taken.

use serde::Deserialize;
use wharf_model::{Digest, Platform, Reference};

use super::{Listed, LoadError, blob_path};

const DEPTH: usize = 4;
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: Digest,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
    platform: Option<Platform>,
}

/// An index has `manifests`, a manifest has `config` and `layers`.
#[derive(Debug, Deserialize)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

type ReadFile<'a> = dyn Fn(&[u8]) -> Result<Option<Vec<u8>>, LoadError> + 'a;

/// Reads the index; `read` gives the other files of the archive.
pub(super) fn listed(text: &[u8], read: &ReadFile<'_>) -> Result<Vec<Listed>, LoadError> {
    let document = parse("index.json", text)?;
    let manifests = document.manifests.unwrap_or_default();
    let mut images: Vec<Listed> = Vec::new();
    for descriptor in &manifests {
        let names = names(descriptor);
        if let Some(mut image) = image(descriptor, read, DEPTH)? {
            match images.iter_mut().find(|known| known.config == image.config) {
                Some(known) => known.names.extend(names),
                None => {
                    image.names = names;
                    images.push(image);
                }
            }
        }
    }
    Ok(images)
}

/// The image that a descriptor leads to; `None` when it is for other machines or none at all.
fn image(descriptor: &Descriptor, read: &ReadFile<'_>, depth: usize) -> Result<Option<Listed>, LoadError> {
    let path = blob_path(&descriptor.digest);
    let shown = String::from_utf8_lossy(&path).into_owned();
    let text = read(&path)?.ok_or_else(|| LoadError::Missing(shown.clone()))?;
    let damaged = |reason: &str| LoadError::Damaged { path: shown.clone(), reason: reason.into() };
    if Digest::of(&text) != descriptor.digest {
        return Err(damaged("its digest is another one"));
    }
    let document = parse(&shown, &text)?;
    match (document.manifests, document.config, document.layers) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => Err(damaged("it is both an index and a manifest")),
        (Some(_), ..) if depth == 0 => Err(damaged("indexes are nested too deep")),
        (Some(manifests), None, None) => {
            let host = Platform::host();
            let fits = |platform: &Option<Platform>| {
                platform
                    .as_ref()
                    .is_none_or(|own| (&own.os, &own.architecture) == (&host.os, &host.architecture))
            };
            let inner = manifests.iter().filter(|inner| fits(&inner.platform));
            let mut found = inner.map(|inner| image(inner, read, depth - 1)).filter_map(Result::transpose);
            found.next().transpose()
        }
        (None, Some(config), Some(layers)) => Ok(Some(Listed {
            config: blob_path(&config.digest),
            layers: layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
            names: Vec::new(),
        })),
        _ => Ok(None),
    }
}

fn parse(path: &str, text: &[u8]) -> Result<Document, LoadError> {
    let damaged =
        |error: serde_json::Error| LoadError::Damaged { path: path.into(), reason: error.to_string() };
    serde_json::from_slice(text).map_err(damaged)
}

/// Some writers put only the tag into the second annotation; that is no name.
fn names(descriptor: &Descriptor) -> Vec<Reference> {
    let texts = NAMES.iter().filter_map(|key| descriptor.annotations.get(*key));
    let full = texts.filter(|text| text.contains(['/', ':']));
    full.filter_map(|text| text.parse().ok()).take(1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confused_documents_are_refused() {
        let digest = Digest::of("x");
        let descriptor = format!(r#"{{"digest":"{digest}","size":1}}"#);
        let both = format!(r#"{{"manifests":[],"config":{descriptor},"layers":[]}}"#);
        let index = format!(r#"{{"manifests":[{{"digest":"{}"}}]}}"#, Digest::of(&both));
        let read = |_: &[u8]| Ok(Some(both.clone().into_bytes()));
        assert!(matches!(listed(index.as_bytes(), &read), Err(LoadError::Damaged { .. })));
        let wrong = |_: &[u8]| Ok(Some(b"{}".to_vec()));
        assert!(matches!(listed(index.as_bytes(), &wrong), Err(LoadError::Damaged { .. })));
        let none = |_: &[u8]| Ok(None);
        assert!(matches!(listed(index.as_bytes(), &none), Err(LoadError::Missing(_))));
        let path = br#"{"manifests":[{"digest":"sha256:../../etc/passwd"}]}"#;
        assert!(matches!(listed(path, &none), Err(LoadError::Damaged { .. })));
    }
}
