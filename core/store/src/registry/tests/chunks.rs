//! Blobs that are longer than one chunk.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::sample::Request;
use super::*;

/// Bytes of a chunk in these tests; the layer has about twelve times as many.
const SHORT: u64 = 100_000;

/// Pushes an image in short chunks, and pulls what got there.
fn pushed(fake: &Fake, behind: &Fake) -> Vec<Request> {
    let mut bench = Bench::new();
    bench.chunk = SHORT;
    let id = bench.build(&fake.name("app:1"));
    bench.push(&fake.name("app:1")).unwrap();
    assert_eq!(Bench::new().pull(&behind.name("app:1")).unwrap().id, id);
    fake.requests()
}

fn ranges(requests: &[Request]) -> Vec<(u64, u64)> {
    let patches = requests.iter().filter(|request| request.method == "PATCH");
    let ranges = patches.filter_map(|request| Some((request, request.header("content-range")?)));
    ranges
        .map(|(request, range)| {
            let (from, last) = range.split_once('-').unwrap();
            let (from, last): (u64, u64) = (from.parse().unwrap(), last.parse().unwrap());
            assert_eq!(last + 1 - from, request.body.len() as u64, "{range}");
            (from, last + 1)
        })
        .collect()
}

#[test]
fn privileged_a_long_blob_goes_chunk_by_chunk_and_a_short_one_whole() {
    if !is_root() {
        return;
    }
    let fake = Fake::new();
    let requests = pushed(&fake, &fake);
    let ranges = ranges(&requests);
    assert!(ranges.len() > 10, "{ranges:?}");
    assert_eq!(ranges[0], (0, SHORT));
    assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ranges:?}");
    let whole: Vec<_> = requests
        .iter()
        .filter(|request| request.method == "PATCH" && request.header("content-range").is_none())
        .collect();
    assert_eq!(whole.len(), 1, "the config");
    assert!(requests.iter().all(|request| !request.path.starts_with("/upload/") || request.method != "GET"));
}

/// The shortest chunk that is taken, where the registry says it, and no shorter one but at the end.
#[test]
fn privileged_chunks_are_as_long_as_the_registry_wants_them() {
    if !is_root() {
        return;
    }
    for (least, count) in [("500000", 3), ("18446744073709551615", 0), ("nonsense", 12)] {
        let inner = Fake::new();
        let behind = inner.clone();
        let fake = Fake::with(move |request, _| {
            let answer = behind.answer(request);
            Some(if request.method == "POST" { answer.header("OCI-Chunk-Min-Length", least) } else { answer })
        });
        let ranges = ranges(&pushed(&fake, &inner));
        assert!(ranges.len().abs_diff(count) <= 1, "{least}: {ranges:?}");
    }
}

/// Half a chunk is cut off, and the registry says so; it took less than it was sent; it says nonsense.
#[test]
fn privileged_it_goes_on_from_where_the_registry_has_it() {
    if !is_root() {
        return;
    }
    for way in ["cut", "416", "less", "nonsense", "forgotten", "busy"] {
        let inner = Fake::new();
        let behind = inner.clone();
        let is_over = AtomicBool::new(false);
        let fake = Fake::with(move |request, _| {
            let pass = || behind.answer(request);
            let second = request.header("content-range").is_some_and(|range| range.starts_with("100000-"));
            let now = request.method == "PATCH" && second && !is_over.swap(true, Ordering::Relaxed);
            if !now {
                return Some(pass());
            }
            let have = behind.get(&request.path).unwrap();
            let half = [have.as_slice(), &request.body[..50_000]].concat();
            Some(match way {
                "cut" => {
                    behind.put_upload(&request.path, &half);
                    Answer::default()
                }
                "416" => {
                    behind.put_upload(&request.path, &half);
                    Answer::new(416, "")
                }
                "less" => {
                    behind.put_upload(&request.path, &half);
                    Answer::new(202, "").header("Location", &request.path).header("Range", "0-149999")
                }
                "nonsense" => Answer { headers: vec![("Location".into(), request.path.clone())], ..pass() }
                    .header("Range", "bytes 7"),
                "forgotten" => Answer::new(404, ""),
                _ => Answer::new(429, "").header("Retry-After", "1"),
            })
        });
        let begun = Instant::now();
        let requests = pushed(&fake, &inner);
        let ranges = ranges(&requests);
        let next = ranges.iter().position(|range| range.0 == 100_000).unwrap() + 1;
        let expected = match way {
            "cut" | "416" | "less" => 150_000,
            "nonsense" => 200_000,
            // What it forgot it says to have nothing of; ours knows it still.
            _ => 100_000,
        };
        assert_eq!(ranges[next].0, expected, "{way}: {ranges:?}");
        assert_eq!(begun.elapsed() >= Duration::from_secs(1), way == "busy", "{way}");
        let asked =
            requests.iter().filter(|it| it.method == "GET" && it.path.starts_with("/upload/")).count();
        assert_eq!(asked, usize::from(!["less", "nonsense"].contains(&way)), "{way}");
    }
}

/// Not every registry knows chunks.
#[test]
fn privileged_a_registry_that_refuses_what_follows_gets_it_in_one_piece() {
    if !is_root() {
        return;
    }
    for status in [400, 404, 416] {
        let inner = Fake::new();
        let behind = inner.clone();
        let fake = Fake::with(move |request, _| {
            let further = request.header("content-range").is_some_and(|range| !range.starts_with("0-"));
            let forgets = request.method == "GET" && request.path.starts_with("/upload/");
            Some(if further || forgets { Answer::new(status, "") } else { behind.answer(request) })
        });
        let requests = pushed(&fake, &inner);
        let longest = requests.iter().map(|request| request.body.len()).max();
        assert!(longest.is_some_and(|longest| longest > 1_000_000), "{status}: {longest:?}");
        assert_eq!(ranges(&requests).len(), 4, "{status}");
    }
}

/// Each chunk is cut in its middle: as long as more and more gets there, one goes on.
#[test]
fn privileged_a_line_that_breaks_all_the_time_is_no_reason_to_give_up() {
    if !is_root() {
        return;
    }
    let inner = Fake::new();
    let behind = inner.clone();
    let cuts = Arc::new(Mutex::new(0));
    let count = Arc::clone(&cuts);
    let fake = Fake::with(move |request, _| {
        if request.method != "PATCH" || request.body.len() < 60_000 {
            return Some(behind.answer(request));
        }
        *count.lock().unwrap() += 1;
        let have = behind.get(&request.path).unwrap();
        behind.put_upload(&request.path, &[have.as_slice(), &request.body[..60_000]].concat());
        Some(Answer::default())
    });
    pushed(&fake, &inner);
    assert!(*cuts.lock().unwrap() > 2 * quick().pauses.len());
}

/// What proves who asks stays where it is meant for, wherever the registry wants its blobs.
#[test]
fn privileged_an_upload_to_another_server_shows_it_nothing() {
    if !is_root() {
        return;
    }
    let elsewhere = Fake::new();
    let (behind, address) = (elsewhere.clone(), elsewhere.address);
    let fake = Fake::with(move |request, _| match request.header("authorization") {
        None => Some(Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\"")),
        Some(_) => {
            let mut answer = behind.answer(request);
            for (_, value) in answer.headers.iter_mut().filter(|(name, _)| name == "Location") {
                *value = format!("http://{address}{value}");
            }
            Some(answer)
        }
    });
    let mut bench = Bench::new();
    (bench.chunk, bench.login) = (SHORT, Login::Password { user: "u".into(), password: "p".into() });
    bench.build(&fake.name("app:1"));
    bench.push(&fake.name("app:1")).unwrap();
    let sent = elsewhere.requests();
    assert!(sent.iter().filter(|request| request.method == "PATCH").count() > 10);
    assert!(sent.iter().all(|request| request.header("authorization").is_none()));
    assert!(fake.requests().iter().all(|request| request.method != "PATCH"));
}
