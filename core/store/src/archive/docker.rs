//! `manifest.json`, docker's list of the images in an archive; and `repositories`, the list of docker before 1.10.
//!
//! That one tells the top layer of each name, and layers told what was below them: `<id>/json` and
//! `<id>/layer.tar`. There are no digests in it to hold anything against. It is written, because docker goes on
//! writing it, and never read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
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

/// The old list: name and tag to the digest of the top layer. `None` when no image has a name.
pub(super) fn repositories(listed: &[Manifest]) -> Option<String> {
    let mut all: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for manifest in listed {
        let top = manifest.layers.iter().flatten().next_back().and_then(|path| path.rsplit('/').next());
        for name in manifest.repo_tags.iter().flatten() {
            if let (Some((name, tag)), Some(top)) = (name.rsplit_once(':'), top) {
                all.entry(name.to_owned()).or_default().insert(tag, top);
            }
        }
    }
    (!all.is_empty()).then(|| json!(all).to_string())
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
    fn the_old_list_tells_the_top_layer_of_each_name() {
        let image = |names: &[&str], layers: &[&str]| Manifest {
            config: "blobs/sha256/c".into(),
            repo_tags: Some(names.iter().map(|&name| name.to_owned()).collect()),
            layers: Some(layers.iter().map(|layer| format!("blobs/sha256/{layer}")).collect()),
        };
        let listed = [
            image(&["b:1", "h.io:5000/a:2"], &["low", "top"]),
            image(&["b:2"], &["other"]),
            image(&[], &["nameless"]),
            image(&["empty:1"], &[]),
        ];
        let text = repositories(&listed).unwrap();
        assert_eq!(text, r#"{"b":{"1":"top","2":"other"},"h.io:5000/a":{"2":"top"}}"#);
        assert_eq!(repositories(&listed[2..3]), None);
    }

    #[test]
    fn other_json_is_damaged() {
        for text in ["", "{}", "[1]", r#"[{"Config":"c","RepoTags":["UPPER:x y"],"Layers":[]}]"#] {
            assert!(matches!(listed(text.as_bytes()), Err(LoadError::Damaged { .. })), "for {text}");
        }
    }
}
