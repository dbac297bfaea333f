//! What the settings demand of images, and of which.
//!
//! ```toml
//! [plugin.image-trust.settings]
//! default = "refuse"                       # what no rule is about; or "accept"
//!
//! [[plugin.image-trust.settings.rule]]
//! prefix = "registry.example/acme"         # that repository, and all below it
//! keys = ["-----BEGIN PUBLIC KEY-----..."] # one of them has to have signed
//! identity = "*@acme.example"              # or who has a certificate in this name, see `identity`
//! issuer = "https://accounts.example"      # by this one
//! ```
//!
//! Of several rules that a repository is under, the one with the longest prefix counts, and alone.
//! What one rule names has to hold together: an image of a rule with `digests` and `keys` is one of
//! those digests and is signed. Only of `keys` and `identity` one is enough: both say who signs.

use std::collections::BTreeMap;

use sigstore_crypto::KeyAlgorithm;
use sigstore_types::DerPublicKey;
use wharf_sdk::{Failure, Settings, Value, refuse};

use crate::certificate::Certificates;
use crate::identity::Pattern;

/// Keys of a rule.
const KEYS: &str = "prefix, accept, digests, keys, identity, issuer, trusted-root, signed-as";
/// The site's file with the trusted root, where the rule names none.
const TRUSTED_ROOT: &str = "trusted-root.json";

/// The settings.
#[derive(Debug)]
pub(crate) struct Policy {
    /// Whether what no rule is about may be pulled.
    accepts_others: bool,
    rules: Vec<Rule>,
}

/// What is demanded of the images below one prefix.
#[derive(Debug)]
pub(crate) struct Rule {
    /// A host, and as much of a repository's path as is meant.
    pub(crate) prefix: String,
    pub(crate) demand: Demand,
}

/// What is demanded.
#[derive(Debug)]
pub(crate) enum Demand {
    /// Every image will do.
    Anything,
    /// None will.
    Nothing,
    /// All of what is named.
    Proof(Proof),
}

/// What has to hold of an image.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    /// One of these is it; empty: any.
    pub(crate) digests: Vec<String>,
    /// One of these signed it.
    pub(crate) signers: Option<Signers>,
}

/// Who may have signed an image.
#[derive(Debug)]
pub(crate) struct Signers {
    /// At least one, where there are no certificates.
    pub(crate) keys: Vec<DerPublicKey>,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) name: SignedName,
}

/// What a payload of cosign's has to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignedName {
    /// The repository that is pulled from.
    Pulled,
    /// This one: what is pulled is a copy of it.
    Other(String),
    /// Whatever.
    Any,
}

impl Signers {
    /// Why a signature by a key does not count.
    pub(crate) fn no_key(&self) -> &'static str {
        if self.keys.is_empty() {
            "it is by a key, and the rule names who has certificates"
        } else {
            "it is by none of the keys of the rule"
        }
    }
}

impl Policy {
    /// What the settings say.
    ///
    /// # Errors
    /// Names the setting that makes no sense.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Failure> {
        let mut policy = Self { accepts_others: false, rules: Vec::new() };
        let mut rules: BTreeMap<u32, BTreeMap<&str, &Value>> = BTreeMap::new();
        for (name, value) in settings {
            match rule_key(name) {
                Some((number, key)) => {
                    rules.entry(number).or_default().insert(key, value);
                }
                None if name == "default" => {
                    policy.accepts_others = one_of(name, value, ["refuse", "accept"])? == "accept";
                }
                None => return Err(unknown(name, "default, and the list of tables `rule`")),
            }
        }
        for (number, said) in rules {
            let rule = rule(number, &said)?;
            if policy.rules.iter().any(|other| other.prefix == rule.prefix) {
                return Err(refuse(format!("two rules are about `{}`", rule.prefix)));
            }
            policy.rules.push(rule);
        }
        Ok(policy)
    }

    /// The rule that counts for a repository, `host/path`; `None` when none is about it.
    pub(crate) fn rule(&self, repository: &str) -> Option<&Rule> {
        let about = self.rules.iter().filter(|rule| is_under(repository, &rule.prefix));
        about.max_by_key(|rule| rule.prefix.len())
    }

    /// Whether what no rule is about may be pulled.
    pub(crate) fn accepts_others(&self) -> bool {
        self.accepts_others
    }
}

/// `host/path` of a whole name, without tag and digest.
pub(crate) fn repository(reference: &str) -> String {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    let (host, path) = name.split_once('/').unwrap_or((name, ""));
    let path = path.split_once(':').map_or(path, |(path, _)| path);
    let host = match host.to_ascii_lowercase().as_str() {
        "index.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    };
    if path.is_empty() { host } else { format!("{host}/{path}") }
}

/// A prefix ends where a part of a path ends.
fn is_under(repository: &str, prefix: &str) -> bool {
    repository.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `rule.3.keys` is `(3, "keys")`.
fn rule_key(name: &str) -> Option<(u32, &str)> {
    let (number, key) = name.strip_prefix("rule.")?.split_once('.')?;
    Some((number.parse().ok()?, key))
}

fn rule(number: u32, said: &BTreeMap<&str, &Value>) -> Result<Rule, Failure> {
    let known: Vec<&str> = KEYS.split(", ").collect();
    if let Some(key) = said.keys().find(|key| !known.contains(key)) {
        return Err(unknown(&format!("rule.{number}.{key}"), KEYS));
    }
    let Some(prefix) = said.get("prefix") else {
        return Err(refuse(format!("rule {} has no `prefix`", number + 1))
            .help("write which images it is about: prefix = \"registry.example/team\""));
    };
    let prefix = prefix_of(text("prefix", prefix)?)?;
    let within = |failure: Failure| {
        let message = format!("the rule of `{prefix}`: {}", failure.message());
        let help = failure.diagnostics.into_iter().find_map(|said| said.help);
        let failure = refuse(message);
        if let Some(help) = help { failure.help(help) } else { failure }
    };
    let demand = demand(said).map_err(within)?;
    Ok(Rule { prefix, demand })
}

fn prefix_of(text: &str) -> Result<String, Failure> {
    let trimmed = text.trim_end_matches('/');
    let (host, path) = trimmed.split_once('/').unwrap_or((trimmed, ""));
    let is_host = host.contains(['.', ':']) || host.eq_ignore_ascii_case("localhost");
    if !is_host || path.contains([':', '@', '*']) || host.contains(['*', '@']) {
        return Err(refuse(format!("`{text}` is no beginning of a repository's name"))
            .help("it starts with a host and has no tag: docker.io/library, registry.example/team"));
    }
    Ok(repository(trimmed))
}

fn demand(said: &BTreeMap<&str, &Value>) -> Result<Demand, Failure> {
    let list = |key: &str| said.get(key).map(|value| texts(key, value)).transpose();
    let digests = list("digests")?;
    let signers = signers(said)?;
    if let Some(accept) = said.get("accept") {
        if digests.is_some() || signers.is_some() {
            return Err(refuse("`accept` leaves nothing to demand: take it out, or the rest"));
        }
        let word = one_of("accept", accept, ["anything", "nothing"])?;
        return Ok(if word == "anything" { Demand::Anything } else { Demand::Nothing });
    }
    if digests.is_none() && signers.is_none() {
        return Err(refuse("it demands nothing")
            .help("write `digests`, `keys`, `identity`, or accept = \"anything\" or \"nothing\""));
    }
    let digests = digests.map(|list| list.iter().map(|text| digest(text)).collect()).transpose()?;
    Ok(Demand::Proof(Proof { digests: digests.unwrap_or_default(), signers }))
}

fn signers(said: &BTreeMap<&str, &Value>) -> Result<Option<Signers>, Failure> {
    let keys = said.get("keys").map(|value| texts("keys", value)).transpose()?;
    let certificates = certificates(said)?;
    let name = said.get("signed-as").map(|value| text("signed-as", value)).transpose()?;
    if keys.is_none() && certificates.is_none() {
        return match name {
            None => Ok(None),
            Some(_) => Err(refuse(
                "`signed-as` says something of signatures, and neither `keys` nor `identity` is there",
            )),
        };
    }
    let keys = keys.unwrap_or_default().iter().map(|text| key(text)).collect::<Result<_, _>>()?;
    let name = match name {
        None => SignedName::Pulled,
        Some("*") => SignedName::Any,
        Some(other) => SignedName::Other(prefix_of(other)?),
    };
    Ok(Some(Signers { keys, certificates, name }))
}

fn certificates(said: &BTreeMap<&str, &Value>) -> Result<Option<Certificates>, Failure> {
    let (identity, issuer) = match (said.get("identity"), said.get("issuer")) {
        (Some(identity), Some(issuer)) => (*identity, text("issuer", issuer)?),
        (Some(_), None) => {
            return Err(refuse("`identity` says whose certificates count, and no `issuer` says who vouches")
                .help(
                    "issuer = \"https://token.actions.githubusercontent.com\" is that of GitHub's workflows",
                ));
        }
        (None, Some(_)) => {
            return Err(refuse("`issuer` is there, and no `identity` says whose certificates count"));
        }
        (None, None) if said.contains_key("trusted-root") => {
            return Err(refuse("`trusted-root` says something of certificates, and no `identity` is there"));
        }
        (None, None) => return Ok(None),
    };
    let identities = match identity {
        Value::Text(one) => std::slice::from_ref(one),
        list => texts("identity", list)?,
    };
    let root = said.get("trusted-root").map(|value| text("trusted-root", value)).transpose()?;
    Ok(Some(Certificates {
        identities: identities.iter().map(|text| identity_of(text)).collect::<Result<_, _>>()?,
        issuer: issuer_of(issuer)?,
        root: root.unwrap_or(TRUSTED_ROOT).to_owned(),
    }))
}

fn identity_of(text: &str) -> Result<Pattern, Failure> {
    Pattern::new(text).ok_or_else(|| {
        refuse(format!("the identity `{text}` is anybody's"))
            .help("it is an address of mail or the URI of a workflow; `*` stands for characters but /, `**` for any")
    })
}

fn issuer_of(text: &str) -> Result<String, Failure> {
    if text.starts_with("https://") && !text.contains('*') {
        return Ok(text.to_owned());
    }
    Err(refuse(format!("`{text}` is no issuer"))
        .help("it is the URL of who vouches, without wildcards: https://accounts.google.com"))
}

fn digest(text: &str) -> Result<String, Failure> {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if hex.len() == 64 && is_hex {
        return Ok(text.to_owned());
    }
    Err(refuse(format!("`{text}` is no digest")).help("it is sha256: and 64 hex digits, as `pull` prints it"))
}

fn key(text: &str) -> Result<DerPublicKey, Failure> {
    let malformed = |error: &dyn std::fmt::Display| {
        refuse(format!("one of the `keys` is no public key: {error}"))
            .help("it is what `cosign public-key` or `openssl pkey -pubout` prints, all lines of it")
    };
    let key = DerPublicKey::from_pem(text.trim()).map_err(|error| malformed(&error))?;
    match KeyAlgorithm::from_spki(&key).map_err(|error| malformed(&error))? {
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa => {
            Ok(key)
        }
        other => Err(malformed(&format!("{other:?} is not known here"))),
    }
}

fn text<'a>(key: &str, value: &'a Value) -> Result<&'a str, Failure> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(refuse(format!("`{key}` is a string"))),
    }
}

fn texts<'a>(key: &str, value: &'a Value) -> Result<&'a [String], Failure> {
    match value {
        Value::Texts(texts) if !texts.is_empty() => Ok(texts),
        _ => Err(refuse(format!("`{key}` is a list of strings, of at least one"))),
    }
}

fn one_of<'a>(key: &str, value: &'a Value, words: [&str; 2]) -> Result<&'a str, Failure> {
    match value {
        Value::Text(word) if words.contains(&word.as_str()) => Ok(word),
        _ => Err(refuse(format!("`{key}` is \"{}\" or \"{}\"", words[0], words[1]))),
    }
}

fn unknown(name: &str, known: &str) -> Failure {
    refuse(format!("there is no setting `{name}`")).help(format!("known settings: {known}"))
}
