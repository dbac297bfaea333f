//! Blobs from a registry: several at once, each from where it was left.
//!
//! A line that is cut is taken up again with `Range`, and where the server has no ear for that, what is
//! here already is skipped. As long as bytes come, one goes on; tries that bring next to nothing are counted.
//! What an earlier run left and turns out to be wrong is fetched once more, from its beginning.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::partial::{Arriving, Began, Incoming};
use super::payload::Payload;
use super::resolve::pull_scope;
use super::retry::{CRUMBS, Pace};
use super::session::{Call, Session, broken, crumbs, refusal};

/// So many at the same time.
const AT_ONCE: usize = 4;
/// How often one looks whether another process is done with the same blob.
const LOOK: Duration = Duration::from_millis(50);

/// Fetches all of them, in this order, until one fails or `stop` is heard. Whoever reads one of them
/// is told in either case. What the first place does not give is asked for at the next one.
pub(super) async fn fetch_all(
    session: Arc<Session>,
    places: Vec<Endpoint>,
    wanted: Vec<Arc<Arriving>>,
    mut stop: oneshot::Receiver<()>,
) -> Result<(), RegistryError> {
    let places: Arc<[Endpoint]> = places.into();
    let mut waiting: VecDeque<Arc<Arriving>> = wanted.iter().cloned().collect();
    let mut running = JoinSet::new();
    let mut result = Ok(());
    loop {
        while running.len() < AT_ONCE
            && let Some(next) = waiting.pop_front()
        {
            let (session, places) = (Arc::clone(&session), Arc::clone(&places));
            running.spawn(async move { fetch(&session, &places, &next).await });
        }
        let next = std::future::poll_fn(|context| match std::pin::Pin::new(&mut stop).poll(context) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => running.poll_join_next(context),
        });
        match next.await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => {
                result = Err(error);
                break;
            }
            // Stopped, or nothing is left to do. A task does not panic, and is not aborted before.
            Some(Err(_)) | None => break,
        }
    }
    running.shutdown().await;
    wanted.iter().for_each(|arriving| arriving.lose());
    result
}

/// Fetches one. A mirror that breaks off or gives something else is not the end: the next place adds to
/// what came, or begins anew.
async fn fetch(session: &Session, places: &[Endpoint], arriving: &Arriving) -> Result<(), RegistryError> {
    let mut incoming = loop {
        match arriving.begin()? {
            Began::Own(incoming) => break incoming,
            Began::Here => return Ok(()),
            Began::Busy => tokio::time::sleep(LOOK).await,
        }
    };
    let mut result = Ok(());
    for place in places {
        result = complete(session, place, arriving, &mut incoming).await;
        // The disk is the same for all of them.
        if matches!(result, Ok(()) | Err(RegistryError::Keep { .. })) {
            break;
        }
    }
    result?;
    let file = incoming.whole();
    // The disk gets it while the layer is unpacked; whoever keeps the blob waits for the disk anyway.
    let _ = tokio::task::spawn_blocking(move || file.sync_data()).await;
    Ok(())
}

/// Adds what is missing of one, and looks whether it is what was asked for. What comes from a mirror may be
/// wrong without being an error.
async fn complete(
    session: &Session,
    endpoint: &Endpoint,
    arriving: &Arriving,
    incoming: &mut Incoming<'_>,
) -> Result<(), RegistryError> {
    let mut left_over = incoming.have > 0;
    loop {
        incoming.doubt(left_over || endpoint.is_mirror);
        fill(session, endpoint, arriving, incoming).await?;
        let found = incoming.found();
        if found == arriving.digest {
            return Ok(());
        }
        let found_size = incoming.have;
        incoming.begin_anew()?;
        if !left_over {
            return Err(RegistryError::Mismatch {
                what: what(arriving),
                found,
                found_size,
                expected: arriving.digest,
                expected_size: arriving.size,
            });
        }
        left_over = false;
    }
}

fn what(arriving: &Arriving) -> String {
    format!("layer {}", arriving.digest)
}

/// Adds what is missing.
async fn fill(
    session: &Session,
    endpoint: &Endpoint,
    arriving: &Arriving,
    incoming: &mut Incoming<'_>,
) -> Result<(), RegistryError> {
    let scopes = pull_scope(endpoint);
    let mut pauses = session.pauses(endpoint);
    while incoming.have < arriving.size {
        let before = incoming.have;
        let call = call(endpoint, &scopes, arriving, before);
        // Asking has its own patience.
        let response = session.ask(&call).await?;
        let error = match receive(&call, response, arriving, incoming, session.patience.stall).await {
            Ok(()) => continue,
            Err(error) => error,
        };
        if incoming.have >= before + CRUMBS {
            pauses = session.pauses(endpoint);
        }
        match pauses.next() {
            Some(pause) if matches!(error, RegistryError::Broken { .. }) => tokio::time::sleep(*pause).await,
            _ => return Err(error),
        }
    }
    Ok(())
}

/// For what is missing after so many bytes.
fn call<'a>(endpoint: &'a Endpoint, scopes: &'a [String], arriving: &Arriving, have: u64) -> Call<'a> {
    let mut headers = HeaderMap::new();
    if have > 0
        && let Ok(range) = HeaderValue::from_str(&format!("bytes={have}-"))
    {
        headers.insert(RANGE, range);
    }
    Call {
        endpoint,
        method: Method::GET,
        url: endpoint.url(&format!("blobs/{}", arriving.digest)),
        headers,
        body: Payload::None,
        scopes,
        what: what(arriving),
    }
}

/// A part may begin earlier than what was asked for, but not later.
fn starts_at(call: &Call<'_>, response: &Response, have: u64) -> Result<u64, RegistryError> {
    let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok());
    // A server that does not say so is taken at its word that it gives what was asked for.
    have.checked_sub(start.unwrap_or(have)).ok_or_else(|| RegistryError::Damaged {
        what: call.what.clone(),
        reason: format!("the server sent another part than the one from byte {have}"),
    })
}

/// As much of an answer as comes.
async fn receive(
    call: &Call<'_>,
    mut response: Response,
    arriving: &Arriving,
    incoming: &mut Incoming<'_>,
    stall: Duration,
) -> Result<(), RegistryError> {
    let mut skip = match response.status() {
        StatusCode::PARTIAL_CONTENT => starts_at(call, &response, incoming.have)?,
        status if status.is_success() => incoming.have,
        _ => return Err(refusal(call, response).await),
    };
    let mut pace = Pace::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(call, &error))? {
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
        skip -= skipped as u64;
        let fresh = &chunk[skipped..];
        if incoming.have + fresh.len() as u64 > arriving.size {
            incoming.begin_anew()?;
            return Err(RegistryError::TooLong { what: what(arriving), limit: arriving.size });
        }
        incoming.add(fresh)?;
        if !pace.goes_on(chunk.len(), stall) {
            return Err(crumbs(call));
        }
    }
    if incoming.have < arriving.size {
        let reason = format!("it ended after {} of {} bytes", incoming.have, arriving.size);
        return Err(RegistryError::Broken { host: call.endpoint.host(), what: what(arriving), reason });
    }
    Ok(())
}
