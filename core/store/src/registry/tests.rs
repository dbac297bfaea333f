//! Pulls from registries that behave, and from others.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use wharf_model::storage::LayerFormat;
use wharf_model::{Digest, Platform, Reference};

use super::sample::{Answer, Fake, INDEX, LAYER, MANIFEST, part};
use super::*;
use crate::Store;
use crate::archive::sample::Home;
use crate::layer::sample::{Tar, is_root};

mod accept;
mod artifact;
mod beside;
mod chunks;
mod hostile;
mod mirror;

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    home: Home,
    login: Login,
    /// Bytes of a blob that are sent at a time.
    chunk: u64,
}

/// One login for all.
struct Same(Login);

impl Logins for Same {
    fn login(&self, _: &str) -> Result<Login, String> {
        Ok(self.0.clone())
    }
}

fn quick() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(400),
        pauses: vec![Duration::from_millis(10); 3],
        longest: Duration::from_secs(3),
    }
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let home = Home::new(dir.path(), LayerFormat::Overlay);
        Self { dir, store, home, login: Login::Anonymous, chunk: upload::CHUNK }
    }

    fn session(&self) -> Arc<Session> {
        let certificates = Certificates::below(vec![self.dir.path().join("certs.d")]);
        let login = Box::new(Same(self.login.clone()));
        let mut session = Session::new(Vec::new(), certificates, quick(), login);
        session.chunk = self.chunk;
        Arc::new(session)
    }

    fn pull(&mut self, name: &str) -> Result<Pulled, PullError> {
        self.pull_for(name, None)
    }

    fn pull_for(&mut self, name: &str, platform: Option<&str>) -> Result<Pulled, PullError> {
        let name: Reference = name.parse().unwrap();
        let platform: Option<Platform> = platform.map(|text| text.parse().unwrap());
        let mut watch = Watch { judge: &mut |_, _| Ok(()), show: &mut |_| {} };
        pull(&self.store, &self.session(), &name, platform.as_ref(), &mut self.home, &mut watch)
    }

    fn push(&mut self, name: &str) -> Result<Vec<(Digest, PushStage)>, PushError> {
        let name: Reference = name.parse().unwrap();
        let image = self.store.resolve(&name.to_string()).unwrap();
        let mut said = Vec::new();
        let mut show = |event: PushEvent<'_>| {
            if let PushEvent::Layer(digest, stage @ PushStage::Done(_)) = event {
                said.push((*digest, stage));
            }
        };
        push(&self.store, &self.session(), &image, &name, &mut self.home, None, &mut show)?;
        Ok(said)
    }

    /// An image as a build makes it, with a layer of noise.
    fn build(&mut self, name: &str) -> Digest {
        let noise = noise();
        let layer = self.home.build(&self.store, |root| std::fs::write(root.join("noise"), noise).unwrap());
        let mut config = wharf_model::image::ImageConfig::empty(&Platform::host());
        config.rootfs.diff_ids = vec![layer.diff_id];
        self.store.commit(&config, &[name.parse().unwrap()]).unwrap()
    }

    /// The pull fails with these words, and nothing but what may be kept is there.
    #[track_caller]
    fn refuses(&mut self, name: &str, words: &str) {
        let error = self.pull(name).unwrap_err();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        assert!(text.contains(words), "{text}\ndoes not say\n{words}");
        assert!(self.store.images().unwrap().is_empty(), "{text}");
        assert!(self.home.is_clean(self.store.layers().unwrap().len()), "{text}");
        self.store.forget_partial().unwrap();
        assert_eq!(self.files("blobs/incoming"), 0);
    }

    fn files(&self, path: &str) -> usize {
        std::fs::read_dir(self.dir.path().join(path)).map_or(0, Iterator::count)
    }
}

fn noise() -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()[7]
    };
    (0..1_200_000).map(|_| next()).collect()
}

fn tars() -> Vec<Vec<u8>> {
    let noise = noise();
    vec![
        Tar::default().dir("bin/").file("bin/tool", &noise).end(),
        Tar::default().file("bin/other", b"other").end(),
        Tar::default().file("bin/.wh.tool", b"").end(),
    ]
}

#[test]
fn privileged_an_image_comes_once() {
    if !is_root() {
        return;
    }
    let fake = Fake::new();
    let image = fake.put_image("1", &tars());
    let mut bench = Bench::new();
    let pulled = bench.pull(&fake.name("app:1")).unwrap();
    assert_eq!((pulled.id, pulled.digest, pulled.was_here), (image.id, image.digest, false));
    let kept = bench.store.resolve(&fake.name("app:1")).unwrap();
    assert_eq!((kept.id, kept.layers.len()), (image.id, 3));
    assert_eq!(kept.layers[0].blob, Some(image.layers[0]));
    assert_eq!(bench.store.remotes().of(&image.id).unwrap()[0].digest, image.digest);
    assert_eq!(bench.store.remotes().holders(&image.layers[0]).unwrap(), [fake.name("app")]);
    bench.store.sweep().unwrap();
    for blob in [image.id, image.digest, image.layers[0], image.layers[2]] {
        bench.store.blobs().verify(&blob).unwrap();
    }
    let asked = fake.requests().len();
    assert!(bench.pull(&fake.name("app:1")).unwrap().was_here);
    assert_eq!(fake.requests().len(), asked + 1, "the manifest and nothing else");
    let by_digest = bench.pull(&fake.name(&format!("app@{}", image.digest))).unwrap();
    assert_eq!(by_digest.name.tag(), None);
    assert_eq!(bench.store.resolve(&fake.name(&format!("app@{}", image.digest))).unwrap().id, image.id);
}

#[test]
fn privileged_a_broken_line_is_taken_up_again() {
    if !is_root() {
        return;
    }
    for ranges in [true, false] {
        let content = sample::gzip(&tars()[0]);
        let first = Digest::of(&content);
        let fake = Fake::with(move |request, before| {
            if !request.path.ends_with(&first.to_string()) || before > 2 {
                return None;
            }
            let whole = if ranges { part(request, &content) } else { Answer::new(200, &*content) };
            Some(if before == 1 { Answer::new(503, "") } else { whole.cut(200_000) })
        });
        fake.put_image("1", &tars());
        let mut bench = Bench::new();
        bench.pull(&fake.name("app:1")).unwrap();
        let asked = fake.asked(&first.to_string());
        let froms: Vec<_> =
            asked.iter().map(|request| request.header("range").unwrap_or_default().to_owned()).collect();
        assert_eq!(froms.len(), 4, "{froms:?}");
        assert_eq!((froms[0].as_str(), froms[1].as_str()), ("", "bytes=200000-"));
        assert_eq!(froms[3] == "bytes=400000-", ranges, "{froms:?}");
    }
}

#[test]
fn privileged_the_next_pull_goes_on_where_this_one_was_broken_off() {
    if !is_root() {
        return;
    }
    let content = sample::gzip(&tars()[0]);
    let first = Digest::of(&content);
    let ill = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let still = Arc::clone(&ill);
    let fake = Fake::with(move |request, _| {
        let ill = still.load(std::sync::atomic::Ordering::Relaxed);
        let mine = ill && request.path.ends_with(&first.to_string());
        mine.then(|| {
            if request.header("range").is_some() {
                Answer::new(500, "")
            } else {
                part(request, &content).cut(300_000)
            }
        })
    });
    // The broken layer is above a whole one.
    let order = [tars()[1].clone(), tars()[0].clone()];
    let image = fake.put_image("1", &order);
    let mut bench = Bench::new();
    assert!(bench.pull(&fake.name("app:1")).is_err());
    assert!(bench.store.images().unwrap().is_empty());
    assert_eq!(bench.store.unused_layers().unwrap().len(), 0, "whole layers wait for the next pull");
    bench.store.sweep().unwrap();
    ill.store(false, std::sync::atomic::Ordering::Relaxed);
    let asked = fake.requests().len();
    bench.pull(&fake.name("app:1")).unwrap();
    let later = &fake.requests()[asked..];
    let of = |digest: &Digest| -> Vec<_> {
        later.iter().filter(|it| it.path.ends_with(&digest.to_string())).collect()
    };
    assert_eq!(of(&image.layers[0]).len(), 0);
    assert_eq!(of(&first)[0].header("range"), Some("bytes=300000-"));
    assert_eq!(bench.files("blobs/partial"), 0);
    bench.store.delete_image(&image.id).unwrap();
    assert_eq!(bench.store.unused_layers().unwrap().len(), 2, "no layer waits any more");
}

#[test]
fn privileged_a_left_over_that_is_not_right_is_brought_anew() {
    if !is_root() {
        return;
    }
    let fake = Fake::new();
    let image = fake.put_image("1", &tars());
    let mut bench = Bench::new();
    let partial = bench.dir.path().join("blobs/partial");
    std::fs::create_dir_all(&partial).unwrap();
    for (digest, bytes) in [(image.layers[0], vec![7; 100_000]), (image.layers[1], vec![7; 10_000_000])] {
        std::fs::write(partial.join(digest.hex()), bytes).unwrap();
    }
    bench.pull(&fake.name("app:1")).unwrap();
    bench.store.blobs().verify(&image.layers[0]).unwrap();
}

#[test]
fn privileged_two_at_the_same_time_do_not_hinder_each_other() {
    if !is_root() {
        return;
    }
    let fake = Fake::new();
    let image = fake.put_image("1", &tars());
    let bench = Bench::new();
    let pulled = std::thread::scope(|scope| {
        let one = || {
            let store = Store::open(bench.dir.path()).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let mut other = Bench {
                home: Home::new(dir.path(), LayerFormat::Overlay),
                dir,
                store,
                login: Login::Anonymous,
                chunk: upload::CHUNK,
            };
            other.pull(&fake.name("app:1")).map(|pulled| pulled.id).map_err(|error| format!("{error:?}"))
        };
        let all: Vec<_> = (0..3).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(pulled, Ok(vec![image.id; 3]));
}

#[test]
fn privileged_what_is_not_what_it_says_is_refused() {
    if !is_root() {
        return;
    }
    let content = sample::gzip(&tars()[0]);
    let first = Digest::of(&content).to_string();
    let mut other = content.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    let longer = [content.as_slice(), b"more"].concat();
    let shorter = content[..content.len() - 9].to_vec();
    for (bytes, words) in [(other, "has digest"), (longer, "more than"), (shorter, "ended after")] {
        let first = first.clone();
        let fake =
            Fake::with(move |request, _| request.path.ends_with(&first).then(|| Answer::new(200, &*bytes)));
        fake.put_image("1", &tars());
        Bench::new().refuses(&fake.name("app:1"), words);
    }
}

#[test]
fn documents_that_lie_are_refused() {
    let image = Fake::new().put_image("1", &[]);
    let text = image.manifest.to_string();
    let endless = Answer { status: 200, body: vec![b' '; 5 << 20], ..Answer::default() };
    for (tag, answer, words) in [
        (
            "1",
            Answer::new(200, &*text).header("Docker-Content-Digest", Digest::of("x").to_string()),
            "calls it",
        ),
        ("1", Answer { length: Some(1 << 40), ..Answer::new(200, &*text) }, "more than 4194304 bytes"),
        ("1", endless, "more than 4194304 bytes"),
        ("1", Answer::new(200, "{}"), "neither an index nor"),
        ("1", Answer::new(200, &*text).header("Content-Type", INDEX), ""),
        (
            "1",
            Answer::new(200, "[]")
                .header("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
            "schema 1",
        ),
        ("1", Answer::new(403, r#"{"errors":[{"code":"DENIED","message":"not for you"}]}"#), "not for you"),
        ("1", Answer::new(404, "<html>"), "is not in the registry"),
        ("1", Answer::new(302, "").header("Location", "file:///etc/passwd"), "no address of the web"),
        ("1", Answer::new(302, ""), "does not say where to"),
        ("1", Answer::new(307, "").header("Location", "/v2/app/manifests/1"), "too many redirects"),
    ] {
        let fake = Fake::with(move |request, _| request.path.contains("/manifests/").then(|| answer.clone()));
        fake.put_blob(b"");
        Bench::new().refuses(&fake.name(&format!("app:{tag}")), words);
    }
    let fake = Fake::new();
    let wrong = Digest::of("other");
    fake.put(&format!("/v2/app/manifests/{wrong}"), MANIFEST, text.as_bytes());
    Bench::new().refuses(&fake.name(&format!("app@{wrong}")), "expected sha256:");
}

#[test]
fn an_index_leads_to_one_image_and_not_in_circles() {
    let fake = Fake::new();
    let entry = |digest: Digest, size: usize, kind: &str| json!({ "mediaType": kind, "digest": digest, "size": size });
    let mut own = fake.put_image("own", &[]);
    let arm = fake.put_image_for("arm", &[], &"linux/arm64".parse().unwrap());
    let mut entries = [entry(arm.digest, arm.size, MANIFEST), entry(own.digest, own.size, MANIFEST)];
    entries[0]["platform"] = json!({ "os": "linux", "architecture": "arm64", "variant": "v8" });
    entries[1]["platform"] = json!(Platform::host());
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
    let digest = fake.put_manifest("1", INDEX, &index);
    let mut bench = Bench::new();
    let pulled = bench.pull(&fake.name("app:1")).unwrap();
    assert_eq!((pulled.id, pulled.digest), (own.id, digest));
    assert_eq!(bench.pull_for(&fake.name("app:1"), Some("arm64")).unwrap().id, arm.id);
    let none = bench.pull_for(&fake.name("app:1"), Some("linux/s390x")).unwrap_err().to_string();
    assert!(none.contains("linux/arm64"), "{none}");
    let single = bench.pull_for(&fake.name("app:arm"), Some("linux/amd64"));
    assert!(single.unwrap_err().to_string().contains("nothing for linux/amd64"));

    for _ in 0..6 {
        let text = json!({ "manifests": [entry(own.digest, own.size, INDEX)] }).to_string();
        own.size = text.len();
        own.digest = fake.put_manifest("deep", INDEX, &text);
    }
    Bench::new().refuses(&fake.name("app:deep"), "nested too deep");
    let wrong = json!({ "manifests": [entry(arm.digest, arm.size + 1, MANIFEST)] }).to_string();
    fake.put_manifest("wrong", INDEX, &wrong);
    Bench::new().refuses(&fake.name("app:wrong"), "expected");
}

#[test]
fn privileged_a_hostile_layer_is_named_with_its_entry() {
    if !is_root() {
        return;
    }
    let fake = Fake::new();
    let evil = Tar::default().file("../../evil", b"x").end();
    let image = fake.put_image("1", &[tars()[1].clone(), evil]);
    let mut bench = Bench::new();
    bench.refuses(&fake.name("app:1"), "`../../evil`");
    bench.refuses(&fake.name("app:1"), &format!("cannot unpack layer {}", image.layers[1]));
    let mut manifest = image.manifest.clone();
    manifest["layers"] = json!([]);
    fake.put_manifest("few", MANIFEST, &manifest.to_string());
    bench.refuses(&fake.name("app:few"), "the manifest lists 0");
    let swapped = json!([manifest_layer(&image, 1), manifest_layer(&image, 0)]);
    manifest["layers"] = swapped;
    fake.put_manifest("swapped", MANIFEST, &manifest.to_string());
    let mut bench = Bench::new();
    bench.refuses(&fake.name("app:swapped"), "evil");
}

fn manifest_layer(image: &sample::Image, number: usize) -> serde_json::Value {
    let listed = image.manifest["layers"][number].clone();
    assert_eq!(listed["mediaType"], LAYER);
    listed
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let fake = Fake::with(|_, before| (before == 0).then(|| Answer::new(429, "").header("Retry-After", "1")));
    fake.put_image("1", &[]);
    let begun = Instant::now();
    Bench::new().pull(&fake.name("app:1")).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(2), "a second for the manifest, one for the config");
    let fake = Fake::with(|_, _| Some(Answer::new(429, "slow down").header("Retry-After", "3600")));
    let begun = Instant::now();
    Bench::new().refuses(&fake.name("app:1"), "429 Too Many Requests");
    assert!(begun.elapsed() < Duration::from_secs(2));
    let fake = Fake::with(|_, _| Some(Answer::new(500, "")));
    Bench::new().refuses(&fake.name("app:1"), "500");
    assert_eq!(fake.requests().len(), 4);
}

#[test]
fn a_server_that_falls_silent_is_not_waited_for_for_ever() {
    let fake = Fake::with(|_, _| {
        Some(Answer { stall: Duration::from_secs(20), ..Answer::new(200, vec![b' '; 9]).cut(1) })
    });
    let begun = Instant::now();
    Bench::new().refuses(&fake.name("app:1"), "nothing came for too long");
    assert!(begun.elapsed() < Duration::from_secs(5));
    Bench::new().refuses("127.0.0.1:1/app", "cannot reach http://127.0.0.1:1");
}

#[test]
fn proof_goes_to_its_own_server_alone() {
    let elsewhere = Fake::new();
    let image = elsewhere.put_image("1", &[]);
    let target = elsewhere.address;
    let fake = Fake::with(move |request, _| match request.header("authorization") {
        None => Some(Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\"")),
        Some("Basic dTpw") if request.path.contains("/blobs/") => {
            Some(Answer::new(307, "").header("Location", format!("http://{target}{}", request.path)))
        }
        Some("Basic dTpw") => None,
        Some(_) => Some(Answer::new(403, "")),
    });
    fake.put_manifest("1", MANIFEST, &image.manifest.to_string());
    let mut bench = Bench::new();
    bench.login = Login::Password { user: "u".into(), password: "p".into() };
    assert_eq!(bench.pull(&fake.name("app:1")).unwrap().id, image.id);
    assert_eq!(elsewhere.requests().len(), 1);
    assert_eq!(elsewhere.requests()[0].header("authorization"), None);
    let mut bench = Bench::new();
    bench.refuses(&fake.name("app:1"), "access to");
    bench.login = Login::Password { user: "u".into(), password: "wrong".into() };
    bench.refuses(&fake.name("app:1"), "access to");
}

/// A registry whose tokens count for `uses` requests.
fn with_tokens(uses: usize, realm: impl Fn(&str) -> String + Send + Sync + 'static) -> Fake {
    let used = std::sync::Mutex::new(Vec::new());
    Fake::with(move |request, _| {
        let mut used = used.lock().unwrap();
        if request.path.starts_with("/token") {
            used.push(0);
            return Some(Answer::new(200, json!({ "token": format!("t{}", used.len()) }).to_string()));
        }
        let token = request.header("authorization").and_then(|shown| shown.strip_prefix("Bearer t"));
        let token = token.and_then(|number| number.parse::<usize>().ok());
        if let Some(count) = token.and_then(|number| used.get_mut(number - 1)).filter(|count| **count < uses)
        {
            *count += 1;
            return None;
        }
        let host = request.header("host").unwrap();
        let challenge = format!("Bearer realm=\"{}\",service=\"s v\",scope=\"other:x:y\"", realm(host));
        Some(Answer::new(401, "").header("WWW-Authenticate", challenge))
    })
}

#[test]
fn privileged_a_token_that_is_over_is_replaced() {
    if !is_root() {
        return;
    }
    let fake = with_tokens(2, |host| format!("http://{host}/token"));
    fake.put_image("1", &tars());
    let mut bench = Bench::new();
    bench.login = Login::Password { user: "u".into(), password: "p".into() };
    bench.pull(&fake.name("app:1")).unwrap();
    let tokens = fake.asked("/token");
    assert!(tokens.len() >= 3, "{}", tokens.len());
    assert_eq!(
        tokens[0].path,
        "/token?service=s+v&scope=repository%3Aapp%3Apull&scope=other%3Ax%3Ay&account=u"
    );
    assert_eq!(tokens[0].header("authorization"), Some("Basic dTpw"));

    let fake = with_tokens(9, |host| format!("http://{host}/token"));
    fake.put_image("1", &[]);
    let mut bench = Bench::new();
    bench.login = Login::Identity("refresh".into());
    bench.pull(&fake.name("app:1")).unwrap();
    let token = &fake.asked("/token")[0];
    let form = String::from_utf8(token.body.clone()).unwrap();
    assert_eq!(token.method, "POST");
    assert!(form.contains("grant_type=refresh_token") && form.contains("refresh_token=refresh"), "{form}");
}

#[test]
fn hostile_places_of_tokens_get_nothing() {
    let thief = Fake::with(|_, _| Some(Answer::new(200, r#"{"token":"t"}"#)));
    let address = thief.address;
    for realm in [
        format!("http://{address}/token"),
        "file:///etc/passwd".into(),
        "http://u:p@localhost/".into(),
        "nonsense".into(),
    ] {
        let fake = with_tokens(9, move |_| realm.clone());
        let mut bench = Bench::new();
        bench.login = Login::Password { user: "u".into(), password: "p".into() };
        bench.refuses(&fake.name("app:1"), "as the place to log in, which is refused");
    }
    assert!(thief.requests().is_empty());
    let fake = with_tokens(0, |host| format!("http://{host}/token"));
    Bench::new().refuses(&fake.name("app:1"), "access to");
    assert_eq!(fake.asked("/token").len(), 1, "no circles");
}

#[test]
fn privileged_an_image_goes_where_it_was_not_and_comes_back_the_same() {
    if !is_root() {
        return;
    }
    let fake = Fake::new();
    let mut bench = Bench::new();
    let id = bench.build(&fake.name("app:1"));
    let stages = |said: Vec<(Digest, PushStage)>| -> Vec<PushStage> {
        said.into_iter().map(|(_, stage)| stage).collect()
    };
    assert_eq!(stages(bench.push(&fake.name("app:1")).unwrap()), [PushStage::Done(Arrived::Sent)]);
    let first = fake.get("/v2/app/manifests/1").unwrap();

    let asked = fake.requests().len();
    assert_eq!(stages(bench.push(&fake.name("app:1")).unwrap()), [PushStage::Done(Arrived::Here)]);
    let later: Vec<String> = fake.requests()[asked..].iter().map(|request| request.method.clone()).collect();
    assert_eq!(later, ["HEAD", "HEAD", "PUT"], "one round of questions, and the manifest");
    assert_eq!(fake.get("/v2/app/manifests/1").unwrap(), first);

    bench.store.tag(&id, &fake.name("team/other:2").parse().unwrap()).unwrap();
    let mounted = PushStage::Done(Arrived::Mounted("app".into()));
    assert_eq!(stages(bench.push(&fake.name("team/other:2")).unwrap()), [mounted]);
    assert_eq!(fake.get("/v2/team/other/manifests/2").unwrap(), first);

    // Somebody who has nothing gets the same image, and gives the same blobs to somebody else.
    let mut other = Bench::new();
    assert_eq!(other.pull(&fake.name("app:1")).unwrap().id, id);
    let elsewhere = Fake::new();
    other.store.tag(&id, &elsewhere.name("app:1").parse().unwrap()).unwrap();
    other.push(&elsewhere.name("app:1")).unwrap();
    assert_eq!(elsewhere.get("/v2/app/manifests/1").unwrap(), first);
    // The layer that was built is compressed to the same bytes again.
    let third = Fake::new();
    bench.store.tag(&id, &third.name("app:1").parse().unwrap()).unwrap();
    bench.push(&third.name("app:1")).unwrap();
    assert_eq!(third.get("/v2/app/manifests/1").unwrap(), first);
    assert_eq!(bench.files("blobs/incoming"), 0);
}

#[test]
fn privileged_an_upload_that_was_cut_goes_on() {
    if !is_root() {
        return;
    }
    // What the line does to the first try: half of it arrives; nothing does; all does, and nobody hears of it.
    for way in ["half", "forgotten", "unheard", "ill"] {
        let inner = Fake::new();
        let behind = inner.clone();
        let patched = std::sync::atomic::AtomicBool::new(false);
        let fake = Fake::with(move |request, before| {
            let pass = || behind.answer(request);
            // The layer's first one; the config is smaller.
            let first = request.method == "PATCH"
                && request.body.len() > 2000
                && !patched.swap(true, std::sync::atomic::Ordering::Relaxed);
            let cut = || Some(Answer::default());
            match (request.method.as_str(), way) {
                ("PATCH", "half") if first => {
                    behind.put_upload(&request.path, &request.body[..request.body.len() / 2]);
                    cut()
                }
                ("PATCH", "ill") if first => Some(Answer::new(502, "")),
                ("PATCH", "forgotten") if first => cut(),
                ("GET", "forgotten") if request.path.starts_with("/upload/") => Some(Answer::new(404, "")),
                ("PUT", "unheard") if before == 0 && request.path.starts_with("/upload/") => {
                    pass();
                    cut()
                }
                _ => Some(pass()),
            }
        });
        let mut bench = Bench::new();
        bench.build(&fake.name("app:1"));
        bench.push(&fake.name("app:1")).unwrap_or_else(|error| panic!("{way}: {error:?}"));
        let requests = fake.requests();
        let mut patches =
            requests.iter().filter(|request| request.method == "PATCH" && request.body.len() > 2000);
        let resumed = patches.any(|request| request.header("content-range").is_some());
        assert_eq!(resumed, way == "half", "{way}");
        let mut other = Bench::new();
        other.pull(&inner.name("app:1")).unwrap();
    }
    let fake = Fake::with(|request, _| (request.method == "PATCH").then(|| Answer::new(500, "no room")));
    let mut bench = Bench::new();
    bench.build(&fake.name("app:1"));
    let error = bench.push(&fake.name("app:1")).unwrap_err().to_string();
    assert!(error.contains("500") && error.contains("no room"), "{error}");
    assert_eq!(fake.get("/v2/app/manifests/1"), None, "the manifest comes last");
    assert_eq!(bench.files("blobs/incoming"), 0);
}

#[test]
fn privileged_what_a_registry_says_of_a_push_is_told() {
    if !is_root() {
        return;
    }
    for (method, answer, words) in [
        (
            "PUT",
            Answer::new(201, "").header("Docker-Content-Digest", Digest::of("x").to_string()),
            "calls it",
        ),
        ("POST", Answer::new(403, r#"{"errors":[{"message":"read only"}]}"#), "read only"),
        ("POST", Answer::new(202, "").header("Location", "ftp://elsewhere/"), "no address of the web"),
        ("POST", Answer::new(202, ""), "does not say where to"),
        ("HEAD", Answer::new(400, ""), "400"),
    ] {
        let fake = Fake::with(move |request, _| {
            (request.method == method && !request.path.starts_with("/upload/")).then(|| answer.clone())
        });
        let mut bench = Bench::new();
        bench.build(&fake.name("app:1"));
        let error = bench.push(&fake.name("app:1")).unwrap_err().to_string();
        assert!(error.contains(words), "{error}\ndoes not say\n{words}");
    }
}

#[test]
fn a_login_is_tried_before_it_is_kept() {
    let fake = Fake::with(|request, _| match request.header("authorization") {
        Some("Basic dTpw") => Some(Answer::new(200, "{}")),
        _ => Some(Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\"")),
    });
    let mut bench = Bench::new();
    let registry = fake.address.to_string();
    let check = |bench: &Bench| check_login(&bench.session(), &registry).map_err(|error| error.to_string());
    bench.login = Login::Password { user: "u".into(), password: "p".into() };
    assert_eq!(check(&bench), Ok(()));
    assert_eq!(fake.requests()[0].path, "/v2/");
    bench.login = Login::Password { user: "u".into(), password: "wrong".into() };
    assert!(check(&bench).unwrap_err().contains("does not take this login"));
}

#[test]
fn tags_come_page_by_page() {
    let fake = Fake::with(|request, _| {
        let page = |tags: &[&str]| Answer::new(200, json!({ "name": "app", "tags": tags }).to_string());
        match request.path.as_str() {
            "/v2/app/tags/list?n=1000" => {
                Some(page(&["1", "2"]).header("Link", "</v2/app/tags/list?last=2>; rel=\"next\""))
            }
            "/v2/app/tags/list?last=2" => Some(page(&["v3"])),
            "/v2/none/tags/list?n=1000" => Some(Answer::new(200, "{\"tags\":null}")),
            "/v2/evil/tags/list?n=1000" => Some(page(&["../../x"])),
            path if path.starts_with("/v2/circle/") => {
                Some(page(&["1"]).header("Link", "<?last=1>; rel=\"next\""))
            }
            _ => None,
        }
    });
    let bench = Bench::new();
    let of = |path: &str| {
        let name: Reference = fake.name(path).parse().unwrap();
        let listed = tags(&bench.session(), &name).map_err(|error| error.to_string())?;
        Ok::<Vec<String>, String>(listed.iter().map(|name| name.tag().unwrap().to_owned()).collect())
    };
    assert_eq!(of("app").unwrap(), ["1", "2", "v3"]);
    assert!(of("none").unwrap().is_empty());
    assert!(of("evil").unwrap_err().contains("`../../x` is no tag"));
    assert!(of("circle").unwrap_err().contains("no end"));
    assert!(of("gone").unwrap_err().contains("not in the registry"));
}
