//! Asking registries: every request of a pull or a push goes through here.
//!
//! * A redirect is followed by hand. What proves who asks goes to the server that was meant and to no
//!   other one, and never from TLS to a line that everybody can read.
//! * An answer's body is read up to a bound, whatever length it claims.
//! * What may be better later is tried again; see `retry.rs`. Who may ask is `auth.rs`'s business.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Deserialize;
use wharf_model::Reference;
use wharf_model::registry::Route;

use super::auth::{Granted, Login, Logins};
use super::challenge;
use super::endpoint::{self, Endpoint, is_loopback, same, shown};
use super::error::{RegistryError, is_alert, reason};
use super::payload::Payload;
use super::retry::{Again, Pace, Patience, retry_after, verdict, while_it_moves};
use super::tls::Certificates;
use super::upload::CHUNK;

/// As many redirects as anybody needs.
const HOPS: usize = 5;
/// So many times one waits for a mirror, which is there to save time.
const MIRROR_PAUSES: usize = 2;
/// Bytes of a registry's excuse.
const EXCUSE: u64 = 64 << 10;
/// Nobody waits longer for the rest of one.
const EXCUSED: Duration = Duration::from_secs(5);
const SILENT: &str = "nothing came for too long";

/// What a pull or a push knows about registries: ways, logins, connections.
pub struct Session {
    pub(super) routes: Vec<Route>,
    pub(super) certificates: Certificates,
    pub(super) patience: Patience,
    pub(super) logins: Box<dyn Logins>,
    line: Option<Line>,
    /// Bytes of a blob that are sent at a time.
    pub(super) chunk: u64,
    /// By server, whether any certificate will do, and whether they send files.
    clients: Mutex<HashMap<(String, bool, bool), Client>>,
    pub(super) granted: Mutex<HashMap<(String, String), Granted>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Session").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// The only registry there is, at the other end of a socket that is bound to a path: another wharf's store.
/// It speaks HTTP/2 from the first byte on, and has every image under its whole name.
#[derive(Debug, Clone)]
pub struct Line {
    /// The socket.
    pub socket: PathBuf,
    /// The machine's name, for errors.
    pub host: String,
}

/// Whoever is at the other end of a line was let in already.
struct Nobody;

impl Logins for Nobody {
    fn login(&self, _: &str) -> Result<Login, String> {
        Ok(Login::Anonymous)
    }
}

/// One request.
pub(super) struct Call<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload,
    /// What a token must allow: `repository:PATH:pull`.
    pub(super) scopes: &'a [String],
    /// What is asked for, in words.
    pub(super) what: String,
}

impl Session {
    /// With these ways and logins.
    pub fn new(
        routes: Vec<Route>,
        certificates: Certificates,
        patience: Patience,
        logins: Box<dyn Logins>,
    ) -> Self {
        let (clients, granted) = (Mutex::default(), Mutex::default());
        Self { routes, certificates, patience, logins, line: None, chunk: CHUNK, clients, granted }
    }

    /// With one registry for everything. What cuts such a line does not mend it.
    pub fn over(line: Line) -> Self {
        let patience = Patience { pauses: Vec::new(), ..Patience::default() };
        let certificates = Certificates::below(Vec::new());
        let mut session = Self::new(Vec::new(), certificates, patience, Box::new(Nobody));
        session.line = Some(line);
        session
    }

    /// Whether what comes is from a registry, which will be there another time.
    pub(super) fn is_lasting(&self) -> bool {
        self.line.is_none()
    }

    /// Where an image is asked for, in order.
    pub(super) fn sources(&self, name: &Reference) -> Result<Vec<Endpoint>, RegistryError> {
        if let Some(line) = &self.line {
            return Ok(vec![endpoint::of_line(&line.host, name)?]);
        }
        endpoint::to_pull(name, &self.routes, &|server| self.certificates.has(server))
    }

    /// Where an image is sent.
    pub(super) fn target(&self, name: &Reference) -> Result<Endpoint, RegistryError> {
        endpoint::to_push(name, &self.routes, &|server| self.certificates.has(server))
    }

    /// A registry, by host and port, or where the config says that all of its images are, and below which path.
    pub(super) fn registry(&self, host: &str) -> Result<Endpoint, RegistryError> {
        const ANYTHING: &str = "any/image";
        let anything = format!("{host}/{ANYTHING}").parse::<Reference>();
        let failed = |reason: String| RegistryError::Setup { host: host.to_owned(), reason };
        let mut found = self.target(&anything.map_err(|error| failed(error.to_string()))?)?;
        let below = found.repository.strip_suffix(ANYTHING).unwrap_or_default();
        found.repository = below.trim_end_matches('/').to_owned();
        Ok(found)
    }

    /// Sends a request; only success is an answer.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let response = self.ask(call).await?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(call, response).await) }
    }

    /// Sends a request and reads all of the answer, once more when the line breaks in the middle of it.
    pub(super) async fn whole(
        &self,
        call: &Call<'_>,
        limit: u64,
    ) -> Result<(HeaderMap, Vec<u8>), RegistryError> {
        let mut is_broken = false;
        loop {
            let response = self.send(call).await?;
            let headers = response.headers().clone();
            match body(call, response, limit, self.patience.stall).await {
                Err(RegistryError::Broken { .. }) if !is_broken => is_broken = true,
                read => return Ok((headers, read?)),
            }
        }
    }

    /// The pauses between tries at one place.
    pub(super) fn pauses(&self, endpoint: &Endpoint) -> std::slice::Iter<'_, Duration> {
        let all = &self.patience.pauses;
        let count = if endpoint.is_mirror { MIRROR_PAUSES } else { all.len() };
        all.get(..count).unwrap_or(all).iter()
    }

    /// Sends a request until there is an answer that waiting would not change.
    pub(super) async fn ask(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut pauses = self.pauses(call.endpoint);
        loop {
            let answer = self.authorised(call).await?;
            let now = jiff::Timestamp::now().as_second();
            match (verdict(&answer, now), pauses.next()) {
                (Again::After(asked), Some(pause)) if asked <= self.patience.longest => {
                    tokio::time::sleep(asked.max(*pause)).await;
                }
                _ => return answer.map_err(|error| unanswered(call, &error)),
            }
        }
    }

    /// Sends a request once: one whose repetition would not mean the same.
    pub(super) async fn once(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        self.authorised(call).await?.map_err(|error| unanswered(call, &error))
    }

    /// Shows who asks, when the registry wants to know; a token that is over is replaced once.
    async fn authorised(&self, call: &Call<'_>) -> Result<Result<Response, reqwest::Error>, RegistryError> {
        let mut shown = self.known(call);
        let mut convinced = false;
        loop {
            let response = match self.follow(call, shown.as_ref()).await? {
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED => response,
                answer => return Ok(answer),
            };
            let proof = match challenge::of(response.headers()).filter(|_| !convinced) {
                Some(challenge) => self.convince(call, &challenge, shown.is_some()).await?,
                None => None,
            };
            if proof.is_none() {
                self.forget(call);
                return Err(refusal(call, response).await);
            }
            (shown, convinced) = (proof, true);
        }
    }

    /// Sends it, and again wherever it is redirected to.
    async fn follow(
        &self,
        call: &Call<'_>,
        proof: Option<&HeaderValue>,
    ) -> Result<Result<Response, reqwest::Error>, RegistryError> {
        let mut url = call.url.clone();
        for _ in 0..=HOPS {
            let client = self.client(&url, call.endpoint, &call.body)?;
            let mut request = client.request(call.method.clone(), url.clone()).headers(call.headers.clone());
            if let Some(proof) = proof.filter(|_| same(&url, &call.endpoint.base)) {
                request = request.header(AUTHORIZATION, proof.clone());
            }
            if let Some(body) = call.body.open()? {
                request = request.body(body);
            }
            let answer = match &call.body {
                Payload::File { sent, .. } => {
                    let moving = while_it_moves(request.send(), sent, self.patience.stall).await;
                    moving.ok_or_else(|| silent(call))?
                }
                _ => request.send().await,
            };
            let response = match answer {
                Ok(response) if is_redirect(&call.method, response.status()) => response,
                answer => return Ok(answer),
            };
            url = redirected(&url, &response)?;
        }
        Err(RegistryError::Redirect {
            host: call.endpoint.host(),
            target: shown(&url),
            reason: "there are too many redirects",
        })
    }

    /// The client for a server: its certificates, and no proxy to this machine itself.
    pub(super) fn client(
        &self,
        url: &Url,
        endpoint: &Endpoint,
        body: &Payload,
    ) -> Result<Client, RegistryError> {
        let own = same(url, &endpoint.base);
        let is_sending = matches!(body, Payload::File { .. });
        let key = (shown(url), own && endpoint.insecure, is_sending);
        if let Some(client) = locked(&self.clients).get(&key) {
            return Ok(client.clone());
        }
        let failed = |reason: String| RegistryError::Setup { host: shown(url), reason };
        let client = self.new_client(url, key.1, is_sending).map_err(failed)?;
        locked(&self.clients).insert(key, client.clone());
        Ok(client)
    }

    /// The provider is given here, because two of them could be compiled in. The client's own limit for silence
    /// begins with the request, so that whatever takes longer to send would never get there.
    fn new_client(&self, url: &Url, insecure: bool, is_sending: bool) -> Result<Client, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        if let Some(line) = &self.line {
            let builder = Client::builder().no_proxy().tls_certs_only([]).redirect(Policy::none());
            let builder = builder.http2_prior_knowledge().unix_socket(line.socket.as_path());
            return builder.build().map_err(|error| reason(&error));
        }
        let mut builder = Client::builder()
            .http1_only()
            .redirect(Policy::none())
            .connect_timeout(self.patience.connect)
            .pool_idle_timeout(Duration::from_secs(20))
            .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")));
        if !is_sending {
            builder = builder.read_timeout(self.patience.stall);
        }
        let host = url.host_str().unwrap_or_default();
        if is_loopback(host) {
            builder = builder.no_proxy();
        }
        builder = if url.scheme() == "https" {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            self.certificates.add(&format!("{host}{port}"), builder)?
        } else {
            // Nobody's certificates are needed, nor those of the system.
            builder.tls_certs_only([])
        };
        if insecure {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(|error| reason(&error))
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was sent with a body goes elsewhere only when the server says that it has to be the same.
fn is_redirect(method: &Method, status: StatusCode) -> bool {
    let again = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let elsewhere =
        matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER);
    again || (elsewhere && (method == Method::GET || method == Method::HEAD))
}

/// Where a redirect, or the place for an upload, leads.
pub(super) fn redirected(from: &Url, response: &Response) -> Result<Url, RegistryError> {
    let text = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refused = |target: &str, reason| {
        Err(RegistryError::Redirect { host: shown(from), target: target.to_owned(), reason })
    };
    let Ok(target) = from.join(text) else { return refused(text, "it is no address") };
    if text.is_empty() {
        return refused(text, "it does not say where to");
    }
    if !matches!(target.scheme(), "http" | "https") {
        return refused(text, "it is no address of the web");
    }
    if from.scheme() == "https" && target.scheme() == "http" {
        return refused(&shown(&target), "it leads from TLS to a line that everybody can read");
    }
    if !target.username().is_empty() || target.password().is_some() {
        return refused(&shown(&target), "it holds a user or a password");
    }
    Ok(target)
}

/// A whole body, up to a bound.
pub(super) async fn body(
    call: &Call<'_>,
    mut response: Response,
    limit: u64,
    stall: Duration,
) -> Result<Vec<u8>, RegistryError> {
    let long = || RegistryError::TooLong { what: call.what.clone(), limit };
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(long());
    }
    let (mut bytes, mut pace) = (Vec::new(), Pace::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(call, &error))? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(long());
        }
        bytes.extend_from_slice(&chunk);
        if !pace.goes_on(chunk.len(), stall) {
            return Err(crumbs(call));
        }
    }
    Ok(bytes)
}

#[derive(Debug, Default, Deserialize)]
struct Excuse {
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The registry's own words for an answer that is no success.
pub(super) async fn refusal(call: &Call<'_>, response: Response) -> RegistryError {
    let status = response.status();
    let plain = status.canonical_reason().unwrap_or("no reason given").to_owned();
    let after = retry_after(response.headers(), jiff::Timestamp::now().as_second());
    let text = tokio::time::timeout(EXCUSED, body(call, response, EXCUSE, EXCUSED)).await;
    let text = text.ok().and_then(Result::ok).unwrap_or_default();
    let said = words(&text).unwrap_or(plain);
    let endpoint = call.endpoint;
    match status {
        StatusCode::NOT_FOUND => RegistryError::Missing { what: call.what.clone(), said },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied {
            repository: endpoint.full(),
            host: endpoint.registry.clone(),
            said,
            known: status == StatusCode::FORBIDDEN,
        },
        _ => RegistryError::Answer { host: endpoint.host(), what: call.what.clone(), status, said, after },
    }
}

/// What the distribution specification lets a registry say ("Error Codes"), a page's title, or the first line.
fn words(text: &[u8]) -> Option<String> {
    let excuse: Excuse = serde_json::from_slice(text).unwrap_or_default();
    let said: Vec<String> = excuse
        .errors
        .iter()
        .map(|fault| if fault.message.is_empty() { fault.code.to_lowercase() } else { fault.message.clone() })
        .collect();
    if !said.is_empty() {
        return Some(said.join("; "));
    }
    let text = String::from_utf8_lossy(text);
    if let Some((_, page)) = text.split_once("<title>") {
        let title = page.split('<').next().map(str::trim).filter(|title| !title.is_empty());
        return title.map(|title| title.chars().take(200).collect());
    }
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    (!line.starts_with('<') && !line.starts_with('{')).then(|| line.chars().take(200).collect())
}

fn unanswered(call: &Call<'_>, error: &reqwest::Error) -> RegistryError {
    let why = reason(error);
    if error.is_connect() || error.is_builder() || is_alert(&why) {
        return RegistryError::Reach { host: call.endpoint.host(), reason: why };
    }
    broken(call, error)
}

/// A line that might as well be silent.
pub(super) fn crumbs(call: &Call<'_>) -> RegistryError {
    let reason = "hardly anything came for too long".to_owned();
    RegistryError::Broken { host: call.endpoint.host(), what: call.what.clone(), reason }
}

/// A line on which nothing moves any more.
fn silent(call: &Call<'_>) -> RegistryError {
    let reason = SILENT.to_owned();
    RegistryError::Broken { host: call.endpoint.host(), what: call.what.clone(), reason }
}

/// A line that was cut.
pub(super) fn broken(call: &Call<'_>, error: &reqwest::Error) -> RegistryError {
    let why = if error.is_timeout() { SILENT.to_owned() } else { reason(error) };
    RegistryError::Broken { host: call.endpoint.host(), what: call.what.clone(), reason: why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_s_words_are_found() {
        for (text, said) in [
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#,
                Some("manifest unknown"),
            ),
            (r#"{"errors":[{"code":"DENIED"},{"message":"really"}]}"#, Some("denied; really")),
            ("404 page not found\n", Some("404 page not found")),
            ("<html>", None),
            ("<html>\r\n<head><title>413 Too Large</title></head>", Some("413 Too Large")),
            ("", None),
            ("{}", None),
        ] {
            assert_eq!(words(text.as_bytes()).as_deref(), said, "{text}");
        }
    }
}
