//! The distribution project's registry behind a front that is unwell: what is damaged is not kept, and what gets well is
//! waited for.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::{Asked, Front, Mishap, Question, Registry, Sandbox, Tokens, host};

/// A registry with `app:v1`, its upper layer's digest, and who made it.
fn with_app() -> Option<(Registry, Sandbox, String)> {
    let registry = Registry::start()?;
    let box_ = Sandbox::new();
    let layer = push_app(&box_, &registry.name("app:v1"));
    Some((registry, box_, layer))
}

/// Pushes an image with a layer that can not be compressed.
fn push_app(box_: &Sandbox, name: &str) -> String {
    box_.set("WHARF_PULL", "missing");
    box_.build(
        name,
        "FROM busybox\nRUN head -c 800000 /dev/urandom > /noise\nCMD [\"wc\", \"-c\", \"/noise\"]\n",
    );
    box_.run(&format!("push {name}")).success();
    let manifest = box_.run(&format!("manifest inspect {name}")).success().stdout;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    manifest["layers"][1]["digest"].as_str().unwrap().to_owned()
}

fn empty(other: &Sandbox) -> Sandbox {
    let box_ = other.beside();
    box_.set("WHARF_PULL", "missing");
    box_.run("images").success();
    box_
}

/// The pull fails with these words. Of what was wrong nothing is kept, and what was right is given up by `image prune`.
fn refused(box_: &Sandbox, name: &str, words: &[&str]) {
    let refused = box_.run(&format!("pull {name}")).fails(1);
    words.iter().fold(refused, |refused, words| refused.says(words));
    let parts = std::fs::read_dir(box_.root().join("blobs/partial")).into_iter().flatten().flatten();
    for part in parts {
        let digest = host(&["sha256sum", part.path().to_str().unwrap()]);
        let name = part.file_name().into_string().unwrap();
        assert!(digest.starts_with(&name), "a part that is not whole was kept: {digest}");
    }
    box_.run("image prune -f").success();
    box_.run("images -q").success().prints("");
}

/// A front before the registry that is unwell as long as the switch is on.
fn unwell(registry: &Registry, method: &'static str, text: &str, mishap: Mishap) -> (Front, Arc<AtomicBool>) {
    let is_ill = Arc::new(AtomicBool::new(true));
    let (switch, text) = (Arc::clone(&is_ill), text.to_owned());
    let front = Front::before(registry.port(), move |question| {
        let now = question.is(method, &text) && switch.load(Ordering::SeqCst);
        if now { mishap.clone() } else { Mishap::None }
    });
    (front, is_ill)
}

/// A front on which such questions fail so many times, whatever comes in between.
fn failing(port: u16, method: &'static str, text: &str, times: usize, mishap: Mishap) -> Front {
    let (count, text) = (AtomicUsize::new(0), text.to_owned());
    Front::before(port, move |question| {
        let now = question.is(method, &text) && count.fetch_add(1, Ordering::SeqCst) < times;
        if now { mishap.clone() } else { Mishap::None }
    })
}

#[test]
fn what_comes_damaged_is_named_and_not_kept() {
    let Some((registry, other, layer)) = with_app() else { return };
    let box_ = empty(&other);
    let layer = layer.as_str();
    let (manifest, mut before) = ("the manifest of", None);
    for (text, mishap, words) in [
        (layer, Mishap::Spoil, [layer, "has digest", "expected"]),
        (layer, Mishap::Lengthen(9), [layer, "has more than", "bytes"]),
        ("/manifests/v1", Mishap::Spoil, [manifest, "has digest", "the registry calls it"]),
        ("/manifests/v1", Mishap::Shorten(100), [manifest, "has digest", "the registry calls it"]),
        ("/manifests/v1", Mishap::Cut(100), [manifest, "broke", "hint"]),
    ] {
        let (front, is_ill) = unwell(&registry, "GET", text, mishap);
        let name = front.name("app:v1");
        refused(&box_, &name, &words);
        is_ill.store(false, Ordering::SeqCst);
        box_.run(&format!("pull {name}")).success();
        box_.run(&format!("run --rm --network none {name}")).success().prints("800000 /noise\n");
        box_.run(&format!("rmi {name}")).success();
        box_.run("image prune -f").success();
        match &before {
            None => before = Some(box_.traces()),
            Some(before) => box_.left_nothing_since(before),
        }
    }
}

/// Once is no reason to give up: the rest is asked for.
#[test]
fn what_comes_short_is_asked_for_again() {
    let Some((registry, other, layer)) = with_app() else { return };
    let box_ = empty(&other);
    for (mishap, from) in
        [(Mishap::Shorten(300_000), "bytes=300000-"), (Mishap::Cut(200_000), "bytes=200000-")]
    {
        let front = failing(registry.port(), "GET", &layer, 1, mishap);
        let name = front.name("app:v1");
        box_.run(&format!("pull {name}")).success();
        let asked = front.asked("GET", &layer);
        assert_eq!((asked.len(), asked[1].header("range")), (2, Some(from)), "{asked:?}");
        box_.run(&format!("run --rm --network none {name}")).success().prints("800000 /noise\n");
        box_.run(&format!("rmi {name}")).success();
    }
    let front = failing(registry.port(), "GET", "/manifests/v1", 1, Mishap::Cut(100));
    box_.run(&format!("pull {}", front.name("app:v1"))).success();
}

/// Everything that a push and a pull ask.
const QUESTIONS: [(&str, &str); 7] = [
    ("HEAD", "/blobs/"),
    ("POST", "/uploads/"),
    ("PATCH", "/uploads/"),
    ("PUT", "/uploads/"),
    ("PUT", "/manifests/"),
    ("GET", "/manifests/"),
    ("GET", "/blobs/"),
];

/// Each of them fails so many times.
fn busy(registry: &Registry, times: usize, mishap: impl Fn(&str) -> Mishap + Send + Sync + 'static) -> Front {
    let counts = Mutex::new([0; QUESTIONS.len()]);
    Front::before(registry.port(), move |question: &Question| {
        let kind = QUESTIONS.iter().position(|(method, text)| question.is(method, text));
        let Some(kind) = kind else { return Mishap::None };
        let mut counts = counts.lock().unwrap();
        counts[kind] += 1;
        if counts[kind] <= times { mishap(QUESTIONS[kind].1) } else { Mishap::None }
    })
}

#[test]
fn a_registry_that_is_busy_or_unwell_for_a_while_is_waited_for() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    box_.build("noise", "FROM busybox\nRUN head -c 800000 /dev/urandom > /noise\n");
    let later = |seconds: &str| vec![("Retry-After", seconds.to_owned())];
    let too_many = move |text: &str| {
        let seconds = if text == "/manifests/" { "1" } else { "0" };
        Mishap::Answer(429, later(seconds), r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#)
    };
    let ill = |_: &str| Mishap::Answer(503, Vec::new(), "no upstream");
    for (tag, front) in [("busy", busy(&registry, 1, too_many)), ("ill", busy(&registry, 2, ill))] {
        let name = front.name(&format!("{tag}:v1"));
        box_.run(&format!("tag noise {name}")).success();
        box_.run(&format!("push {name}")).success();
        let other = empty(&box_);
        other.run(&format!("pull {name}")).success();
        assert_eq!(other.inspect(&name, "{{.Id}}"), box_.inspect("noise", "{{.Id}}"));
        for (method, text) in QUESTIONS {
            assert!(front.asked(method, text).len() >= 2, "{method} {text}");
        }
    }
}

/// Object stores give blobs under other names, and know nothing of a registry's logins.
#[test]
fn blobs_on_another_host_come_and_go_without_a_login() {
    let Some(registry) = Registry::start_as(Asked { password: true, ..Asked::default() }) else { return };
    // `sailor:ahoy`
    let elsewhere = Front::before(registry.port(), |_| Mishap::As("Basic c2FpbG9yOmFob3k="));
    let host = elsewhere.address();
    let front = Front::before(registry.port(), move |question| {
        if question.is("GET", "/blobs/sha256") || question.is("PATCH", "/uploads/") {
            let there = format!("http://{host}{}", question.path);
            return Mishap::Answer(307, vec![("Location", there)], "");
        }
        Mishap::None
    });
    let box_ = Sandbox::new();
    let log_in = |box_: &Sandbox| {
        let login = ["login", "-u", "sailor", "--password-stdin", &front.address()];
        box_.wharf_with(login, b"ahoy\n").success();
    };
    log_in(&box_);
    let name = front.name("app:v1");
    let layer = push_app(&box_, &name);
    let other = empty(&box_);
    log_in(&other);
    other.run(&format!("pull {name}")).success();
    other.run(&format!("run --rm --network none {name}")).success().prints("800000 /noise\n");
    for (method, text) in [("GET", layer.as_str()), ("PATCH", "/uploads/")] {
        let there = elsewhere.asked(method, text);
        assert!(!there.is_empty(), "{method} {text}");
        assert!(there.iter().all(|question| question.header("authorization").is_none()), "{there:?}");
        let here = front.asked(method, text);
        assert!(here.iter().any(|question| question.header("authorization").is_some()), "{here:?}");
    }
}

#[test]
fn redirects_in_a_circle_are_followed_a_few_times() {
    let Some((registry, other, layer)) = with_app() else { return };
    let box_ = empty(&other);
    let front = Front::before(registry.port(), move |question| {
        let again = || Mishap::Answer(307, vec![("Location", question.path.clone())], "");
        if question.is("GET", &layer) || question.is("PATCH", "/uploads/") { again() } else { Mishap::None }
    });
    let name = front.name("app:v1");
    refused(&box_, &name, &["redirects to", "too many redirects"]);
    other.build(&front.name("more:v1"), "FROM busybox\nRUN echo more > /more\n");
    other.refuses(1, &["push", &front.name("more:v1")], &["redirects to", "too many redirects"]);
    assert!(front.asked("PUT", "/manifests/").is_empty(), "the manifest comes last");
}

/// The registry stops taking a token in the middle, whatever was said about how long it counts.
#[test]
fn a_token_that_counts_no_more_is_replaced_once() {
    let Some((tokens, registry)) = Tokens::start() else { return };
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"harbour\"", tokens.address());
    let over = Mishap::Answer(401, vec![("WWW-Authenticate", realm)], "");
    let box_ = Sandbox::new();
    let log_in = |box_: &Sandbox| {
        let login = ["login", "-u", "sailor", "--password-stdin", &tokens.address()];
        box_.wharf_with(login, b"ahoy\n").success();
        tokens.asked();
    };
    log_in(&box_);
    let front = failing(registry.port(), "PATCH", "", 1, over.clone());
    tokens.lead_to(front.port());
    let name = tokens.name("app:v1");
    let layer = push_app(&box_, &name);
    let asked = tokens.asked();
    let to_push = asked.iter().filter(|line| line.ends_with("repository:app:pull,push")).count();
    assert_eq!(to_push, 2, "{asked:?}");

    let other = empty(&box_);
    log_in(&other);
    let front = failing(registry.port(), "GET", &layer, 1, over);
    tokens.lead_to(front.port());
    other.run(&format!("pull {name}")).success();
    assert_eq!(tokens.asked().len(), 2);
    other.run(&format!("run --rm --network none {name}")).success().prints("800000 /noise\n");
}

#[test]
fn an_upload_that_is_forgotten_or_cut_is_sent_again() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    let forgotten = Mishap::Answer(404, Vec::new(), r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
    for (tag, mishap) in [("forgotten", forgotten), ("cut", Mishap::Drop(3000))] {
        let front = failing(registry.port(), "PATCH", "", 1, mishap);
        let name = front.name(&format!("{tag}:v1"));
        push_app(&box_, &name);
        let other = empty(&box_);
        other.run(&format!("run --rm --network none {name}")).success().prints("800000 /noise\n");
    }
}

/// The layer is longer than a chunk, and the line breaks in the second one.
#[test]
fn what_a_registry_has_of_a_long_layer_is_not_sent_again() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    let is_cut = AtomicBool::new(false);
    let front = Front::before(registry.port(), move |question| {
        let range = question.header("content-range").unwrap_or_default();
        let now = range.starts_with("67108864-") && !is_cut.swap(true, Ordering::SeqCst);
        if now { Mishap::Drop(500_000) } else { Mishap::None }
    });
    let name = front.name("long:v1");
    box_.build(&name, "FROM busybox\nRUN head -c 68000000 /dev/urandom > /noise\n");
    box_.run(&format!("push {name}")).success();
    let patches = front.asked("PATCH", "/uploads/");
    let ranges: Vec<&str> = patches.iter().filter_map(|question| question.header("content-range")).collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert_eq!(ranges[0], "0-67108863");
    assert!(ranges[1].starts_with("67108864-") && ranges[1] == ranges[2], "{ranges:?}");
    let other = empty(&box_);
    other.run(&format!("pull {name}")).success();
    assert_eq!(other.inspect(&name, "{{.Id}}"), box_.inspect(&name, "{{.Id}}"));
}
