//! Who asks: nobody in particular, a user with a password, or whoever holds a token.
//!
//! A registry says with its first refusal what it accepts. A password goes to the registry itself, or
//! to the server of tokens that it names: over TLS, or to the very same server. A token counts for one
//! server and what it was asked for; one that is over is asked for anew.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::endpoint::{Endpoint, same, shown};
use super::error::RegistryError;
use super::payload::Payload;
use super::session::{Call, Session, body, locked};

/// Bytes of a server's answer that holds a token.
const ANSWER: u64 = 1 << 20;
/// What the specification says of a token that does not say how long it counts.
const LIFETIME: u64 = 60;
/// A token is not used in its last seconds.
const MARGIN: Duration = Duration::from_secs(5);
const CLIENT: &str = "wharf";

/// What is known about the user of one registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// Nothing.
    Anonymous,
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password, or what stands for one.
        password: String,
    },
    /// What tokens are given for, in place of a password (OAuth 2.0's refresh token).
    Identity(String),
    /// A token itself.
    Token(String),
}

impl std::fmt::Debug for Login {
    /// Without what is secret.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => out.write_str("Anonymous"),
            Self::Password { user, .. } => {
                out.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
            Self::Identity(_) => out.write_str("Identity"),
            Self::Token(_) => out.write_str("Token"),
        }
    }
}

/// Knows logins.
pub trait Logins: Send + Sync {
    /// The login for a registry, by its host and port; `docker.io` for docker's own.
    ///
    /// # Errors
    /// Says why it can not be found out.
    fn login(&self, registry: &str) -> Result<Login, String>;
}

/// What a registry was convinced with.
#[derive(Clone)]
pub(super) struct Granted {
    header: HeaderValue,
    until: Option<Instant>,
}

impl Session {
    /// What convinced the registry before.
    pub(super) fn known(&self, call: &Call<'_>) -> Option<HeaderValue> {
        let granted = locked(&self.granted).get(&key(call)).cloned()?;
        granted.until.is_none_or(|until| Instant::now() < until).then_some(granted.header)
    }

    /// It does not any more.
    pub(super) fn forget(&self, call: &Call<'_>) {
        locked(&self.granted).remove(&key(call));
    }

    /// Finds what answers a challenge; `None` when there is nothing that was not tried.
    pub(super) async fn convince(
        &self,
        call: &Call<'_>,
        challenge: &Challenge,
        refused: bool,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let endpoint = call.endpoint;
        let login = self.logins.login(&endpoint.registry);
        let login =
            login.map_err(|reason| RegistryError::Setup { host: endpoint.registry.clone(), reason })?;
        let granted = match (challenge, login) {
            (Challenge::Basic, Login::Password { user, password }) if !refused => {
                Some(Granted { header: basic(&user, &password), until: None })
            }
            (_, Login::Token(token)) if !refused => {
                Some(Granted { header: bearer(&token, endpoint)?, until: None })
            }
            (Challenge::Bearer { realm, service, scopes }, login) => {
                let realm = checked(realm, endpoint, &login)?;
                let wanted =
                    Wanted { realm, service: service.as_deref(), scopes: union(call.scopes, scopes) };
                Some(self.token(call, &wanted, &login).await?)
            }
            _ => None,
        };
        if let Some(granted) = &granted {
            locked(&self.granted).insert(key(call), granted.clone());
        }
        Ok(granted.map(|granted| granted.header))
    }

    /// Asks a server of tokens.
    async fn token(
        &self,
        call: &Call<'_>,
        wanted: &Wanted<'_>,
        login: &Login,
    ) -> Result<Granted, RegistryError> {
        let place = Endpoint { base: wanted.realm.clone(), ..call.endpoint.clone() };
        let asked = wanted.request(&place, login);
        // Not through `ask`: a server of tokens that wants a token first is none.
        let client = self.client(&asked.url, call.endpoint, &asked.body)?;
        let mut request =
            client.request(asked.method.clone(), asked.url.clone()).headers(asked.headers.clone());
        if let Some(form) = asked.body.open()? {
            request = request.body(form);
        }
        let reach = |error: reqwest::Error| RegistryError::Reach {
            host: shown(&wanted.realm),
            reason: super::error::reason(&error),
        };
        let response = request.send().await.map_err(reach)?;
        if !response.status().is_success() {
            let known = *login != Login::Anonymous;
            return Err(match super::session::refusal(&asked, response).await {
                RegistryError::Denied { repository, host, said, .. } => {
                    RegistryError::Denied { repository, host, said, known }
                }
                error => error,
            });
        }
        let text = body(&asked, response, ANSWER, self.patience.stall).await?;
        granted(&text, call.endpoint)
    }
}

/// The server that a token is for, and what it must allow.
fn key(call: &Call<'_>) -> (String, String) {
    (shown(&call.endpoint.base), call.scopes.join(" "))
}

/// What is asked of a server of tokens.
struct Wanted<'a> {
    realm: Url,
    service: Option<&'a str>,
    scopes: Vec<String>,
}

impl Wanted<'_> {
    fn request<'e>(&self, place: &'e Endpoint, login: &Login) -> Call<'e> {
        let mut url = self.realm.clone();
        let mut headers = HeaderMap::new();
        let mut call_body = Payload::None;
        let mut method = Method::GET;
        if let Login::Identity(token) = login {
            method = Method::POST;
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            call_body = Payload::Bytes(self.form(token).into());
        } else {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(self.service.map(|service| ("service", service)));
            query.extend_pairs(self.scopes.iter().map(|scope| ("scope", scope)));
            if let Login::Password { user, password } = login {
                query.append_pair("account", user);
                headers.insert(AUTHORIZATION, basic(user, password));
            }
        }
        Call {
            endpoint: place,
            method,
            url,
            headers,
            body: call_body,
            scopes: &[],
            what: "a token".to_owned(),
        }
    }

    /// OAuth 2.0, as the distribution project's "Docker Registry v2 Bearer token specification" has it.
    fn form(&self, token: &str) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("client_id", CLIENT);
        form.append_pair("service", self.service.unwrap_or_default());
        form.append_pair("scope", &self.scopes.join(" ")).append_pair("refresh_token", token);
        form.finish()
    }
}

/// Our own scopes, and those that the registry names and ours do not hold.
fn union(own: &[String], named: &[String]) -> Vec<String> {
    let fresh = named.iter().filter(|scope| !own.iter().any(|own| holds(own, scope)));
    own.iter().chain(fresh).cloned().collect()
}

/// Whether a scope allows all that another one does: `TYPE:NAME:ACTION[,ACTION]`, where a name may hold a colon.
fn holds(scope: &str, other: &str) -> bool {
    let (Some((place, actions)), Some((other_place, wanted))) =
        (scope.rsplit_once(':'), other.rsplit_once(':'))
    else {
        return scope == other;
    };
    place == other_place && wanted.split(',').all(|action| actions.split(',').any(|own| own == action))
}

/// Whether a server of tokens may be asked, and with what.
fn checked(realm: &str, endpoint: &Endpoint, login: &Login) -> Result<Url, RegistryError> {
    let refused = |reason| {
        let realm = realm.chars().take(300).collect();
        Err(RegistryError::Realm { host: endpoint.host(), realm, reason })
    };
    let Ok(url) = Url::parse(realm) else { return refused("it is no address") };
    if !matches!(url.scheme(), "http" | "https") {
        return refused("it is no address of the web");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refused("it holds a user or a password");
    }
    if url.scheme() == "https" || same(&url, &endpoint.base) {
        return Ok(url);
    }
    if endpoint.base.scheme() == "https" {
        return refused("it leads from TLS to a line that everybody can read");
    }
    if *login != Login::Anonymous {
        return refused("a login goes to another server over TLS only");
    }
    Ok(url)
}

/// A token may be named in two ways.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn granted(text: &[u8], endpoint: &Endpoint) -> Result<Granted, RegistryError> {
    let damaged = |reason: &str| RegistryError::Damaged {
        what: format!("the answer to a login at {}", endpoint.registry),
        reason: reason.to_owned(),
    };
    // The parser's own words could repeat the token.
    let answer: Answer =
        serde_json::from_slice(text).map_err(|_| damaged("it is not the JSON of a token"))?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| damaged("it holds no token"))?;
    let lifetime = Duration::from_secs(answer.expires_in.unwrap_or(LIFETIME));
    let until = Instant::now().checked_add(lifetime.saturating_sub(MARGIN));
    Ok(Granted { header: bearer(&token, endpoint)?, until })
}

fn basic(user: &str, password: &str) -> HeaderValue {
    secret(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
        .unwrap_or_else(|| HeaderValue::from_static("Basic"))
}

fn bearer(token: &str, endpoint: &Endpoint) -> Result<HeaderValue, RegistryError> {
    secret(&format!("Bearer {token}")).ok_or_else(|| RegistryError::Damaged {
        what: format!("the token for {}", endpoint.registry),
        reason: "it can not be sent".to_owned(),
    })
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base: &str) -> Endpoint {
        let base = Url::parse(base).unwrap();
        Endpoint { base, registry: "h.io".into(), repository: "a".into(), insecure: false, is_mirror: false }
    }

    #[test]
    fn passwords_go_to_the_registry_itself_or_over_tls() {
        let known = Login::Password { user: "u".into(), password: "p".into() };
        for (registry, realm, login, fine) in [
            ("https://h.io/", "https://auth.h.io/token", &known, true),
            ("https://h.io/", "http://auth.h.io/token", &known, false),
            ("https://h.io/", "http://auth.h.io/token", &Login::Anonymous, false),
            ("http://localhost:5000/", "http://localhost:5000/token", &known, true),
            ("http://localhost:5000/", "http://localhost:5001/token", &known, false),
            ("http://localhost:5000/", "http://localhost:5001/token", &Login::Anonymous, true),
            ("http://localhost:5000/", "http://evil.io/token", &known, false),
            ("https://h.io/", "file:///etc/shadow", &Login::Anonymous, false),
            ("https://h.io/", "https://u:p@auth.h.io/", &known, false),
            ("https://h.io/", "/token", &known, false),
        ] {
            assert_eq!(
                checked(realm, &endpoint(registry), login).is_ok(),
                fine,
                "{registry} {realm} {login:?}"
            );
        }
    }

    #[test]
    fn a_scope_is_asked_for_once() {
        let own = ["repository:a:pull,push".to_owned(), "repository:h:80/b:pull".to_owned()];
        for (named, fresh) in [
            ("repository:a:pull", false),
            ("repository:a:push,pull", false),
            ("repository:a:delete", true),
            ("repository:b:pull", true),
            ("repository:h:80/b:pull", false),
            ("registry:catalog:*", true),
            ("nonsense", true),
        ] {
            assert_eq!(union(&own, &[named.to_owned()]).len() == 3, fresh, "{named}");
        }
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let known = Login::Password { user: "u".into(), password: "hunter2".into() };
        assert!(!format!("{known:?} {:?}", Login::Token("hunter2".into())).contains("hunter2"));
        let error = granted(b"{\"token\": hunter2}", &endpoint("https://h.io/")).err().unwrap();
        assert!(!format!("{error:?}").contains("hunter2"));
        assert_eq!(format!("{:?}", basic("u", "hunter2")), "Sensitive");
    }

    #[test]
    fn tokens_count_as_long_as_they_say() {
        let place = endpoint("https://h.io/");
        let until = |text: &str| granted(text.as_bytes(), &place).unwrap().until.unwrap() - Instant::now();
        assert!((50..=55).contains(&until(r#"{"access_token":"t"}"#).as_secs()));
        assert!((290..=295).contains(&until(r#"{"token":"t","expires_in":300}"#).as_secs()));
        assert!(granted(br#"{"token":""}"#, &place).is_err());
        assert!(granted(b"{\"token\":\"a\\nb\"}", &place).is_err());
    }
}
