//! Calls of servers: whether a request is one, and whether the grants cover its address.
//!
//! A grant is an address: `https://ipam.example/v1/`. It covers every address with the same scheme,
//! host and port whose path begins with the same segments. A user, a password or a fragment has no
//! place in either, nor has an escaped slash, which a server might take for a real one.

use std::fmt;

use url::Url;
use wharf_model::grant::Grants;
use wharf_model::remote::{BODY, RemoteRequest};
use wharf_model::{Diagnostic, Failure, FailureKind, Severity};

/// Methods that a plugin may use.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// Headers that the client sets by itself.
const OURS: [&str; 8] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "te",
    "upgrade",
    "trailer",
    "idempotency-key",
];
/// Bytes of an address, a token or all headers at most.
const LINE: usize = 16 << 10;

/// Reads an address of a grant.
///
/// # Errors
/// Says what is wrong with it, and what is expected.
pub(crate) fn granted(text: &str) -> Result<Url, String> {
    let url = address(text)?;
    if url.query().is_some() {
        return Err(format!("`{text}` has a query"));
    }
    Ok(url)
}

/// The request, checked, with its address as it is sent.
///
/// # Errors
/// `invalid-input` when it is not a request.
pub(crate) fn check(token: &str, request: RemoteRequest) -> Result<(Url, RemoteRequest), Failure> {
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_empty() || token.len() > 255 || !visible(token) {
        return Err(wrong("the token is not 1 to 255 visible ASCII letters"));
    }
    if !METHODS.contains(&&*request.method) {
        let what = format!("the method is not one of {}", METHODS.join(", "));
        return Err(wrong(what));
    }
    if request.body.len() > BODY {
        return Err(wrong(format!("the body has {} bytes, at most {BODY} are allowed", request.body.len())));
    }
    if let Some(what) = wrong_header(&request.headers) {
        return Err(wrong(what));
    }
    let url = address(&request.url).map_err(wrong)?;
    let request = RemoteRequest { url: url.to_string(), ..request };
    Ok((url, request))
}

/// Whether one of the grants covers an address.
pub(crate) fn covered(grants: &Grants, url: &Url) -> bool {
    grants.remote.iter().filter_map(|text| granted(text).ok()).any(|grant| covers(&grant, url))
}

/// Whether an address of a grant covers another one.
pub(crate) fn is_below(wide: &str, narrow: &str) -> bool {
    granted(wide).is_ok_and(|wide| granted(narrow).is_ok_and(|narrow| covers(&wide, &narrow)))
}

fn covers(grant: &Url, url: &Url) -> bool {
    let place =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    let segments =
        |url: &Url| -> Vec<String> { url.path_segments().into_iter().flatten().map(str::to_owned).collect() };
    let mut beginning = segments(grant);
    if beginning.last().is_some_and(String::is_empty) {
        beginning.pop();
    }
    place(grant) == place(url) && segments(url).starts_with(&beginning)
}

fn address(text: &str) -> Result<Url, String> {
    if text.len() > LINE {
        return Err(format!("an address of {} bytes is too long", text.len()));
    }
    let shown = crate::convert::shown(text.to_owned());
    let url = Url::parse(text).map_err(|error| format!("`{shown}` is not an address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("`{shown}` is not an http address"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!("`{shown}` has a user, a password or a fragment"));
    }
    let path = url.path().to_ascii_lowercase();
    if path.contains("%2f") || path.contains("%5c") || path.contains("%00") {
        return Err(format!("`{shown}` has an escaped slash or NUL in its path"));
    }
    Ok(url)
}

/// What is wrong with the first wrong header.
fn wrong_header(headers: &[(String, String)]) -> Option<String> {
    let total: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if total > LINE || headers.len() > 100 {
        return Some("there are too many headers".into());
    }
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let plain = |byte: u8| byte == b'\t' || (0x20..0x7f).contains(&byte);
    headers.iter().find_map(|(name, value)| {
        let shown = crate::convert::shown(name.clone());
        if name.is_empty() || !name.bytes().all(token) {
            Some(format!("`{shown}` is not a header's name"))
        } else if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            Some(format!("the header `{shown}` is set by the engine"))
        } else if !value.bytes().all(plain) {
            Some(format!("the value of the header `{shown}` is not one line of ASCII"))
        } else {
            None
        }
    })
}

fn wrong(what: impl fmt::Display) -> Failure {
    let diagnostic = Diagnostic::new(Severity::Error, "wharf/remote", what.to_string());
    Failure { kind: FailureKind::InvalidInput, diagnostics: vec![diagnostic] }
}

/// There is nothing that could send the request.
pub(crate) fn no_way_out() -> Failure {
    let what = "this engine has no client for a plugin's calls";
    let diagnostic = Diagnostic::new(Severity::Error, "wharf/remote", what);
    Failure { kind: FailureKind::Unsupported, diagnostics: vec![diagnostic] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> RemoteRequest {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        RemoteRequest { method: method.into(), url: url.into(), headers, body: vec![] }
    }

    #[test]
    fn a_grant_covers_what_is_below_it() {
        for (grant, url, covered) in [
            ("https://ipam.example/v1/", "https://ipam.example/v1/leases?net=a", true),
            ("https://ipam.example/v1", "https://ipam.example/v1/leases", true),
            ("https://ipam.example/v1/", "https://IPAM.example:443/v1", true),
            ("https://ipam.example", "https://ipam.example/anything", true),
            ("https://ipam.example/v1/", "https://ipam.example/v10/leases", false),
            ("https://ipam.example/v1/", "https://ipam.example/v1/../admin", false),
            ("https://ipam.example/v1/", "https://ipam.example/v1/%2e%2e/admin", false),
            ("https://ipam.example/v1/", "http://ipam.example/v1/leases", false),
            ("https://ipam.example/v1/", "https://ipam.example:8443/v1/leases", false),
            ("https://ipam.example/v1/", "https://ipam.example.evil.example/v1/leases", false),
        ] {
            let grants = Grants { remote: [grant.to_owned()].into(), ..Grants::default() };
            let (url, _) = check("t", request("GET", url, &[])).unwrap();
            assert_eq!(super::covered(&grants, &url), covered, "{url} by {grant}");
        }
    }

    #[test]
    fn what_is_not_a_request_is_not_sent() {
        let fine = "https://a/";
        for (token, request) in [
            ("", request("GET", fine, &[])),
            ("a b", request("GET", fine, &[])),
            ("t", request("TRACE", fine, &[])),
            ("t", request("GET", "file:///etc/passwd", &[])),
            ("t", request("GET", "https://user:word@a/", &[])),
            ("t", request("GET", "https://a/b#c", &[])),
            ("t", request("GET", "https://a/%2fb", &[])),
            ("t", request("GET", "/b", &[])),
            ("t", request("GET", fine, &[("Host", "b")])),
            ("t", request("GET", fine, &[("a", "b\r\nc: d")])),
            ("t", request("GET", fine, &[("a b", "c")])),
            ("t", RemoteRequest { body: vec![0; BODY + 1], ..request("PUT", fine, &[]) }),
        ] {
            let failure = check(token, request.clone()).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InvalidInput, "{request:?}");
        }
        assert!(check("t-1", request("POST", fine, &[("content-type", "application/json")])).is_ok());
    }
}
