//! `search`: what a registry has.

use wharf_model::Reference;
use wharf_store::registry::{self, Hit, PullError};

use super::DOCKER;
use crate::Engine;

/// So many are asked for when nobody says how many.
const USUAL: u32 = 25;
/// As docker has it.
const MOST: u32 = 100;
/// What docker can filter by.
const KEYS: &str = "is-automated, is-official, stars";

/// Which images are wanted; all that is said must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchFilter {
    stars: u64,
    official: Option<bool>,
    automated: Option<bool>,
}

/// Why nothing was looked for, or found out.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// A filter without a value.
    #[error("bad format of filter `{0}` (expected name=value)")]
    Format(String),
    /// No such filter.
    #[error("invalid filter `{0}`: expected one of {KEYS}")]
    Unknown(String),
    /// No such value.
    #[error("invalid filter `{key}={value}`: expected {expected}")]
    Value {
        /// Of which filter.
        key: &'static str,
        /// As typed.
        value: String,
        /// What can be typed.
        expected: &'static str,
    },
    /// Too many, or none.
    #[error("limit {0} is outside the range of [1, {MOST}]")]
    Limit(u32),
    /// An address.
    #[error("`{0}` has a scheme: a term is [HOST/]TEXT")]
    Scheme(String),
    /// The host is not one.
    #[error("`{0}` is not a registry: a term is [HOST/]TEXT")]
    Registry(String),
    /// The registry.
    #[error("cannot look through {registry}")]
    Search {
        /// Host and port.
        registry: String,
        /// Why not.
        source: PullError,
    },
}

impl SearchError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Search { source, .. } => source.next_step(),
            _ => None,
        }
    }
}

impl SearchFilter {
    /// Adds `key=value`.
    ///
    /// # Errors
    /// When it is not that, or there is no such key.
    pub fn add(&mut self, text: &str) -> Result<(), SearchError> {
        let (key, value) = text.split_once('=').ok_or_else(|| SearchError::Format(text.to_owned()))?;
        match key.trim().to_ascii_lowercase().as_str() {
            "stars" => {
                let value = value.to_owned();
                let wrong = SearchError::Value { key: "stars", value: value.clone(), expected: "a number" };
                self.stars = self.stars.max(value.parse().map_err(|_| wrong)?);
            }
            "is-official" => self.official = Some(truth("is-official", value)?),
            "is-automated" => self.automated = Some(truth("is-automated", value)?),
            other => return Err(SearchError::Unknown(other.to_owned())),
        }
        Ok(())
    }

    /// Nothing is automated any more: docker's index says so of every image.
    fn fits(&self, hit: &Hit) -> bool {
        hit.stars >= self.stars
            && self.official.is_none_or(|official| official == hit.official)
            && self.automated != Some(true)
    }
}

fn truth(key: &'static str, value: &str) -> Result<bool, SearchError> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(SearchError::Value { key, value: other.to_owned(), expected: "true or false" }),
    }
}

impl Engine {
    /// Images of a registry for a text, `[HOST/]TEXT`; those with the most stars first. The filter is applied
    /// to what the registry gives, as docker does it.
    ///
    /// # Errors
    /// When the text is an address, or the registry does not tell.
    pub fn search(
        &self,
        term: &str,
        limit: Option<u32>,
        filter: &SearchFilter,
    ) -> Result<Vec<Hit>, SearchError> {
        let limit = limit.filter(|limit| *limit != 0).unwrap_or(USUAL);
        if limit > MOST {
            return Err(SearchError::Limit(limit));
        }
        let (registry, text) = split(term)?;
        let found = registry::search(&self.session(), registry, text, limit as usize);
        let mut hits =
            found.map_err(|source| SearchError::Search { registry: registry.to_owned(), source })?;
        hits.retain(|hit| filter.fits(hit));
        Ok(hits)
    }
}

/// The registry of a term, and the rest. A first part without a dot or a colon is no host, as in a name.
fn split(term: &str) -> Result<(&str, &str), SearchError> {
    if term.contains("://") {
        return Err(SearchError::Scheme(term.to_owned()));
    }
    let (host, rest) = match term.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => (DOCKER, term),
    };
    let is_host = format!("{host}/x").parse::<Reference>().is_ok_and(|name| name.domain() == host);
    match (is_host, host) {
        (_, "index.docker.io" | DOCKER) => Ok((DOCKER, rest.strip_prefix("library/").unwrap_or(rest))),
        (true, host) => Ok((host, rest)),
        (false, _) => Err(SearchError::Registry(host.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        for (term, registry, text) in [
            ("redis", "docker.io", "redis"),
            ("library/redis", "docker.io", "redis"),
            ("team/redis", "docker.io", "team/redis"),
            ("docker.io/library/redis", "docker.io", "redis"),
            ("index.docker.io/redis", "docker.io", "redis"),
            ("localhost/redis", "localhost", "redis"),
            ("h:5000/team/redis", "h:5000", "team/redis"),
            ("h.io/", "h.io", ""),
            ("two words", "docker.io", "two words"),
        ] {
            assert_eq!(split(term).unwrap(), (registry, text), "{term}");
        }
        for term in ["https://h.io/x", "h_!.io/x", "h.io:port/x"] {
            assert!(split(term).is_err(), "{term}");
        }
    }

    #[test]
    fn filters_are_docker_s() {
        let hit = |stars, official| Hit { stars, official, ..Hit::default() };
        let filter = |texts: &[&str]| {
            let mut filter = SearchFilter::default();
            texts.iter().try_for_each(|text| filter.add(text)).map(|()| filter)
        };
        let both = filter(&["stars=3", "is-official=true"]).unwrap();
        assert!(both.fits(&hit(3, true)) && !both.fits(&hit(2, true)) && !both.fits(&hit(3, false)));
        assert!(filter(&["is-official=false"]).unwrap().fits(&hit(0, false)));
        assert!(!filter(&["is-automated=true"]).unwrap().fits(&hit(9, true)));
        for (text, words) in [
            ("stars", "bad format"),
            ("stars=many", "expected a number"),
            ("stars=-1", "expected a number"),
            ("is-official=maybe", "expected true or false"),
            ("size=3", "expected one of is-automated, is-official, stars"),
        ] {
            let error = filter(&[text]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
