//! `--provenance` and `--attest type=provenance` as they are typed.

use super::super::output::OutputSyntaxError;
use super::super::output::syntax::{fields, pairs};
use super::{Provenance, ProvenanceMode};

/// Why a text says nothing about provenance.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProvenanceSyntaxError {
    /// A part is not KEY=VALUE.
    #[error(transparent)]
    Pair(#[from] OutputSyntaxError),
    /// Another attestation.
    #[error("unknown attestation type `{0}`: expected provenance")]
    Type(String),
    /// The type is missing.
    #[error("an attestation needs a type: write type=provenance")]
    NoType,
    /// Neither `min` nor `max`.
    #[error("unknown mode `{0}` of provenance: expected min or max")]
    Mode(String),
    /// Another version of the predicate.
    #[error("provenance of version `{0}` is not written: expected v1")]
    Version(String),
    /// Neither true nor false.
    #[error("invalid value `{value}` for `{key}`: expected true or false")]
    Choice {
        /// Of what.
        key: String,
        /// As given.
        value: String,
    },
    /// It has no meaning.
    #[error("provenance has no `{0}`: expected mode, builder-id, reproducible or version")]
    Key(String),
}

impl Provenance {
    /// `--provenance`: `true`, `false`, or keys such as `mode=max`. `None` when none is wanted.
    ///
    /// # Errors
    /// When it says nothing that can be done.
    pub fn parse(text: &str) -> Result<Option<Self>, ProvenanceSyntaxError> {
        match text {
            "" => Ok(Some(Self::default())),
            choice if !choice.contains('=') => Ok(is_true("provenance", choice)?.then(Self::default)),
            keys => Self::of_keys(keys, false),
        }
    }

    /// `--attest`: `type=provenance` and the same keys.
    ///
    /// # Errors
    /// When it says nothing that can be done.
    pub fn parse_attestation(text: &str) -> Result<Option<Self>, ProvenanceSyntaxError> {
        Self::of_keys(text, true)
    }

    fn of_keys(text: &str, needs_type: bool) -> Result<Option<Self>, ProvenanceSyntaxError> {
        let mut provenance = Self::default();
        let (mut kind, mut is_wanted) = (None, true);
        for (key, value) in pairs(&fields(text))? {
            match key.as_str() {
                "type" => kind = Some(value),
                "mode" => provenance.mode = mode(&value)?,
                "builder-id" => provenance.builder_id = Some(value).filter(|id| !id.is_empty()),
                "reproducible" => provenance.reproducible = is_true(&key, &value)?,
                "disabled" => is_wanted = !is_true(&key, &value)?,
                // Which outputs may have it: here those that can.
                "inline-only" => drop(is_true(&key, &value)?),
                "version" if value == "v1" => {}
                "version" => return Err(ProvenanceSyntaxError::Version(value)),
                _ => return Err(ProvenanceSyntaxError::Key(key)),
            }
        }
        match kind.as_deref() {
            Some("provenance") => {}
            None if !needs_type => {}
            None => return Err(ProvenanceSyntaxError::NoType),
            Some(other) => return Err(ProvenanceSyntaxError::Type(other.to_owned())),
        }
        Ok(is_wanted.then_some(provenance))
    }
}

fn mode(value: &str) -> Result<ProvenanceMode, ProvenanceSyntaxError> {
    match value {
        "min" => Ok(ProvenanceMode::Min),
        "max" | "full" => Ok(ProvenanceMode::Max),
        other => Err(ProvenanceSyntaxError::Mode(other.to_owned())),
    }
}

fn is_true(key: &str, value: &str) -> Result<bool, ProvenanceSyntaxError> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(ProvenanceSyntaxError::Choice { key: key.to_owned(), value: other.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provenance_is_asked_for_as_with_buildx() {
        let min = Some(Provenance::default());
        let max = Some(Provenance { mode: ProvenanceMode::Max, ..Provenance::default() });
        let own = Provenance {
            builder_id: Some("https://ci/1".into()),
            reproducible: true,
            ..Provenance::default()
        };
        for (text, expected) in [
            ("", &min),
            ("true", &min),
            ("mode=min,version=v1", &min),
            ("mode=max", &max),
            ("type=provenance,mode=max,inline-only=true", &max),
            ("builder-id=https://ci/1,reproducible=true", &Some(own)),
            ("false", &None),
            ("disabled=true", &None),
        ] {
            assert_eq!(Provenance::parse(text).as_ref(), Ok(expected), "for {text}");
        }
        assert_eq!(Provenance::parse_attestation("type=provenance,mode=max"), Ok(max));
    }

    #[test]
    fn what_can_not_be_written_is_named() {
        let choice =
            |key: &str, value: &str| ProvenanceSyntaxError::Choice { key: key.into(), value: value.into() };
        for (text, expected) in [
            ("max", choice("provenance", "max")),
            ("mode=most", ProvenanceSyntaxError::Mode("most".into())),
            ("version=v0.2", ProvenanceSyntaxError::Version("v0.2".into())),
            ("reproducible=maybe", choice("reproducible", "maybe")),
            ("times=x", ProvenanceSyntaxError::Key("times".into())),
            ("type=sbom", ProvenanceSyntaxError::Type("sbom".into())),
        ] {
            assert_eq!(Provenance::parse(text), Err(expected), "for {text}");
        }
        assert_eq!(Provenance::parse_attestation("mode=max"), Err(ProvenanceSyntaxError::NoType));
    }
}
