//! Manifests and indexes: the OCI image specification's, and docker's of schema 2.
//!
//! A document says in its body what it is; the type that it has there, and the one that the server or the index
//! gives it, have to agree. One that is an index and a manifest at once is refused (CVE-2021-41190), and one that
//! holds no digests (schema 1) as well. Only what is needed is read; the bytes are kept as they are,
//! because their digest is the name.

use std::collections::BTreeMap;

use serde::Deserialize;
use wharf_model::{Digest, Platform};

use super::error::RegistryError;
use crate::image::is_of_other_kind;

/// A document is not longer than this, nor is a config.
pub(super) const LIMIT: u64 = 4 << 20;

/// All that is understood, for `Accept`.
pub(super) const ACCEPTED: [&str; 6] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/json",
];

const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// The config of a WebAssembly artifact ("Wasm OCI Artifact Layout").
pub(super) const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Its only layer: a module or a component as it was built.
pub(super) const WASM_LAYER: &str = "application/wasm";

/// What a document is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// An image, for this platform where there are several.
    Image(&'a Platform),
    /// A build cache, or an image that may hold one, for this platform; whoever asked looks at its config.
    Cache(&'a Platform),
    /// A WebAssembly artifact.
    Wasm,
}

/// What a document lists, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// Its type.
    #[serde(default)]
    pub(crate) media_type: String,
    /// Its name.
    pub(crate) digest: Digest,
    /// Its length.
    pub(crate) size: u64,
    /// What an image is for, in an index.
    #[serde(default)]
    pub(crate) platform: Option<Platform>,
    /// Of which kind a manifest is, in a list of referrers.
    #[serde(default)]
    pub(crate) artifact_type: Option<String>,
    /// What else is said of it.
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// A document that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    /// Images for several platforms, or further indexes.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest(Box<Manifest>),
}

/// One image: a config and layers, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// Both kinds at once, to see which of them it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Wanted<'_> {
    /// Whether a manifest is of what is wanted.
    fn check(self, what: &str, manifest: &Manifest) -> Result<(), RegistryError> {
        match self {
            Self::Image(_) => is_image(what, manifest),
            Self::Cache(_) => Ok(()),
            Self::Wasm => is_wasm(what, manifest),
        }
    }

    /// Which of an index's entries is wanted.
    pub(super) fn choose(self, what: &str, entries: &[Descriptor]) -> Result<Descriptor, RegistryError> {
        match self {
            Self::Image(platform) => choose(what, entries, platform),
            Self::Cache(platform) => choose_cache(what, entries, platform),
            Self::Wasm => choose_wasm(what, entries),
        }
    }
}

/// Reads a document that leads to an image; `said` is the type that the server, or the index, gave it.
pub(crate) fn parse(what: &str, text: &[u8], said: &str) -> Result<Document, RegistryError> {
    parse_as(Wanted::Image(&Platform::host()), what, text, said)
}

/// Reads a document that leads to what is wanted.
pub(super) fn parse_as(
    wanted: Wanted<'_>,
    what: &str,
    text: &[u8],
    said: &str,
) -> Result<Document, RegistryError> {
    let document = parse_any(what, text, said)?;
    if let Document::Manifest(manifest) = &document {
        wanted.check(what, manifest)?;
    }
    Ok(document)
}

/// Reads an index, or the manifest of anything.
pub(super) fn parse_any(what: &str, text: &[u8], said: &str) -> Result<Document, RegistryError> {
    let damaged = |reason: String| RegistryError::Damaged { what: what.to_owned(), reason };
    if said.contains("manifest.v1+") && !said.contains("oci") {
        return Err(RegistryError::Schema1 { what: what.to_owned() });
    }
    let raw: Raw = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    if raw.schema_version == Some(1) || raw.fs_layers.is_some() {
        return Err(RegistryError::Schema1 { what: what.to_owned() });
    }
    if raw.schema_version.is_some_and(|version| version != 2) {
        return Err(damaged("it has a schema version other than 2".to_owned()));
    }
    let kind = raw.media_type.as_deref().filter(|kind| !kind.is_empty()).unwrap_or(said).to_owned();
    let document = match (raw.manifests, raw.config, raw.layers) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            return Err(damaged("it is both an index and a manifest".to_owned()));
        }
        (Some(manifests), None, None) => Document::Index(manifests),
        (None, Some(config), Some(layers)) => {
            Document::Manifest(Box::new(Manifest { media_type: kind.clone(), config, layers }))
        }
        _ => return Err(damaged("it is neither an index nor the manifest of an image".to_owned())),
    };
    let is_index = matches!(document, Document::Index(_));
    if let Some(kind) = [said, &kind].into_iter().find(|kind| is_of_other_kind(kind, is_index)) {
        return Err(damaged(format!("it is not of its type, {kind}")));
    }
    Ok(document)
}

fn is_image(what: &str, manifest: &Manifest) -> Result<(), RegistryError> {
    let artifact = |kind: &str| RegistryError::Artifact { what: what.to_owned(), kind: kind.to_owned() };
    if !CONFIGS.contains(&manifest.config.media_type.as_str()) {
        return Err(artifact(&manifest.config.media_type));
    }
    let layer = |kind: &str| kind.contains(".layer.") || kind.contains(".rootfs.");
    match manifest.layers.iter().find(|descriptor| !layer(&descriptor.media_type)) {
        Some(other) => Err(artifact(&other.media_type)),
        None => Ok(()),
    }
}

/// One layer, and it is what is run: code that somebody compiled for a machine has no place in it.
fn is_wasm(what: &str, manifest: &Manifest) -> Result<(), RegistryError> {
    let other = |is: String| Err(RegistryError::NotWasm { what: what.to_owned(), is });
    let config = manifest.config.media_type.as_str();
    if CONFIGS.contains(&config) {
        return other("an image of containers".to_owned());
    }
    if config != WASM_CONFIG {
        return other(format!("of type {config}"));
    }
    match manifest.layers.as_slice() {
        [only] if only.media_type == WASM_LAYER => Ok(()),
        [only] => other(format!("one with a layer of type {}", only.media_type)),
        several => other(format!("one with {} layers instead of one", several.len())),
    }
}

/// A cache, or the image that may hold one. BuildKit says of an index that it is a cache and leads to no image.
fn choose_cache(
    what: &str,
    entries: &[Descriptor],
    platform: &Platform,
) -> Result<Descriptor, RegistryError> {
    match entries.iter().find(|entry| entry.media_type.contains(".cacheconfig.")) {
        Some(foreign) => {
            Err(RegistryError::Artifact { what: what.to_owned(), kind: foreign.media_type.clone() })
        }
        None => choose(what, entries, platform),
    }
}

fn choose_wasm(what: &str, entries: &[Descriptor]) -> Result<Descriptor, RegistryError> {
    let is_wasm = |entry: &&Descriptor| match &entry.platform {
        None => true,
        Some(platform) => platform.architecture == "wasm",
    };
    let found = entries.iter().find(is_wasm).cloned();
    found.ok_or_else(|| RegistryError::NotWasm {
        what: what.to_owned(),
        is: format!("an index of images for {}", platforms(entries)),
    })
}

/// Which of an index's entries is for `wanted`.
pub(crate) fn choose(
    what: &str,
    entries: &[Descriptor],
    wanted: &Platform,
) -> Result<Descriptor, RegistryError> {
    let rank = |entry: &Descriptor| match &entry.platform {
        None => Some(100),
        Some(own) => own.rank_for(wanted),
    };
    let best = entries.iter().filter_map(|entry| Some((rank(entry)?, entry))).min_by_key(|(rank, _)| *rank);
    best.map(|(_, entry)| entry.clone()).ok_or_else(|| RegistryError::Platform {
        what: what.to_owned(),
        wanted: wanted.to_string(),
        there: platforms(entries),
    })
}

fn platforms(entries: &[Descriptor]) -> String {
    let known = entries.iter().filter_map(|entry| entry.platform.as_ref());
    let mut names: Vec<String> =
        known.filter(|platform| platform.os != "unknown").take(20).map(Platform::to_string).collect();
    names.dedup();
    if names.is_empty() { "nothing that runs".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    fn descriptor(kind: &str) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"{}","size":1}}"#, Digest::of("x"))
    }

    fn image() -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            descriptor(CONFIGS[0]),
            descriptor("application/vnd.oci.image.layer.v1.tar+gzip")
        )
    }

    #[test]
    fn documents_are_what_their_body_says() {
        assert!(matches!(parse("a", image().as_bytes(), MANIFEST), Ok(Document::Manifest(_))));
        assert!(matches!(parse("a", image().as_bytes(), ""), Ok(Document::Manifest(_))));
        let index = format!(r#"{{"manifests":[{}]}}"#, descriptor(MANIFEST));
        assert!(
            matches!(parse("a", index.as_bytes(), ACCEPTED[0]), Ok(Document::Index(list)) if list.len() == 1)
        );
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let config = descriptor(CONFIGS[0]);
        let both = format!(r#"{{"schemaVersion":2,"manifests":[],"config":{config},"layers":[]}}"#);
        let path = r#"{"manifests":[{"digest":"sha256:../../etc/passwd","size":1}]}"#;
        let wasm =
            format!(r#"{{"config":{},"layers":[]}}"#, descriptor("application/vnd.wasm.config.v0+json"));
        let deep = format!(r#"{{"annotations":{}"#, "[".repeat(100_000));
        for (text, said, words) in [
            (both.as_str(), "", "both an index and a manifest"),
            (&image(), ACCEPTED[0], "not of its type"),
            (path, "", "sha256:../../etc/passwd"),
            ("{}", "", "neither"),
            ("", "", "damaged"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, "", "schema 1"),
            ("not even JSON", ACCEPTED[4], "schema 1"),
            (&wasm, "", "application/vnd.wasm.config.v0+json"),
            (&deep, "", "damaged"),
            (r#"{"manifests":[{"digest":"sha256:00","size":-1}]}"#, "", "damaged"),
        ] {
            let error = parse("image x", text.as_bytes(), said).unwrap_err().to_string();
            assert!(error.starts_with("image x") && error.contains(words), "{error}");
        }
    }

    #[test]
    fn an_artifact_is_one_component_and_nothing_else() {
        let artifact = |config: &str, layers: &[&str]| {
            let layers: Vec<String> = layers.iter().map(|kind| descriptor(kind)).collect();
            format!(
                r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
                descriptor(config),
                layers.join(",")
            )
        };
        let read = |text: &str| parse_as(Wanted::Wasm, "x", text.as_bytes(), MANIFEST);
        assert!(matches!(read(&artifact(WASM_CONFIG, &[WASM_LAYER])), Ok(Document::Manifest(_))));
        for (config, layers, words) in [
            (CONFIGS[0], &[WASM_LAYER][..], "an image of containers"),
            (WASM_CONFIG, &[], "0 layers"),
            (WASM_CONFIG, &[WASM_LAYER, WASM_LAYER], "2 layers"),
            (WASM_CONFIG, &["application/vnd.wasmtime.cwasm"], "application/vnd.wasmtime.cwasm"),
            ("application/vnd.cncf.helm.config.v1+json", &[WASM_LAYER], "helm"),
        ] {
            let error = read(&artifact(config, layers)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let entry = |architecture: &str| {
            let platform = format!(r#"{{"os":"wasip2","architecture":"{architecture}"}}"#);
            let platform: Platform = serde_json::from_str(&platform).unwrap();
            let one: Descriptor = serde_json::from_str(&descriptor(MANIFEST)).unwrap();
            Descriptor { platform: Some(platform), ..one }
        };
        assert!(Wanted::Wasm.choose("x", &[entry("amd64"), entry("wasm")]).is_ok());
        let error = Wanted::Wasm.choose("x", &[entry("amd64")]).unwrap_err().to_string();
        assert!(error.contains("an index of images for wasip2/amd64"), "{error}");
    }

    #[test]
    fn an_index_has_something_for_a_platform() {
        let entry = |text: &str| {
            let mut words = text.split('/').map(str::to_owned);
            let mut next = || words.next().unwrap_or_default();
            let (os, architecture) = (next(), next());
            let variant = Some(next()).filter(|variant| !variant.is_empty());
            let platform = Platform { os, architecture, variant };
            Descriptor {
                media_type: MANIFEST.into(),
                digest: Digest::of(text),
                size: 1,
                platform: Some(platform),
                artifact_type: None,
                annotations: None,
            }
        };
        let all = [
            "linux/amd64/v3",
            "linux/amd64",
            "linux/arm/v5",
            "linux/arm/v7",
            "linux/arm64/v8",
            "unknown/unknown",
        ];
        let entries: Vec<Descriptor> = all.iter().map(|text| entry(text)).collect();
        for (wanted, found) in [
            ("linux/amd64", Some("linux/amd64")),
            ("linux/amd64/v3", Some("linux/amd64/v3")),
            ("linux/arm", Some("linux/arm/v7")),
            ("linux/arm/v5", Some("linux/arm/v5")),
            ("linux/arm64", Some("linux/arm64/v8")),
            ("linux/arm64/v8", Some("linux/arm64/v8")),
            ("linux/riscv64", None),
            ("windows/amd64", None),
        ] {
            let chosen = choose("a", &entries, &entry(wanted).platform.unwrap());
            assert_eq!(chosen.ok().map(|entry| entry.digest), found.map(Digest::of), "{wanted}");
        }
        let error = choose("a", &entries, &entry("linux/s390x").platform.unwrap()).unwrap_err().to_string();
        assert!(error.contains("linux/arm/v7") && !error.contains("unknown"), "{error}");
    }
}
