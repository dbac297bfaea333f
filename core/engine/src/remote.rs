//! The way out for drivers and hooks that were granted an address.
//!
//! A call that finds nobody, or a server that is not well (5xx, 429), is repeated with growing pauses
//! until ten seconds have passed; all repetitions carry the same `Idempotency-Key`, so a server that
//! did its work and could not say so does it once. A redirect is an answer like any other: following
//! it could lead to an address that nobody granted.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};
use wharf_model::remote::{BODY, RemoteRequest, RemoteResponse};
use wharf_model::{Diagnostic, Failure, FailureKind, Severity};
use wharf_plugin::Remote;

/// For a call with all its repetitions.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
const PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Calls servers as the store's downloads do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Web;

impl Remote for Web {
    fn call(&self, token: &str, request: &RemoteRequest) -> Result<RemoteResponse, Failure> {
        let prepared = Prepared::new(token, request)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unreachable_server(&prepared, &error))?;
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, patiently(&prepared)).await });
        answer.unwrap_or_else(|_| {
            let text = format!("{} did not answer within {} seconds", prepared.url, PATIENCE.as_secs());
            Err(failure(FailureKind::Transient, text, Some(REACHABLE)))
        })
    }
}

const REACHABLE: &str = "check that the server runs and can be reached from this host";

/// A request in the client's own words.
struct Prepared {
    client: Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Prepared {
    fn new(token: &str, request: &RemoteRequest) -> Result<Self, Failure> {
        let wrong = |what: String| failure(FailureKind::InvalidInput, what, None);
        let url = Url::parse(&request.url)
            .map_err(|error| wrong(format!("`{}` is not an address: {error}", request.url)))?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some()
        {
            return Err(wrong(format!("{} is not a plain http or https address", request.url)));
        }
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| wrong(format!("`{}` is not a method", request.method)))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) else {
                return Err(wrong(format!("the request to {url} has a header that is none")));
            };
            headers.append(name, value);
        }
        let token = HeaderValue::from_str(token)
            .map_err(|_| wrong(format!("the token of the request to {url} is no header")))?;
        headers.insert(KEY, token);
        let client = client().map_err(|error| wrong(chain(&error)))?;
        Ok(Self { client, method, url, headers, body: request.body.clone() })
    }

    async fn send(&self) -> Result<RemoteResponse, reqwest::Error> {
        let request = self.client.request(self.method.clone(), self.url.clone());
        let response = request.headers(self.headers.clone()).body(self.body.clone()).send().await?;
        read(response).await
    }
}

/// The provider is given here, because two of them could be compiled in.
fn client() -> Result<Client, reqwest::Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")))
        .build()
}

async fn patiently(request: &Prepared) -> Result<RemoteResponse, Failure> {
    let mut pauses = PAUSES.iter();
    loop {
        let sent = request.send().await;
        let again = match &sent {
            Ok(response) => may_get_well(response.status),
            Err(_) => true,
        };
        match pauses.next() {
            Some(pause) if again => tokio::time::sleep(*pause).await,
            _ => return bounded(request, sent.map_err(|error| unreachable_server(request, &error))?),
        }
    }
}

fn may_get_well(status: u16) -> bool {
    status >= 500 || status == StatusCode::TOO_MANY_REQUESTS.as_u16()
}

/// One byte more than is allowed tells that there is more.
async fn read(mut response: Response) -> Result<RemoteResponse, reqwest::Error> {
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY {
            break;
        }
    }
    Ok(RemoteResponse { status, headers, body })
}

fn bounded(request: &Prepared, response: RemoteResponse) -> Result<RemoteResponse, Failure> {
    if response.body.len() <= BODY {
        return Ok(response);
    }
    let text = format!("{} answered with more than {BODY} bytes", request.url);
    Err(failure(FailureKind::Transient, text, None))
}

fn unreachable_server(request: &Prepared, error: &dyn Error) -> Failure {
    let text = format!("cannot reach {}: {}", request.url, chain(error));
    failure(FailureKind::Transient, text, Some(REACHABLE))
}

/// From the outermost to the innermost cause; the outermost repeats the address.
fn chain(error: &dyn Error) -> String {
    let mut reasons = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        reasons.push(inner.to_string());
        cause = inner.source();
    }
    if reasons.is_empty() { error.to_string() } else { reasons.join(": ") }
}

fn failure(kind: FailureKind, message: String, help: Option<&str>) -> Failure {
    let diagnostic = Diagnostic::new(Severity::Error, "remote", message);
    Failure { kind, diagnostics: vec![Diagnostic { help: help.map(str::to_owned), ..diagnostic }] }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server on the loopback that gives these answers, one a connection, and returns the requests.
    fn serve(answers: Vec<String>) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v1/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let answer = |text: &String| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while reader.read_line(&mut head).unwrap() > 2 {}
                let length = head
                    .to_lowercase()
                    .split("content-length: ")
                    .nth(1)
                    .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let _ = stream.write_all(text.as_bytes());
                head + std::str::from_utf8(&body).unwrap()
            };
            answers.iter().map(answer).collect()
        });
        (address, server)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    }

    fn post(url: &str) -> RemoteRequest {
        let headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
        RemoteRequest { method: "POST".into(), url: url.into(), headers, body: b"hello".to_vec() }
    }

    #[test]
    fn a_server_that_gets_well_sees_the_same_key_again() {
        let (address, server) = serve(vec![
            answer("503 Busy", "", ""),
            String::new(),
            answer("201 Created", "X-A: b\r\n", "done"),
        ]);
        let response = Web.call("token-1", &post(&address)).unwrap();
        assert_eq!((response.status, response.body.as_slice()), (201, b"done".as_slice()));
        assert!(response.headers.contains(&("x-a".to_owned(), "b".to_owned())));
        let requests = server.join().unwrap();
        assert_eq!(requests.len(), 3);
        for request in requests {
            assert!(request.starts_with("POST /v1/ HTTP/1.1\r\n") && request.ends_with("\r\n\r\nhello"));
            assert!(request.contains("idempotency-key: token-1\r\n"), "{request}");
        }
    }

    #[test]
    fn refusals_and_redirects_are_answers() {
        let (address, server) = serve(vec![
            answer("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
            answer("409 Conflict", "", "taken"),
        ]);
        assert_eq!(Web.call("t", &post(&address)).unwrap().status, 302);
        assert_eq!(Web.call("t", &post(&address)).unwrap().body, b"taken");
        server.join().unwrap();
    }

    #[test]
    fn failures_name_the_address_and_what_to_do() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failure = Web.call("t", &post(&format!("http://{gone}/v1"))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Transient);
        let said = &failure.diagnostics[0];
        assert!(said.message.starts_with(&format!("cannot reach http://{gone}/v1: ")), "{}", said.message);
        assert!(said.message.contains("refused") && said.help.is_some(), "{}", said.message);

        let (address, server) = serve(vec![answer("200 OK", "", &"x".repeat(BODY + 1))]);
        let failure = Web.call("t", &post(&address)).unwrap_err();
        assert!(failure.diagnostics[0].message.ends_with("more than 1048576 bytes"));
        server.join().unwrap();
    }

    #[test]
    fn what_is_no_request_is_not_sent() {
        for (url, token) in [("file:///etc/passwd", "t"), ("http://u:p@a/", "t"), ("http://a/", "a\nb")] {
            assert_eq!(Web.call(token, &post(url)).unwrap_err().kind, FailureKind::InvalidInput, "{url}");
        }
    }
}
