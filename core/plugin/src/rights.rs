//! Rights in words: `ops:exec`, `net:sandbox`, `read:context:debian/**`.
//!
//! The words are those of the TOML: the key of the `grants` table, a colon, one of its values. What
//! is a right is decided in one place, the reader of that table.
//!
//! What a plugin may do is what the user grants *and* its manifest requests. Where one of the two is
//! narrower (`context:debian/**` and `context`), the narrower one counts; of two patterns that only
//! overlap, nothing does.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use wharf_model::grant::{Grants, NetGrant, Right};
use wharf_model::manifest::Request;

use crate::config::{self, ConfigError};
use crate::{authorize, remote};

/// What a plugin requests whose server the user names: every address that is granted, and none by
/// itself.
const ANY_SERVER: &str = "remote:*";

/// A word that names no right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{right}` is not a right: {what}")]
pub struct NotARight {
    /// As written.
    pub right: String,
    /// Why not.
    pub what: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// How a right stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Requested and granted.
    Granted,
    /// Requested and not granted.
    NotGranted,
    /// Requested, and only a part of it granted.
    Partly,
    /// Granted and not requested: without effect.
    NotRequested,
    /// Requested in words that this version does not know.
    Unknown,
}

impl Standing {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::NotGranted => "not granted",
            Self::Partly => "partly granted",
            Self::NotRequested => "granted but not requested",
            Self::Unknown => "unknown to this version",
        }
    }
}

/// One right of a plugin: what it is for and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightState {
    /// `ops:exec`.
    pub right: String,
    /// The plugin's reason; empty when it does not request it.
    pub reason: String,
    /// Whether it has it.
    pub standing: Standing,
}

/// All rights in words, sorted.
pub fn words(grants: &Grants) -> BTreeSet<String> {
    let ops = grants.ops.iter().map(|right| format!("ops:{}", authorize::word(*right)));
    let net = grants.net.iter().map(|net| format!("net:{}", authorize::net_word(*net)));
    let read = grants.read.iter().map(|read| format!("read:{read}"));
    let remote = grants.remote.iter().map(|address| format!("remote:{address}"));
    let extensions = grants.extensions.iter().map(|name| format!("extensions:{name}"));
    ops.chain(net).chain(read).chain(remote).chain(extensions).collect()
}

/// Reads rights.
///
/// # Errors
/// Names the first word that is none.
pub fn parse<T: AsRef<str>>(rights: impl IntoIterator<Item = T>) -> Result<Grants, NotARight> {
    let mut grants = Grants::default();
    for right in rights {
        let one = parse_one(right.as_ref())?;
        grants.ops.extend(one.ops);
        grants.net.extend(one.net);
        grants.read.extend(one.read);
        grants.remote.extend(one.remote);
        grants.extensions.extend(one.extensions);
    }
    Ok(grants)
}

fn parse_one(right: &str) -> Result<Grants, NotARight> {
    let wrong = |what: &str, help: Option<String>| NotARight {
        right: right.chars().take(200).collect(),
        what: what.to_owned(),
        help,
    };
    let form =
        || Some("write `<key>:<value>` as in the TOML, for example `ops:exec` or `net:sandbox`".into());
    let (key, value) = right.split_once(':').ok_or_else(|| wrong("it has no key", form()))?;
    if let Some(grants) = plain(key, value) {
        return Ok(grants);
    }
    config::grant(key, value).map_err(|error| match error {
        ConfigError::Key { what, help, .. } => wrong(&what, help),
        other => wrong(&other.to_string(), form()),
    })
}

/// Most rights are single words: these take no reader of TOML.
fn plain(key: &str, value: &str) -> Option<Grants> {
    let word: StrDeserializer<'_, serde::de::value::Error> = value.into_deserializer();
    let mut grants = Grants::default();
    match key {
        "ops" => grants.ops.insert(Right::deserialize(word).ok()?),
        "net" => grants.net.insert(NetGrant::deserialize(word).ok()?),
        _ => return None,
    };
    Some(grants)
}

/// What is both granted and requested.
pub fn effective(granted: &Grants, requests: &[Request]) -> Grants {
    let granted = words(granted);
    let covered = granted.iter().filter(|right| requests.iter().any(|request| covers(&request.right, right)));
    let narrower = requests.iter().map(|request| &request.right);
    let narrower = narrower.filter(|wanted| granted.iter().any(|right| covers(right, wanted)));
    parse(covered.chain(narrower).filter(|right| is_known(right))).unwrap_or_default()
}

/// Whether this version knows the right.
pub fn is_known(right: &str) -> bool {
    parse_one(right).is_ok()
}

/// Every right that is requested or granted: requests first, in the plugin's order.
pub fn states(granted: &Grants, requests: &[Request]) -> Vec<RightState> {
    let granted = words(granted);
    let mut states: Vec<RightState> = requests
        .iter()
        .map(|request| RightState {
            right: request.right.clone(),
            reason: request.reason.clone(),
            standing: standing(&request.right, &granted),
        })
        .collect();
    let useless = granted.iter().filter(|right| {
        !requests.iter().any(|request| covers(&request.right, right) || covers(right, &request.right))
    });
    states.extend(useless.map(|right| RightState {
        right: right.clone(),
        reason: String::new(),
        standing: Standing::NotRequested,
    }));
    states
}

fn standing(wanted: &str, granted: &BTreeSet<String>) -> Standing {
    if wanted == ANY_SERVER {
        let named = granted.iter().any(|right| covers(wanted, right));
        if named { Standing::Granted } else { Standing::NotGranted }
    } else if !is_known(wanted) {
        Standing::Unknown
    } else if granted.iter().any(|right| covers(right, wanted)) {
        Standing::Granted
    } else if granted.iter().any(|right| covers(wanted, right)) {
        Standing::Partly
    } else {
        Standing::NotGranted
    }
}

/// Whether who has `wide` has `narrow`, too.
pub fn covers(wide: &str, narrow: &str) -> bool {
    if wide == narrow {
        return true;
    }
    let below = |prefix: &str| narrow.strip_prefix(prefix).is_some_and(|rest| !rest.contains(".."));
    if wide == "read:context" {
        return narrow.starts_with("read:context:");
    }
    if wide.starts_with("read:context:") {
        return wide
            .strip_suffix("/**")
            .is_some_and(|folder| narrow == folder || below(&format!("{folder}/")));
    }
    match (wide.strip_prefix("remote:"), narrow.strip_prefix("remote:")) {
        (Some(_), Some(_)) if wide == ANY_SERVER => true,
        (Some(wide), Some(narrow)) => remote::is_below(wide, narrow),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(rights: &[&str]) -> Vec<Request> {
        rights.iter().map(|right| Request { right: (*right).into(), reason: "why".into() }).collect()
    }

    #[test]
    fn a_server_that_the_user_names_is_requested_without_an_address() {
        let wanted = requests(&[ANY_SERVER]);
        let granted = parse(["remote:https://a.example/v1/", "remote:http://127.0.0.1:8080/"]).unwrap();
        assert_eq!(effective(&granted, &wanted), granted);
        assert_eq!(effective(&Grants::default(), &wanted), Grants::default());
        assert_eq!(states(&granted, &wanted).len(), 1);
        assert_eq!(states(&granted, &wanted)[0].standing, Standing::Granted);
        assert_eq!(states(&Grants::default(), &wanted)[0].standing, Standing::NotGranted);
        assert!(!is_known(ANY_SERVER), "it can not be granted");
    }

    #[test]
    fn words_are_read_and_written() {
        let all =
            ["extensions:x", "net:sandbox", "ops:exec", "ops:mount-cache", "read:context:a/**", "read:image"];
        let read: Vec<String> = words(&parse(all).unwrap()).into_iter().collect();
        assert_eq!(read, all);
    }

    #[test]
    fn what_is_no_right_says_what_is() {
        for (right, what, help) in [
            ("exec", "it has no key", "write `<key>:<value>`"),
            ("ops:exce", "`exce` is not known", "did you mean `exec`?"),
            ("opps:exec", "unknown key", "did you mean `ops`?"),
            ("net:wlan", "`wlan` is not known", "known here"),
            ("read:host", "`host` is not known", "known here"),
            ("", "it has no key", "write"),
        ] {
            let error = parse([right]).unwrap_err();
            assert!(error.what.starts_with(what), "{error}");
            assert!(error.help.unwrap_or_default().starts_with(help), "for {right}");
        }
    }

    #[test]
    fn effective_is_what_both_say() {
        for (granted, requested, both) in [
            (&["ops:exec", "ops:write"][..], &["ops:exec", "net:sandbox"][..], &["ops:exec"][..]),
            (&["read:context"], &["read:context:debian/**"], &["read:context:debian/**"]),
            (&["read:context:debian/**"], &["read:context"], &["read:context:debian/**"]),
            (&["read:context:debian/**"], &["read:context:debian/rules"], &["read:context:debian/rules"]),
            (&["read:context:debian/**"], &["read:context:debian"], &["read:context:debian"]),
            (&["read:context:a*"], &["read:context:*b"], &[]),
            (&["read:context:a/**"], &["read:context:a/../b"], &[]),
            (&["ops:exec"], &["ops:exec-insecure", "ops:levitate"], &[]),
        ] {
            let effective = effective(&parse(granted).unwrap(), &requests(requested));
            let words: Vec<String> = words(&effective).into_iter().collect();
            assert_eq!(words, both, "{granted:?} and {requested:?}");
        }
    }

    #[test]
    fn every_right_has_a_standing() {
        let granted = parse(["ops:exec", "ops:write", "read:context:a/**"]).unwrap();
        let requested = requests(&["ops:exec", "net:host", "read:context", "ops:levitate"]);
        let states: Vec<(String, Standing)> =
            states(&granted, &requested).into_iter().map(|state| (state.right, state.standing)).collect();
        assert_eq!(
            states,
            [
                ("ops:exec".into(), Standing::Granted),
                ("net:host".into(), Standing::NotGranted),
                ("read:context".into(), Standing::Partly),
                ("ops:levitate".into(), Standing::Unknown),
                ("ops:write".into(), Standing::NotRequested),
            ]
        );
    }

    #[test]
    fn an_address_covers_what_lies_below_it() {
        assert!(covers("remote:https://a.example/v1/", "remote:https://a.example/v1/x"));
        assert!(covers("remote:https://a.example/v1", "remote:https://a.example/v1/x"));
        assert!(!covers("remote:https://a.example/v1", "remote:https://a.example/v12"));
        assert!(!covers("remote:https://a.example", "remote:https://a.example.evil/"));
        assert!(covers("remote:https://a.example", "remote:https://a.example:443/"));
        assert!(!covers("remote:https://a.example", "remote:http://a.example/"));
    }
}
