//! `--cache-from` and `--cache-to` as they are typed.

use super::super::output::OutputSyntaxError;
use super::super::output::syntax::{fields, pairs};
use super::{CacheFrom, CacheMode, CacheTo};

/// Why a text is no cache.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CacheSyntaxError {
    /// A part is not KEY=VALUE.
    #[error(transparent)]
    Pair(#[from] OutputSyntaxError),
    /// A kind of cache that needs a server.
    #[error("a cache of type {0} is on a server, and this version can ask none")]
    Remote(String),
    /// No such kind.
    #[error("unknown cache type `{0}`: expected local or inline")]
    Type(String),
    /// The place is missing.
    #[error("a cache of type {kind} needs {key}=...")]
    Missing {
        /// The type.
        kind: String,
        /// What is missing.
        key: &'static str,
    },
    /// It has no meaning for that type.
    #[error("a cache of type {kind} has no `{key}`")]
    Key {
        /// The type.
        kind: String,
        /// What was given.
        key: String,
    },
    /// Neither.
    #[error("unknown cache mode `{0}`: expected min or max")]
    Mode(String),
}

const REMOTE: [&str; 5] = ["registry", "gha", "s3", "azblob", "gcs"];

impl CacheFrom {
    /// Reads what was typed: `type=local,src=DIR`, or an image's name.
    ///
    /// # Errors
    /// When it says nothing that can be done.
    pub fn parse(text: &str) -> Result<Self, CacheSyntaxError> {
        if !text.contains('=') {
            return Ok(Self::Image(text.to_owned()));
        }
        let mut keys = pairs(&fields(text))?;
        let kind = keys.remove("type").unwrap_or_else(|| "registry".to_owned());
        let missing = |key| CacheSyntaxError::Missing { kind: kind.clone(), key };
        let cache = match kind.as_str() {
            "local" => Self::Local(keys.remove("src").ok_or_else(|| missing("src"))?.into()),
            "inline" => Self::Image(keys.remove("ref").ok_or_else(|| missing("ref"))?),
            other => return Err(unknown(other)),
        };
        match keys.into_keys().next() {
            Some(key) => Err(CacheSyntaxError::Key { kind, key }),
            None => Ok(cache),
        }
    }
}

impl CacheTo {
    /// Reads what was typed: `type=local,dest=DIR[,mode=min|max]` or `type=inline`.
    ///
    /// # Errors
    /// When it says nothing that can be done.
    pub fn parse(text: &str) -> Result<Self, CacheSyntaxError> {
        if text == "inline" {
            return Ok(Self::Inline);
        }
        let mut keys = pairs(&fields(text))?;
        let kind = keys.remove("type").unwrap_or_else(|| "registry".to_owned());
        let mode = match keys.remove("mode").as_deref() {
            None | Some("min") => CacheMode::Min,
            Some("max") => CacheMode::Max,
            Some(other) => return Err(CacheSyntaxError::Mode(other.to_owned())),
        };
        let missing = |key| CacheSyntaxError::Missing { kind: kind.clone(), key };
        let cache = match kind.as_str() {
            "local" => Self::Local { to: keys.remove("dest").ok_or_else(|| missing("dest"))?.into(), mode },
            "inline" => Self::Inline,
            other => return Err(unknown(other)),
        };
        match keys.into_keys().next() {
            Some(key) => Err(CacheSyntaxError::Key { kind, key }),
            None => Ok(cache),
        }
    }
}

fn unknown(kind: &str) -> CacheSyntaxError {
    if REMOTE.contains(&kind) {
        CacheSyntaxError::Remote(kind.to_owned())
    } else {
        CacheSyntaxError::Type(kind.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_written_as_buildx_has_them() {
        let local = |mode| CacheTo::Local { to: "d".into(), mode };
        assert_eq!(CacheTo::parse("type=local,dest=d"), Ok(local(CacheMode::Min)));
        assert_eq!(CacheTo::parse("type=local,mode=max,dest=d"), Ok(local(CacheMode::Max)));
        assert_eq!(CacheTo::parse("type=inline"), Ok(CacheTo::Inline));
        assert_eq!(CacheFrom::parse("type=local,src=d"), Ok(CacheFrom::Local("d".into())));
        assert_eq!(CacheFrom::parse("app:v1"), Ok(CacheFrom::Image("app:v1".into())));
    }

    #[test]
    fn what_can_not_be_done_is_named() {
        for kind in ["registry", "gha", "s3"] {
            let text = format!("type={kind},ref=x");
            assert_eq!(CacheTo::parse(&text), Err(CacheSyntaxError::Remote(kind.into())));
            assert_eq!(CacheFrom::parse(&text), Err(CacheSyntaxError::Remote(kind.into())));
        }
        assert_eq!(CacheTo::parse("type=disk"), Err(CacheSyntaxError::Type("disk".into())));
        assert_eq!(CacheTo::parse("type=local,mode=some"), Err(CacheSyntaxError::Mode("some".into())));
        let missing = CacheSyntaxError::Missing { kind: "local".into(), key: "dest" };
        assert_eq!(CacheTo::parse("type=local"), Err(missing));
        let key = CacheSyntaxError::Key { kind: "local".into(), key: "dest".into() };
        assert_eq!(CacheFrom::parse("type=local,src=d,dest=e"), Err(key));
    }
}
