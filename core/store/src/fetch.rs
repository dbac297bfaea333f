//! Files from the web, for ADD.
//!
//! The store remembers what each address gave, with its ETag and time. The next time it asks
//! whether that is still so, and downloads nothing when it is.

use std::io::Write;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rusqlite::{OptionalExtension, params};
use wharf_model::Digest;

use crate::db::{Durability, digest};
use crate::{BlobError, RecordError, Store};

/// A file is not longer than this.
const LIMIT: u64 = 64 << 30;
/// A server may be silent so long.
const STALL: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(30);
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// A file from the web, now a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its content.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
    /// When it was changed, in seconds since 1970, as the server says.
    pub last_modified: Option<i64>,
    /// The server's name for this version.
    pub etag: Option<String>,
}

/// Why a file can not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The network or the server failed.
    #[error("cannot download {url}: {reason}")]
    Request {
        /// Which.
        url: String,
        /// What went wrong, from the outermost to the innermost cause.
        reason: String,
    },
    /// The server refused.
    #[error("cannot download {url}: the server answered {status}")]
    Status {
        /// Which.
        url: String,
        /// Its answer.
        status: StatusCode,
    },
    /// The file is longer than allowed.
    #[error("cannot download {url}: it has more than {limit} bytes")]
    TooLong {
        /// Which.
        url: String,
        /// The longest allowed.
        limit: u64,
    },
    /// The content is not what was promised.
    #[error("{url} has digest {found}, expected {expected}")]
    Checksum {
        /// Which.
        url: String,
        /// As promised.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
    /// It can not be kept.
    #[error("cannot keep the content of {url}")]
    Keep {
        /// Which.
        url: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The blob can not be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Downloads `url` into a blob, or finds that it has not changed. With a checksum, what is here
/// already is not asked for at all. Hold [`Store::guard`] as long as the blob is needed.
///
/// # Errors
/// When it can not be downloaded, or is not what `checksum` says.
pub fn download(store: &Store, url: &str, checksum: Option<&Digest>) -> Result<Fetched, FetchError> {
    let _guard = store.guard()?;
    let known = known(store, url)?
        .filter(|known| store.blobs().size(&known.digest).is_ok_and(|size| size == known.size));
    if let (Some(known), Some(checksum)) = (&known, checksum)
        && known.digest == *checksum
    {
        return Ok(known.clone());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(url, &error))?;
    let fetched = runtime.block_on(request(store, url, known.as_ref(), checksum))?;
    remember(store, url, &fetched)?;
    Ok(fetched)
}

async fn request(
    store: &Store,
    url: &str,
    known: Option<&Fetched>,
    checksum: Option<&Digest>,
) -> Result<Fetched, FetchError> {
    let client = client().map_err(|error| failed(url, &error))?;
    let request = conditional(client.get(url), known);
    let response = request.send().await.map_err(|error| failed(url, &error))?;
    match (response.status(), known) {
        (StatusCode::NOT_MODIFIED, Some(known)) => checked(url, known.clone(), checksum),
        (status, _) if !status.is_success() => Err(FetchError::Status { url: url.into(), status }),
        _ => body(store, url, response, checksum).await,
    }
}

/// The provider is given here, because two of them could be compiled in.
fn client() -> Result<Client, reqwest::Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(STALL)
        .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")))
        .build()
}

fn conditional(request: RequestBuilder, known: Option<&Fetched>) -> RequestBuilder {
    match known {
        Some(Fetched { etag: Some(etag), .. }) => request.header(IF_NONE_MATCH, etag),
        Some(Fetched { last_modified: Some(time), .. }) => match jiff::Timestamp::from_second(*time) {
            Ok(time) => request.header(IF_MODIFIED_SINCE, time.strftime(HTTP_DATE).to_string()),
            Err(_) => request,
        },
        _ => request,
    }
}

async fn body(
    store: &Store,
    url: &str,
    mut response: Response,
    checksum: Option<&Digest>,
) -> Result<Fetched, FetchError> {
    let (last_modified, etag) = version(response.headers());
    let mut writer = store.blobs().writer()?;
    let mut size = 0;
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(url, &error))? {
        size += chunk.len() as u64;
        if size > LIMIT {
            return Err(FetchError::TooLong { url: url.into(), limit: LIMIT });
        }
        writer.write_all(&chunk).map_err(|source| FetchError::Keep { url: url.into(), source })?;
    }
    let parked = writer.park();
    let fetched = Fetched { digest: parked.digest, size: parked.size, last_modified, etag };
    let fetched = checked(url, fetched, checksum)?;
    parked.finish()?;
    Ok(fetched)
}

fn checked(url: &str, fetched: Fetched, checksum: Option<&Digest>) -> Result<Fetched, FetchError> {
    match checksum {
        Some(expected) if *expected != fetched.digest => {
            Err(FetchError::Checksum { url: url.into(), expected: *expected, found: fetched.digest })
        }
        _ => Ok(fetched),
    }
}

fn version(headers: &HeaderMap) -> (Option<i64>, Option<String>) {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    (text(LAST_MODIFIED).as_deref().and_then(http_date), text(ETAG))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110).
pub(crate) fn http_date(text: &str) -> Option<i64> {
    let parsed = jiff::civil::DateTime::strptime(HTTP_DATE, text).ok()?;
    Some(jiff::tz::Offset::UTC.to_timestamp(parsed).ok()?.as_second())
}

fn failed(url: &str, error: &dyn std::error::Error) -> FetchError {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    FetchError::Request { url: url.into(), reason }
}

fn known(store: &Store, url: &str) -> Result<Option<Fetched>, RecordError> {
    store.database.read(|database| {
        let query = "SELECT digest, size, last_modified, etag FROM downloads WHERE url = ?";
        let found = database.query_row(query, [url], |row| {
            let size = row.get::<_, i64>(1)?.unsigned_abs();
            Ok(Fetched { digest: digest(row, 0)?, size, last_modified: row.get(2)?, etag: row.get(3)? })
        });
        Ok(found.optional()?)
    })
}

fn remember(store: &Store, url: &str, fetched: &Fetched) -> Result<(), RecordError> {
    store.database.write(Durability::Relaxed, |change| {
        let query = "INSERT OR REPLACE INTO downloads (url, digest, size, last_modified, etag) VALUES (?, ?, ?, ?, ?)";
        let Fetched { digest, size, last_modified, etag } = fetched;
        change.execute(query, params![url, digest.to_string(), size.cast_signed(), last_modified, etag])?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread;

    /// A server on the loopback that gives these answers, one a connection, and returns the
    /// requests.
    fn serve(answers: Vec<&'static str>) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let answer = |text: &&str| {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
                let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                stream.write_all(text.as_bytes()).unwrap();
                request.join("\n")
            };
            answers.iter().map(answer).collect()
        });
        (address, server)
    }

    const FILE: &str = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                        Content-Length: 5\r\nConnection: close\r\n\r\nhello";
    const SAME: &str = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n";
    const NONE: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nhello";

    #[test]
    fn what_did_not_change_is_not_downloaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (address, server) = serve(vec![FILE, SAME]);
        let url = format!("{address}/file");
        let first = download(&store, &url, None).unwrap();
        assert_eq!((first.digest, first.size), (Digest::of("hello"), 5));
        assert_eq!((first.last_modified, first.etag.as_deref()), (Some(784_111_777), Some("\"v1\"")));
        assert_eq!(download(&store, &url, None).unwrap(), first);
        assert_eq!(download(&store, &url, Some(&first.digest)).unwrap(), first, "nobody is asked");
        let requests = server.join().unwrap();
        assert!(requests[1].to_lowercase().contains("if-none-match: \"v1\""), "{requests:?}");
        store.sweep().unwrap();
        assert!(store.blobs().contains(&first.digest));
        store.cache().clear().unwrap();
        store.sweep().unwrap();
        assert!(!store.blobs().contains(&first.digest));
    }

    #[test]
    fn failures_name_the_address_and_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (address, server) = serve(vec![NONE, HALF, FILE]);
        let url = format!("{address}/file");
        assert!(matches!(download(&store, &url, None), Err(FetchError::Status { .. })));
        assert!(matches!(download(&store, &url, None), Err(FetchError::Request { .. })));
        let wrong = download(&store, &url, Some(&Digest::of("other"))).unwrap_err();
        assert!(matches!(&wrong, FetchError::Checksum { .. }) && wrong.to_string().contains(&url));
        server.join().unwrap();
        let gone = download(&store, &url, None).unwrap_err().to_string();
        assert!(gone.contains(&url) && gone.contains("refused"), "{gone}");
        assert!(download(&store, "file:///etc/passwd", None).is_err());
        for path in ["blobs/incoming", "blobs/sha256"] {
            assert_eq!(std::fs::read_dir(dir.path().join(path)).unwrap().count(), 0);
        }
    }
}
