//! `manifest.json`, docker's list of the images in an archive.

use serde::{Deserialize, Serialize};
use wharf_model::{Reference, ReferenceError};

use super::{Listed, LoadError, Named, Part};

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Manifest {
    pub(super) config: String,
    pub(super) repo_tags: Option<Vec<String>>,
    pub(super) layers: Option<Vec<String>>,
}

/// Reads the list.
pub(super) fn listed(text: &[u8]) -> Result<Vec<Listed>, LoadError> {
    let damaged = |reason: String| LoadError::Damaged { path: "manifest.json".into(), reason };
    let manifests: Vec<Manifest> =
        serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    let image = |manifest: Manifest| {
        let names = manifest.repo_tags.unwrap_or_default().into_iter().map(|name| name.parse::<Reference>());
        let names = names.map(|name| Ok(Named { name: name?, via: None }));
        let names =
            names.collect::<Result<_, ReferenceError>>().map_err(|error| damaged(error.to_string()))?;
        let part = |path: String| Part { path: path.into_bytes(), is: None };
        let layers = manifest.layers.unwrap_or_default().into_iter().map(part).collect();
        Ok(Listed { config: part(manifest.config), layers, names, manifest: None })
    };
    manifests.into_iter().map(image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_names_are_fine() {
        let text = br#"[{"Config":"c.json","RepoTags":null,"Layers":["a/layer.tar"]},
                        {"Config":"d.json","RepoTags":["x:1"],"Layers":null}]"#;
        let listed = listed(text).unwrap();
        assert_eq!((listed[0].names.len(), listed[0].layers.len()), (0, 1));
        assert_eq!((listed[1].names[0].name.familiar(), listed[1].layers.len()), ("x:1".into(), 0));
    }

    #[test]
    fn other_json_is_damaged() {
        for text in ["", "{}", "[1]", r#"[{"Config":"c","RepoTags":["UPPER:x y"],"Layers":[]}]"#] {
            assert!(matches!(listed(text.as_bytes()), Err(LoadError::Damaged { .. })), "for {text}");
        }
    }
}
