//! The images that are here, offered to others: the reading half of the OCI distribution specification.
//!
//! | asked | answer |
//! |---|---|
//! | `/v2/` | a registry is here |
//! | `/v2/_catalog` | repositories |
//! | `/v2/NAME/tags/list` | tags |
//! | `/v2/NAME/manifests/TAG-or-DIGEST` | the manifest that a registry has of the image, or our own |
//! | `/v2/NAME/blobs/DIGEST` | a config or a layer, also from a byte on |
//!
//! A layer that was built here is no blob: it is offered as the uncompressed tar that its directory gives,
//! made while it is sent. Only what belongs to an image of that repository is given, and nothing is
//! ever taken.
//!
//! `route` reads what is asked, `offer` finds it, `content` sends it, and this file speaks HTTP.

mod content;
mod offer;
mod route;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

pub use offer::{Layers, Offer};

use content::Content;

/// Whoever connects says what is wanted within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers one client over TCP, with TLS when there is a config for it, until it goes away.
///
/// # Errors
/// When the client does not speak HTTP, or goes away in the middle.
pub fn serve(offer: &Arc<Offer>, stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        let service = service_fn(|request| answer(Arc::clone(offer), request));
        let served = match tls {
            Some(config) => {
                let accepting = TlsAcceptor::from(Arc::clone(config)).accept(stream);
                let stream = tokio::time::timeout(PATIENCE, accepting).await??;
                http.serve_connection(TokioIo::new(stream), service).await
            }
            None => http.serve_connection(TokioIo::new(stream), service).await,
        };
        served.map_err(io::Error::other)
    })
}

/// Answers the one client at the other end of a line, which may ask several things at once (HTTP/2).
///
/// # Errors
/// When the other end goes away in the middle.
pub fn serve_line(offer: &Arc<Offer>, stream: UnixStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    block_on(async {
        let stream = TokioIo::new(tokio::net::UnixStream::from_std(stream)?);
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let offer = Arc::clone(offer);
        let service = service_fn(move |request| answer(Arc::clone(&offer), request));
        http.serve_connection(stream, service).await.map_err(io::Error::other)
    })
}

/// Each client has a thread of its own, so that one of them may wait for a disk.
fn block_on(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn answer(offer: Arc<Offer>, request: Request<Incoming>) -> Result<Response<Content>, Infallible> {
    let is_head = request.method() == hyper::Method::HEAD;
    let mut response = match route::of(&request) {
        Ok(asked) => offer.answer(&asked, is_head).unwrap_or_else(|refused| refused.response()),
        Err(refused) => refused.response(),
    };
    let version = HeaderValue::from_static("registry/2.0");
    response.headers_mut().insert("docker-distribution-api-version", version);
    if is_head {
        response.body_mut().leave_out();
    }
    Ok(response)
}
