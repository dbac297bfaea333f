//! What was answered, whole: for a record that can be read without the context it came from.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wharf_model::{Digest, Failure, Hasher, Platform};

use super::json;
use crate::kind::{Entry, ResolvedImage};

/// The answer to a [`Question`](super::Question).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The platform that is built for.
    Platform(Platform),
    /// An argument or a variable; `None` when it is not set.
    Value(Option<String>),
    /// The WORKDIR or the USER.
    Text(String),
    /// The SHELL.
    Words(Vec<String>),
    /// One file, or nothing.
    Entry(Result<Option<Entry>, Failure>),
    /// A file's content, or nothing.
    Content(Result<Option<Content>, Failure>),
    /// A listing.
    Entries(Result<Vec<Entry>, Failure>),
    /// An image.
    Image(Result<ResolvedImage, Failure>),
}

impl Answer {
    /// What a file was read as.
    pub(super) fn content(read: Result<Option<Vec<u8>>, Failure>) -> Self {
        Self::Content(read.map(|bytes| bytes.map(Content)))
    }

    /// The digest that a trace keeps.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Platform(answer) => of(answer),
            Self::Value(answer) => of(answer),
            Self::Text(answer) => of(answer),
            Self::Words(answer) => of(answer),
            Self::Entry(answer) => of(answer),
            Self::Content(answer) => {
                content(&answer.clone().map(|content| content.map(|Content(bytes)| bytes)))
            }
            Self::Entries(answer) => of(answer),
            Self::Image(answer) => of(answer),
        }
    }
}

/// Bytes of a file; as text where they are text, so that a person can read the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Written {
    Text(String),
    Hex(String),
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let written = match std::str::from_utf8(&self.0) {
            Ok(text) => Written::Text(text.to_owned()),
            Err(_) => Written::Hex(self.0.iter().map(|byte| format!("{byte:02x}")).collect()),
        };
        written.serialize(out)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        match Written::deserialize(input)? {
            Written::Text(text) => Ok(Self(text.into_bytes())),
            Written::Hex(hex) => {
                unhex(&hex).map(Self).ok_or_else(|| D::Error::custom("not pairs of hex digits"))
            }
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair.len() == 2))
        .collect()
}

pub(super) fn of<T: Serialize>(answer: &T) -> Digest {
    Digest::of(json(answer))
}

/// Without writing a large file's bytes as JSON. What precedes the bytes keeps a file from looking
/// like an absence or a failure.
pub(super) fn content(answer: &Result<Option<Vec<u8>>, Failure>) -> Digest {
    let mut hasher = Hasher::new();
    match answer {
        Ok(Some(bytes)) => {
            hasher.field("file");
            hasher.field(bytes);
        }
        Ok(None) => hasher.field("absent"),
        Err(failure) => {
            hasher.field("failure");
            hasher.field(json(failure));
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_not_an_absent_one() {
        let file = |bytes: &[u8]| content(&Ok(Some(bytes.to_vec())));
        assert_ne!(file(b""), content(&Ok(None)));
        assert_ne!(file(b"absent"), content(&Ok(None)));
    }

    #[test]
    fn content_is_written_as_a_person_reads_it() {
        for (bytes, written) in [(&b"a\n"[..], r#"{"text":"a\n"}"#), (&[0, 255][..], r#"{"hex":"00ff"}"#)] {
            let content = Content(bytes.to_vec());
            assert_eq!(serde_json::to_string(&content).unwrap(), written);
            assert_eq!(serde_json::from_str::<Content>(written).unwrap(), content);
        }
        assert!(serde_json::from_str::<Content>(r#"{"hex":"0"}"#).is_err());
    }
}
