//! Image names as docker normalises them.
//!
//! `ubuntu` stands for `docker.io/library/ubuntu:latest`. The first component is a registry's
//! host exactly when it holds a `.` or a `:`, is `localhost`, or has an upper-case letter. The
//! grammar is the one of the distribution project ("reference").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, DigestError};

const DEFAULT_DOMAIN: &str = "docker.io";
const OFFICIAL: &str = "library/";

/// A normalised image name with a tag, a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an image name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It is empty.
    #[error("an image name must not be empty")]
    Empty,
    /// Upper case is for hosts and tags only.
    #[error("invalid reference format: repository name `{0}` must be lowercase")]
    UpperCase(String),
    /// 64 hex digits would be mistaken for an id.
    #[error("invalid reference format: `{0}` looks like an image id, which can not be a name")]
    LooksLikeId(String),
    /// The rest of the grammar.
    #[error("invalid reference format: `{text}`: {part} is not valid")]
    Grammar {
        /// All of it.
        text: String,
        /// Which part.
        part: &'static str,
    },
    /// After the `@`.
    #[error("invalid reference format: `{text}`")]
    Digest {
        /// All of it.
        text: String,
        /// Why.
        source: DigestError,
    },
    /// A digest is not a name to give: an image has the one it has.
    #[error("`{0}` holds a digest: an image gets a tag")]
    Given(String),
}

impl Reference {
    /// A name to give to an image: with a tag, and without a digest.
    ///
    /// # Errors
    /// When it is none, or holds a digest.
    pub fn to_give(text: &str) -> Result<Self, ReferenceError> {
        let name: Self = text.parse()?;
        if name.digest.is_some() { Err(ReferenceError::Given(text.to_owned())) } else { Ok(name) }
    }

    /// The registry's host, `docker.io` by default.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository on that host: `library/ubuntu`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag. Never `None` when there is no digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The repository as people write it: without `docker.io/` and `library/`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return format!("{}/{}", self.domain, self.path);
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people write it: `ubuntu:latest`.
    pub fn familiar(&self) -> String {
        self.familiar_name() + &self.suffix()
    }

    fn suffix(&self) -> String {
        let tag = self.tag.iter().map(|tag| format!(":{tag}"));
        let digest = self.digest.iter().map(|digest| format!("@{digest}"));
        tag.chain(digest).collect()
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = split_digest(text)?;
        let (name, tag) = split_tag(rest);
        let (domain, path) = split_domain(name);
        check_domain(&domain, text)?;
        check_path(&path, text)?;
        check_tag(tag, text)?;
        let tag = match (tag, digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { domain, path, tag, digest })
    }
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), ReferenceError> {
    let Some((rest, digest)) = text.split_once('@') else { return Ok((text, None)) };
    match digest.parse() {
        Ok(digest) => Ok((rest, Some(digest))),
        Err(source) => Err(ReferenceError::Digest { text: text.to_owned(), source }),
    }
}

/// A colon after the last slash begins the tag; one before it belongs to the host's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

fn split_domain(name: &str) -> (String, String) {
    let host = |first: &str| {
        first.contains(['.', ':'])
            || first == "localhost"
            || first.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if host(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
    let official = domain == DEFAULT_DOMAIN && !path.contains('/') && !path.is_empty();
    (domain.to_owned(), if official { format!("{OFFICIAL}{path}") } else { path.to_owned() })
}

fn check_domain(domain: &str, text: &str) -> Result<(), ReferenceError> {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !domain.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let label = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let ipv6 = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let host_fine = match ipv6 {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    let port_fine = port.is_none_or(|port| port.parse::<u16>().is_ok());
    if host_fine && port_fine { Ok(()) } else { Err(grammar(text, "the registry's host")) }
}

fn check_path(path: &str, text: &str) -> Result<(), ReferenceError> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(ReferenceError::UpperCase(path.to_owned()));
    }
    if path.len() <= 255 && path.split('/').all(is_component) {
        Ok(())
    } else {
        Err(grammar(text, "the repository"))
    }
}

/// Lower-case letters and digits, parted by one `.`, one or two `_`, or any number of `-`.
fn is_component(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = part.split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    let ends_fine =
        part.bytes().next().is_some_and(alphanumeric) && part.bytes().last().is_some_and(alphanumeric);
    ends_fine
        && separators
            .filter(|gap| !gap.is_empty())
            .all(|gap| matches!(gap, "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-'))
}

fn check_tag(tag: Option<&str>, text: &str) -> Result<(), ReferenceError> {
    let Some(tag) = tag else { return Ok(()) };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = tag.bytes().next().is_some_and(word);
    let rest = tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
    if first && rest && tag.len() <= 128 { Ok(()) } else { Err(grammar(text, "the tag")) }
}

fn grammar(text: &str, part: &'static str) -> ReferenceError {
    ReferenceError::Grammar { text: text.chars().take(300).collect(), part }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_as_docker_does() {
        for (text, full, familiar) in [
            ("ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
            ("python:3.6", "docker.io/library/python:3.6", "python:3.6"),
            ("me/app", "docker.io/me/app:latest", "me/app:latest"),
            ("index.docker.io/library/a", "docker.io/library/a:latest", "a:latest"),
            ("localhost/a:1", "localhost/a:1", "localhost/a:1"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest", "localhost:5000/a/b:latest"),
            ("Host/a", "Host/a:latest", "Host/a:latest"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest", "a__b/c--d.e:latest"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (full, familiar));
            assert_eq!(reference.to_string().parse(), Ok(reference), "round trip of {text}");
        }
    }

    #[test]
    fn a_digest_needs_no_tag() {
        let digest = Digest::of("x");
        let reference: Reference = format!("a@{digest}").parse().unwrap();
        assert_eq!((reference.tag(), reference.digest()), (None, Some(digest)));
        assert_eq!(reference.familiar(), format!("a@{digest}"));
    }

    #[test]
    fn bad_names_are_refused() {
        for text in [
            "",
            "A",
            "a/B",
            "a:",
            "a::b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a//b",
            "/a",
            "a:b c",
            "a@sha256:1",
            "http://a/b",
            "h.io:x/a",
            &"f".repeat(64),
        ] {
            assert!(text.parse::<Reference>().is_err(), "for {text:?}");
        }
    }
}
