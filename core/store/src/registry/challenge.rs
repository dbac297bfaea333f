//! `WWW-Authenticate`: how a registry wants to be convinced (RFC 9110, and the distribution project's
//! "Token Authentication Specification").

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// What a registry accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user and a password, with every request.
    Basic,
    /// A token that another server gives.
    Bearer {
        /// Where.
        realm: String,
        /// For which service.
        service: Option<String>,
        /// What it must allow.
        scopes: Vec<String>,
    },
}

/// The first challenge that can be answered; tokens are better than passwords.
pub(super) fn of(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<Challenge> = texts.flat_map(parse).collect();
    let bearer = all.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(all.first()).cloned()
}

/// All challenges of one header that are understood.
fn parse(text: &str) -> Vec<Challenge> {
    let parsed = http_auth::ChallengeParser::new(text).filter_map(Result::ok);
    parsed
        .filter_map(|challenge| {
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                return Some(Challenge::Basic);
            }
            if !challenge.scheme.eq_ignore_ascii_case("bearer") {
                return None;
            }
            let value = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            let scopes = value("scope").unwrap_or_default();
            Some(Challenge::Bearer {
                realm: value("realm")?,
                service: value("service"),
                scopes: scopes.split_whitespace().map(str::to_owned).collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scopes: &[&str]) -> Challenge {
        Challenge::Bearer {
            realm: realm.into(),
            service: service.map(str::to_owned),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        }
    }

    #[test]
    fn challenges_are_read_as_they_are_written() {
        for (text, challenge) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("bearer realm=\"https://a/t\"", Some(bearer("https://a/t", None, &[]))),
            (
                "Bearer realm=\"https://a/t\",service=\"s\", scope=\"repository:a:pull,push repository:b:pull\"",
                Some(bearer("https://a/t", Some("s"), &["repository:a:pull,push", "repository:b:pull"])),
            ),
            ("Basic realm=\"x\", Bearer realm=\"y\"", Some(bearer("y", None, &[]))),
            ("Negotiate", None),
            ("Bearer service=\"s\"", None),
            ("", None),
            ("\"\",,,=", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(WWW_AUTHENTICATE, text.parse().unwrap());
            assert_eq!(of(&headers), challenge, "{text}");
        }
    }
}
