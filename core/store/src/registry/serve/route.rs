//! From a request to what is asked for.

use hyper::header::RANGE;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use wharf_model::Digest;

use super::content::Content;

/// Repositories or tags in one answer, when the client does not say.
const PAGE: usize = 1000;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Whether there is a registry.
    Base,
    /// Repositories.
    Catalog(Page),
    /// Tags of a repository.
    Tags(String, Page),
    /// A manifest by tag or digest.
    Manifest(String, String),
    /// A blob, and the bytes of it.
    Blob(String, Digest, Span),
}

/// A piece of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) most: usize,
    pub(super) after: String,
}

/// Bytes of a blob: all of them, or from the first to the last that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    All,
    From(u64, Option<u64>),
}

/// What is answered instead ("Error Codes" of the distribution specification).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn unknown(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code, message: message.into() }
    }

    pub(super) fn failed(error: &dyn std::error::Error) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "UNKNOWN", message: error.to_string() }
    }

    pub(super) fn response(&self) -> Response<Content> {
        let errors = json!({ "errors": [{ "code": self.code, "message": self.message }] });
        let mut response = Response::new(Content::text(errors.to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert("content-type", super::content::JSON);
        response
    }
}

/// Reads a request.
pub(super) fn of<B>(request: &Request<B>) -> Result<Asked, Refused> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Refused {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "UNSUPPORTED",
            message: "this registry is only read from".to_owned(),
        });
    }
    let path = request.uri().path();
    let unknown = || Refused::unknown("UNSUPPORTED", format!("there is nothing at {path}"));
    let below = if path == "/v2" { Some("") } else { path.strip_prefix("/v2/") };
    let below = below.ok_or_else(unknown)?;
    let page = || page(request.uri().query().unwrap_or_default());
    if below.is_empty() {
        return Ok(Asked::Base);
    }
    if below == "_catalog" {
        return Ok(Asked::Catalog(page()));
    }
    if let Some(name) = below.strip_suffix("/tags/list") {
        return Ok(Asked::Tags(name.to_owned(), page()));
    }
    if let Some((name, tag)) = below.rsplit_once("/manifests/") {
        return Ok(Asked::Manifest(name.to_owned(), tag.to_owned()));
    }
    let (name, digest) = below.rsplit_once("/blobs/").ok_or_else(unknown)?;
    let digest = digest.parse().map_err(|_| Refused {
        status: StatusCode::BAD_REQUEST,
        code: "DIGEST_INVALID",
        message: format!("{digest} is no digest"),
    })?;
    let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok());
    Ok(Asked::Blob(name.to_owned(), digest, range.map_or(Span::All, span)))
}

/// RFC 9110, 14.2: a range that is not understood is no range.
fn span(text: &str) -> Span {
    let read = || -> Option<Span> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
        let first = first.parse().ok()?;
        last.is_none_or(|last| first <= last).then_some(Span::From(first, last))
    };
    read().unwrap_or(Span::All)
}

fn page(query: &str) -> Page {
    let mut page = Page { most: PAGE, after: String::new() };
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "n" => page.most = value.parse().unwrap_or(PAGE).min(PAGE),
            "last" => page.after = value.into_owned(),
            _ => {}
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str) -> Result<Asked, Refused> {
        of(&Request::get(path).body(()).unwrap())
    }

    #[test]
    fn paths_are_read() {
        assert_eq!(asked("/v2/"), Ok(Asked::Base));
        assert_eq!(asked("/v2"), Ok(Asked::Base));
        let manifest = |name: &str, tag: &str| Ok(Asked::Manifest(name.to_owned(), tag.to_owned()));
        assert_eq!(asked("/v2/a/b/manifests/v1"), manifest("a/b", "v1"));
        assert_eq!(asked("/v2/manifests/manifests/v1"), manifest("manifests", "v1"));
        let page = Page { most: 2, after: "a/b".to_owned() };
        assert_eq!(asked("/v2/_catalog?n=2&last=a%2Fb"), Ok(Asked::Catalog(page)));
        assert_eq!(asked("/v2/a/blobs/x").unwrap_err().code, "DIGEST_INVALID");
        for path in ["/", "/v1/", "/v2x", "/v2/a", "/../etc/passwd"] {
            assert_eq!(asked(path).unwrap_err().status, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn nothing_is_taken() {
        for method in ["PUT", "POST", "PATCH", "DELETE"] {
            let request = Request::builder().method(method).uri("/v2/a/manifests/x").body(()).unwrap();
            assert_eq!(of(&request).unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
        }
    }

    #[test]
    fn a_range_begins_somewhere() {
        assert_eq!(span("bytes=5-"), Span::From(5, None));
        assert_eq!(span("bytes=5-9"), Span::From(5, Some(9)));
        for odd in ["bytes=-5", "bytes=9-5", "lines=1-", "bytes=1-2,4-5", ""] {
            assert_eq!(span(odd), Span::All, "{odd}");
        }
    }
}
