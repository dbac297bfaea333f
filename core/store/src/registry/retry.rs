//! What is tried again, and after which pause.
//!
//! A registry that is busy (429) or not well (5xx), and a line that was cut, may be better a moment
//! later. Whoever refuses, and a host that nobody answers at, will not be. A line that gives crumbs only
//! counts as cut.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::error::{is_alert, reason};

/// How long one waits for a server.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes, and for more than crumbs of them.
    pub stall: Duration,
    /// Between two tries; there is one more try than there are pauses.
    pub pauses: Vec<Duration>,
    /// The longest pause that a server may ask for.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let pauses = [250, 500, 1000, 2000, 4000];
        Self {
            connect: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            pauses: pauses.into_iter().map(Duration::from_millis).collect(),
            longest: Duration::from_secs(60),
        }
    }
}

/// As many bytes as are as good as none.
pub(super) const CRUMBS: u64 = 1024;

/// Looks whether bytes come fast enough to go on waiting: a server that gives one at a time, each before
/// the line counts as silent, could keep anybody for years.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    came: u64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), came: 0 }
    }

    /// Bytes came; false when there were crumbs only in the time in which a line counts as silent.
    pub(super) fn goes_on(&mut self, bytes: usize, stall: Duration) -> bool {
        self.came += bytes as u64;
        if self.came < CRUMBS {
            return self.since.elapsed() < stall;
        }
        *self = Self::new();
        true
    }
}

/// Waits for an answer, for `stall` after the last byte of the request went out; `None` when it is not there then.
pub(super) async fn while_it_moves<T>(
    answer: impl Future<Output = T>,
    sent: &AtomicU64,
    stall: Duration,
) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    loop {
        let before = sent.load(Ordering::Relaxed);
        match tokio::time::timeout(stall, answer.as_mut()).await {
            Ok(answer) => return Some(answer),
            Err(_) if sent.load(Ordering::Relaxed) > before => {}
            Err(_) => return None,
        }
    }
}

/// What was wrong with a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Nothing, or nothing that waiting would change.
    No,
    /// After the usual pause, and not before this time.
    After(Duration),
}

/// Whether an answer may be another one later.
pub(super) fn verdict(answer: &Result<Response, reqwest::Error>, now: i64) -> Again {
    match answer {
        Ok(response) => of_status(response.status(), response.headers(), now),
        Err(error) if error.is_connect() || error.is_builder() || is_alert(&reason(error)) => Again::No,
        Err(_) => Again::After(Duration::ZERO),
    }
}

fn of_status(status: StatusCode, headers: &HeaderMap, now: i64) -> Again {
    let busy = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT;
    let ill = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
    if busy || ill { Again::After(retry_after(headers, now)) } else { Again::No }
}

/// Seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: i64) -> Duration {
    let Some(text) = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()) else {
        return Duration::ZERO;
    };
    let date = || crate::fetch::http_date(text).map(|time| time.saturating_sub(now).max(0).unsigned_abs());
    text.trim().parse().ok().or_else(date).map_or(Duration::ZERO, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever sends for longer than one waits for a silent server is not cut off.
    #[test]
    fn an_answer_is_waited_for_as_long_as_bytes_go_out() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (sent, stall) = (AtomicU64::new(0), Duration::from_millis(300));
        let sending = async {
            for _ in 0..12 {
                tokio::time::sleep(stall / 4).await;
                sent.fetch_add(1, Ordering::Relaxed);
            }
        };
        assert!(runtime.block_on(while_it_moves(sending, &sent, stall)).is_some());
        let silence = std::future::pending::<()>();
        assert!(runtime.block_on(while_it_moves(silence, &sent, stall / 10)).is_none());
    }

    #[test]
    fn busy_and_ill_servers_are_asked_again_when_they_say() {
        let after = |seconds| Again::After(Duration::from_secs(seconds));
        for (status, said, verdict) in [
            (200, None, Again::No),
            (401, None, Again::No),
            (404, Some("5"), Again::No),
            (501, None, Again::No),
            (429, None, after(0)),
            (429, Some("7"), after(7)),
            (503, Some("Sun, 06 Nov 1994 08:49:47 GMT"), after(10)),
            (503, Some("Sun, 06 Nov 1994 08:49:17 GMT"), after(0)),
            (502, Some("soon"), after(0)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert(RETRY_AFTER, said.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(of_status(status, &headers, 784_111_777), verdict, "{status} {said:?}");
        }
    }
}
