//! Something that a build was made of, by its digest.

use serde_json::{Value, json};
use wharf_model::{Digest, Reference};
use wharf_store::{Image, Remote};

use super::super::git;

/// A resource descriptor of SLSA's `resolvedDependencies`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::build) struct Material {
    uri: String,
    algorithm: &'static str,
    hex: String,
}

impl Material {
    /// What an address of the web gave.
    pub(in crate::build) fn download(url: &str, digest: &Digest) -> Self {
        Self { uri: git::without_password(url), algorithm: "sha256", hex: digest.hex() }
    }

    /// A commit of a repository.
    pub(in crate::build) fn commit(url: &str, reference: Option<&str>, commit: &str) -> Self {
        let reference = reference.map(|reference| format!("#{reference}")).unwrap_or_default();
        let algorithm = if commit.len() == 64 { "sha256" } else { "sha1" };
        Self { uri: git::without_password(url) + &reference, algorithm, hex: commit.to_owned() }
    }

    /// An image: by what the registry that it is from calls it, else by its manifest here.
    pub(in crate::build) fn image(name: &str, image: &Image, remotes: &[Remote]) -> Self {
        let platform = image.config.platform().to_string();
        let digest = there(name, remotes).unwrap_or(image.manifest);
        Self { uri: package(name, &platform), algorithm: "sha256", hex: digest.hex() }
    }

    pub(in crate::build) fn uri(&self) -> &str {
        &self.uri
    }

    /// `{"sha256": "..."}`.
    pub(in crate::build) fn digest(&self) -> Value {
        json!({ self.algorithm: self.hex })
    }

    pub(super) fn json(&self) -> Value {
        json!({ "uri": self.uri, "digest": self.digest() })
    }
}

/// What the registry of that name calls an image; the digest in the name, if it knows several.
fn there(name: &str, remotes: &[Remote]) -> Option<Digest> {
    let name: Reference = name.parse().ok()?;
    let repository = format!("{}/{}", name.domain(), name.path());
    let known = remotes.iter().filter(|remote| remote.repository == repository);
    let known: Vec<Digest> = known.map(|remote| remote.digest).collect();
    name.digest().filter(|digest| known.contains(digest)).or_else(|| known.first().copied())
}

/// The package URL of an image (purl specification, type `docker`). A name that is none, such as an id, stands
/// for itself.
pub(super) fn package(name: &str, platform: &str) -> String {
    let platform = platform.replace('/', "%2F");
    match name.parse::<Reference>() {
        Ok(reference) => {
            let tag = reference.tag().map(|tag| format!("@{tag}")).unwrap_or_default();
            let digest = reference.digest().map(|digest| format!("digest={digest}&")).unwrap_or_default();
            format!("pkg:docker/{}{tag}?{digest}platform={platform}", reference.familiar_name())
        }
        Err(_) => format!("pkg:docker/{name}?platform={platform}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_packages() {
        let digest = Digest::of("x");
        for (name, expected) in [
            ("alpine", "pkg:docker/alpine@latest?platform=linux%2Famd64".to_owned()),
            ("ghcr.io/a/b:v1", "pkg:docker/ghcr.io/a/b@v1?platform=linux%2Famd64".to_owned()),
            (&format!("a@{digest}"), format!("pkg:docker/a?digest={digest}&platform=linux%2Famd64")),
        ] {
            assert_eq!(package(name, "linux/amd64"), expected);
        }
    }

    #[test]
    fn an_image_has_the_digest_that_its_registry_gives_it() {
        let remote = |repository: &str, text: &str| {
            let digest = Digest::of(text);
            Remote { repository: repository.into(), digest, manifest: digest }
        };
        let remotes =
            [remote("docker.io/library/a", "1"), remote("docker.io/library/a", "2"), remote("h.io/a", "3")];
        let named = format!("a@{}", Digest::of("2"));
        for (name, found) in [("a:v1", Some("1")), (&*named, Some("2")), ("h.io/a", Some("3")), ("b", None)] {
            assert_eq!(there(name, &remotes), found.map(Digest::of), "{name}");
        }
    }

    #[test]
    fn a_password_is_no_part_of_an_address() {
        let download = Material::download("https://me:secret@host/x.tar?y", &Digest::of("x"));
        assert_eq!(download.uri(), "https://***@host/x.tar?y");
        let commit = Material::commit("https://token@host/a.git", Some("main"), &"a".repeat(40));
        assert_eq!(
            (commit.uri(), commit.digest()),
            ("https://***@host/a.git#main", json!({ "sha1": "a".repeat(40) }))
        );
    }
}
