//! A server of tokens in front of a registry (the distribution project's "Token Authentication
//! Specification"): it answers `/token` itself and passes everything else on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use tempfile::TempDir;

use super::{Registry, host};

const SERVICE: &str = "harbour";
const ISSUER: &str = "harbour master";
/// Seconds for which the registry takes a token that is over.
const LEEWAY: i64 = 60;

/// It lets `sailor`, whose password is `ahoy`, do everything, and anybody pull what is below `public/`.
#[derive(Debug)]
pub(crate) struct Tokens {
    address: SocketAddr,
    state: Arc<State>,
    /// Holds the key.
    _directory: TempDir,
}

#[derive(Debug)]
struct State {
    /// The port of the registry behind it.
    behind: AtomicU16,
    /// Seconds for which the registry takes a token.
    lifetime: AtomicI64,
    /// What tokens were asked for: the user, and the scopes.
    asked: Mutex<Vec<String>>,
    key: PathBuf,
    certificate: String,
}

impl Tokens {
    /// With a registry behind it; `None`, said aloud, where that is missing.
    pub(crate) fn start() -> Option<(Self, Registry)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (key, certificate) = (directory.path().join("key.pem"), directory.path().join("cert.pem"));
        let (key_text, certificate_text) = (key.to_str().unwrap(), certificate.to_str().unwrap());
        let new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
        host(
            &[&new[..], &["-subj", "/CN=harbour master", "-keyout", key_text, "-out", certificate_text]]
                .concat(),
        );
        let registry = Registry::start_with(&format!(
            "auth:\n  token: {{ realm: \"http://{address}/token\", service: {SERVICE}, issuer: \"{ISSUER}\", \
             rootcertbundle: {certificate_text} }}\n"
        ))?;
        let pem = std::fs::read_to_string(&certificate).unwrap();
        let certificate = pem.lines().filter(|line| !line.starts_with("---")).collect();
        let state = Arc::new(State {
            behind: registry.port().into(),
            lifetime: 300.into(),
            asked: Mutex::default(),
            key,
            certificate,
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || state.serve(&client));
            }
        });
        Some((Self { address, state, _directory: directory }, registry))
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The name of an image.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// From now on the registry is behind another port.
    pub(crate) fn lead_to(&self, port: u16) {
        self.state.behind.store(port, Ordering::SeqCst);
    }

    /// Tokens count for so long from now on, whatever they say to whoever gets them.
    pub(crate) fn last_for(&self, lifetime: Duration) {
        self.state.lifetime.store(lifetime.as_secs().try_into().unwrap(), Ordering::SeqCst);
    }

    /// What tokens were asked for since this was asked last: `sailor: repository:app:pull`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }
}

impl State {
    fn serve(&self, client: &TcpStream) {
        let mut reader = BufReader::new(client);
        let mut head = String::new();
        while reader.read_line(&mut head).unwrap_or(0) > 2 {}
        let mut words = head.split(' ');
        let path = words.nth(1).unwrap_or_default();
        match path.strip_prefix("/token") {
            Some(query) => self.answer(client, query, &head),
            None => self.pass_on(client, &head, reader.buffer()),
        }
    }

    /// One request for each connection, so that the next one may be for a token.
    fn pass_on(&self, client: &TcpStream, head: &str, begun: &[u8]) {
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", self.behind.load(Ordering::SeqCst))) else {
            return;
        };
        let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        if server.write_all(head.as_bytes()).and_then(|()| server.write_all(begun)).is_err() {
            return;
        }
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
        });
        let _ = std::io::copy(&mut server, &mut &*client);
        let _ = client.shutdown(Shutdown::Both);
    }

    fn answer(&self, mut client: &TcpStream, query: &str, head: &str) {
        let user = user(head);
        let scopes: Vec<String> = query
            .trim_start_matches('?')
            .split('&')
            .filter_map(|pair| pair.strip_prefix("scope="))
            .flat_map(|scopes| decoded(scopes).split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let who = user.as_deref().unwrap_or("nobody");
        self.asked.lock().unwrap().push(format!("{who}: {}", scopes.join(" ")));
        let (status, text) = match user.as_deref() {
            Some("sailor:ahoy") | None => {
                let access = scopes.iter().filter_map(|scope| granted(scope, user.is_some())).collect();
                let token = self.token(&access);
                ("200 OK", json!({ "token": token, "expires_in": 300 }).to_string())
            }
            Some(_) => ("401 Unauthorized", r#"{"errors":[{"message":"no such sailor"}]}"#.to_owned()),
        };
        let length = text.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
        let _ = client.write_all(head.as_bytes());
    }

    /// A JSON web token that the registry takes (RFC 7519, with the certificate of its key).
    fn token(&self, access: &Vec<serde_json::Value>) -> String {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let end = now + self.lifetime.load(Ordering::SeqCst) - LEEWAY;
        let claims = json!({
            "iss": ISSUER, "aud": SERVICE, "sub": "sailor", "jti": now.to_string(),
            "iat": now - 2 * LEEWAY, "nbf": now - 2 * LEEWAY, "exp": end, "access": access,
        });
        let head = json!({ "typ": "JWT", "alg": "RS256", "x5c": [self.certificate] });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.signature(signed.as_bytes())))
    }

    fn signature(&self, text: &[u8]) -> Vec<u8> {
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-sign"]).arg(&self.key);
        let mut openssl = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        openssl.stdin.take().unwrap().write_all(text).unwrap();
        let mut signature = Vec::new();
        openssl.stdout.take().unwrap().read_to_end(&mut signature).unwrap();
        assert!(openssl.wait().unwrap().success(), "openssl signs");
        signature
    }
}

/// User and password of a request.
fn user(head: &str) -> Option<String> {
    let line = head.lines().find(|line| line.to_lowercase().starts_with("authorization: basic "))?;
    let bytes = STANDARD.decode(line.split(' ').nth(2)?).ok()?;
    String::from_utf8(bytes).ok()
}

/// What of a scope is granted, as a token says it.
fn granted(scope: &str, is_known: bool) -> Option<serde_json::Value> {
    let mut parts = scope.splitn(3, ':');
    let (kind, name, actions) = (parts.next()?, parts.next()?, parts.next()?);
    let asked = actions.split(',');
    let actions: Vec<&str> =
        asked.filter(|action| is_known || (*action == "pull" && name.starts_with("public/"))).collect();
    Some(json!({ "type": kind, "name": name, "actions": actions }))
}

/// A part of a query.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}
