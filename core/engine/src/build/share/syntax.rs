//! `--cache-from` and `--cache-to` as they are typed.

use std::collections::BTreeMap;

use wharf_model::{Reference, ReferenceError};

use super::super::output::OutputSyntaxError;
use super::super::output::syntax::{fields, pairs};
use super::{CacheFrom, CacheMode, CacheTo};

/// Why a text is no cache.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CacheSyntaxError {
    /// A part is not KEY=VALUE.
    #[error(transparent)]
    Pair(#[from] OutputSyntaxError),
    /// A kind of cache that needs a server of somebody's own kind.
    #[error("a cache of type {0} is on a server that this version can not ask")]
    Remote(String),
    /// No such kind.
    #[error("unknown cache type `{0}`: expected registry, local or inline")]
    Type(String),
    /// The name in a registry is not one.
    #[error("invalid name `{name}` of a cache")]
    Name {
        /// As given.
        name: String,
        /// Why not.
        source: ReferenceError,
    },
    /// Something that a cache is always, or never.
    #[error("a cache in a registry has no `{key}={value}`: it is an OCI image manifest with gzip layers")]
    Form {
        /// What was given.
        key: String,
        /// Its value.
        value: String,
    },
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

const REMOTE: [&str; 4] = ["gha", "s3", "azblob", "gcs"];

impl CacheFrom {
    /// Reads what was typed: `type=registry,ref=NAME`, `type=local,src=DIR`, or names of images.
    ///
    /// # Errors
    /// When it says nothing that can be done.
    pub fn parse(text: &str) -> Result<Vec<Self>, CacheSyntaxError> {
        if !text.contains('=') {
            return Ok(fields(text).into_iter().map(Self::Image).collect());
        }
        let mut asked = Asked::of(text)?;
        let cache = match asked.kind.as_str() {
            "registry" => Self::Registry(asked.name()?),
            "local" => Self::Local(asked.needed("src")?.into()),
            "inline" => Self::Image(asked.needed("ref")?),
            other => return Err(unknown(other)),
        };
        asked.nothing_more()?;
        Ok(vec![cache])
    }
}

impl CacheTo {
    /// Reads what was typed: `type=registry,ref=NAME[,mode=min|max][,ignore-error=true]`, the same with
    /// `type=local,dest=DIR`, `type=inline`, or names in registries.
    ///
    /// # Errors
    /// When it says nothing that can be done.
    pub fn parse(text: &str) -> Result<Vec<Self>, CacheSyntaxError> {
        if text == "inline" {
            return Ok(vec![Self::Inline]);
        }
        if !text.contains('=') {
            let (mode, lenient) = (CacheMode::Min, false);
            let each = |name: String| Ok(Self::Registry { to: tagged(&name)?, mode, lenient });
            return fields(text).into_iter().map(each).collect();
        }
        let mut asked = Asked::of(text)?;
        let mode = asked.mode()?;
        let lenient = asked.choice("ignore-error")?.unwrap_or(false);
        let cache = match asked.kind.as_str() {
            "registry" => {
                asked.usual_form()?;
                Self::Registry { to: asked.name()?, mode, lenient }
            }
            "local" => Self::Local { to: asked.needed("dest")?.into(), mode, lenient },
            "inline" => Self::Inline,
            other => return Err(unknown(other)),
        };
        asked.nothing_more()?;
        Ok(vec![cache])
    }
}

/// What was typed; what is understood is taken out of `keys`.
struct Asked {
    kind: String,
    keys: BTreeMap<String, String>,
}

impl Asked {
    fn of(text: &str) -> Result<Self, CacheSyntaxError> {
        let mut keys = pairs(&fields(text))?;
        let kind = keys.remove("type").unwrap_or_else(|| "registry".to_owned());
        Ok(Self { kind, keys })
    }

    fn needed(&mut self, key: &'static str) -> Result<String, CacheSyntaxError> {
        let found = self.keys.remove(key).filter(|value| !value.is_empty());
        found.ok_or_else(|| CacheSyntaxError::Missing { kind: self.kind.clone(), key })
    }

    fn name(&mut self) -> Result<Reference, CacheSyntaxError> {
        tagged(&self.needed("ref")?)
    }

    fn mode(&mut self) -> Result<CacheMode, CacheSyntaxError> {
        match self.keys.remove("mode").as_deref() {
            None | Some("min") => Ok(CacheMode::Min),
            Some("max") => Ok(CacheMode::Max),
            Some(other) => Err(CacheSyntaxError::Mode(other.to_owned())),
        }
    }

    fn choice(&mut self, key: &str) -> Result<Option<bool>, CacheSyntaxError> {
        match self.keys.remove(key).as_deref() {
            None => Ok(None),
            Some("true" | "1" | "") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(value) => {
                let (key, value) = (key.to_owned(), value.to_owned());
                Err(OutputSyntaxError::Choice { key, value }.into())
            }
        }
    }

    /// What buildx lets one choose, and is always so here.
    fn usual_form(&mut self) -> Result<(), CacheSyntaxError> {
        for key in ["oci-mediatypes", "image-manifest"] {
            if self.choice(key)? == Some(false) {
                return Err(CacheSyntaxError::Form { key: key.to_owned(), value: "false".to_owned() });
            }
        }
        match self.keys.remove("compression") {
            Some(value) if value != "gzip" => {
                Err(CacheSyntaxError::Form { key: "compression".to_owned(), value })
            }
            _ => Ok(()),
        }
    }

    fn nothing_more(self) -> Result<(), CacheSyntaxError> {
        match self.keys.into_keys().next() {
            Some(key) => Err(CacheSyntaxError::Key { kind: self.kind, key }),
            None => Ok(()),
        }
    }
}

fn tagged(name: &str) -> Result<Reference, CacheSyntaxError> {
    name.parse().map_err(|source| CacheSyntaxError::Name { name: name.to_owned(), source })
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
        let local = |mode| vec![CacheTo::Local { to: "d".into(), mode, lenient: false }];
        assert_eq!(CacheTo::parse("type=local,dest=d"), Ok(local(CacheMode::Min)));
        assert_eq!(CacheTo::parse("type=local,mode=max,dest=d"), Ok(local(CacheMode::Max)));
        assert_eq!(CacheTo::parse("type=inline"), Ok(vec![CacheTo::Inline]));
        let name: Reference = "h:5000/a:c".parse().unwrap();
        let remote = |mode, lenient| vec![CacheTo::Registry { to: name.clone(), mode, lenient }];
        assert_eq!(CacheTo::parse("h:5000/a:c"), Ok(remote(CacheMode::Min, false)));
        let text =
            "type=registry,ref=h:5000/a:c,mode=max,ignore-error=true,oci-mediatypes=true,image-manifest=true";
        assert_eq!(CacheTo::parse(text), Ok(remote(CacheMode::Max, true)));
        assert_eq!(CacheFrom::parse("type=local,src=d"), Ok(vec![CacheFrom::Local("d".into())]));
        assert_eq!(CacheFrom::parse("type=registry,ref=h:5000/a:c"), Ok(vec![CacheFrom::Registry(name)]));
        let images = ["app:v1", "b"].map(|name| CacheFrom::Image(name.into()));
        assert_eq!(CacheFrom::parse("app:v1,b"), Ok(images.to_vec()));
    }

    #[test]
    fn what_can_not_be_done_is_named() {
        for kind in ["gha", "s3"] {
            let text = format!("type={kind},ref=x");
            assert_eq!(CacheTo::parse(&text), Err(CacheSyntaxError::Remote(kind.into())));
            assert_eq!(CacheFrom::parse(&text), Err(CacheSyntaxError::Remote(kind.into())));
        }
        assert_eq!(CacheTo::parse("type=disk"), Err(CacheSyntaxError::Type("disk".into())));
        assert_eq!(CacheTo::parse("type=local,mode=some"), Err(CacheSyntaxError::Mode("some".into())));
        let missing = |kind: &str, key| CacheSyntaxError::Missing { kind: kind.into(), key };
        assert_eq!(CacheTo::parse("type=local"), Err(missing("local", "dest")));
        assert_eq!(CacheTo::parse("type=registry,mode=max"), Err(missing("registry", "ref")));
        let key = CacheSyntaxError::Key { kind: "local".into(), key: "dest".into() };
        assert_eq!(CacheFrom::parse("type=local,src=d,dest=e"), Err(key));
        for (key, value) in [("oci-mediatypes", "false"), ("compression", "zstd")] {
            let error = CacheTo::parse(&format!("type=registry,ref=a,{key}={value}")).unwrap_err();
            assert!(error.to_string().contains(&format!("{key}={value}")), "{error}");
        }
        assert!(matches!(CacheFrom::parse("type=registry,ref=UP"), Err(CacheSyntaxError::Name { .. })));
    }
}
