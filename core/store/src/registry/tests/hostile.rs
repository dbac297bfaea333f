//! Registries that somebody made to do harm.

use super::*;
use crate::archive::sample::Mounted;

/// A layer that is sent as it is given.
fn put_packed(fake: &Fake, tag: &str, packed: &[u8], kind: &str, diff_id: Digest) -> Digest {
    let mut config = wharf_model::image::ImageConfig::empty(&Platform::host());
    config.rootfs.diff_ids = vec![diff_id];
    let config = serde_json::to_vec(&config).unwrap();
    let layer = fake.put_blob(packed);
    let manifest = json!({
        "schemaVersion": 2,
        "config": { "mediaType": sample::CONFIG, "digest": fake.put_blob(&config), "size": config.len() },
        "layers": [{ "mediaType": kind, "digest": layer, "size": packed.len() }],
    });
    fake.put_manifest(tag, MANIFEST, &manifest.to_string());
    layer
}

/// A bench on a disk with 32 MiB.
fn on_a_small_disk() -> (Mounted, Bench) {
    let disk = Mounted::new(&["-t", "tmpfs", "-o", "size=32m", "wharf-store-test"]).unwrap();
    let dir = tempfile::tempdir_in(disk.path()).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let home = Home::new(dir.path(), LayerFormat::Overlay);
    (disk, Bench { dir, store, home, login: Login::Anonymous, chunk: upload::CHUNK })
}

#[test]
fn privileged_a_bomb_ends_before_the_disk_is_full() {
    if !is_root() {
        return;
    }
    let layer = Tar::default().file("zeros", &vec![0; 512 << 20]).end();
    let digest = Digest::of(&layer);
    let packed = [("gzip", sample::gzip(&layer)), ("zstd", zstd::encode_all(layer.as_slice(), 1).unwrap())];
    drop(layer);
    for (kind, bomb) in packed {
        let fake = Fake::new();
        let kind = format!("application/vnd.oci.image.layer.v1.tar+{kind}");
        let blob = put_packed(&fake, "1", &bomb, &kind, digest);
        let (_disk, mut bench) = on_a_small_disk();
        bench.refuses(&fake.name("app:1"), "there is no space for more");
        bench.refuses(&fake.name("app:1"), &format!("cannot unpack layer {blob}"));
    }
}

/// The length that a manifest says is what a part may grow to.
#[test]
fn privileged_what_is_too_long_for_the_disk_is_not_begun() {
    if !is_root() {
        return;
    }
    let fake = Fake::with(|request, _| {
        // There is no end to it.
        request
            .path
            .ends_with(&Digest::of("endless").to_string())
            .then(|| Answer { length: Some(1 << 40), ..Answer::new(200, vec![7; 1 << 20]) })
    });
    let image = fake.put_image("1", &[tars()[1].clone()]);
    let mut manifest = image.manifest;
    manifest["layers"][0]["digest"] = json!(Digest::of("endless"));
    manifest["layers"][0]["size"] = json!(1_u64 << 40);
    fake.put_manifest("1", MANIFEST, &manifest.to_string());
    let (_disk, mut bench) = on_a_small_disk();
    bench.refuses(&fake.name("app:1"), "1099511627776 bytes are missing, and there is no space");
    assert_eq!(fake.asked("/blobs/").len(), 1, "the config");
    assert_eq!(bench.files("blobs/partial"), 0);
    // One that ends where it should not is no longer than it was to be.
    manifest["layers"][0]["size"] = json!(1000);
    fake.put_manifest("1", MANIFEST, &manifest.to_string());
    let error = bench.pull(&fake.name("app:1")).unwrap_err().to_string();
    assert!(error.contains("more than 1000 bytes"), "{error}");
    let partial = std::fs::read_dir(bench.dir.path().join("blobs/partial")).unwrap();
    assert_eq!(partial.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>(), 0);
}

/// A byte comes long before the line counts as silent, again and again.
#[test]
fn a_trickle_counts_as_silence() {
    let drip = Duration::from_millis(20);
    let fake = Fake::with(move |_, _| Some(Answer { drip, ..Answer::new(200, vec![b' '; 100_000]) }));
    let begun = Instant::now();
    Bench::new().refuses(&fake.name("app:1"), "hardly anything came for too long");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    // A layer, and a line that is cut after every byte.
    let content = sample::gzip(&tars()[0]);
    let first = Digest::of(&content);
    for is_cut in [false, true] {
        let content = content.clone();
        let fake = Fake::with(move |request, _| {
            let whole = || part(request, &content);
            let slow = || if is_cut { whole().cut(1) } else { Answer { drip, ..whole() } };
            request.path.ends_with(&first.to_string()).then(slow)
        });
        fake.put_image("1", &tars());
        let mut bench = Bench::new();
        let begun = Instant::now();
        let error = bench.pull(&fake.name("app:1")).unwrap_err().to_string();
        let words = if is_cut { "broke while layer" } else { "hardly anything came" };
        assert!(error.contains(words) && error.contains(&first.to_string()), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(fake.asked(&first.to_string()).len(), 4, "one more than there are pauses");
        assert!(bench.home.is_clean(bench.store.layers().unwrap().len()));
    }
}

#[test]
fn an_index_that_holds_itself_is_refused() {
    // What it says of itself can not be true: the digest would have to be in the text that it is of.
    let own = Digest::of("itself");
    let text = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        { "mediaType": INDEX, "digest": own, "size": 0 },
    ]});
    let mut text = text.to_string();
    text = text.replace("\"size\":0", &format!("\"size\":{}", text.len() + 2));
    let answer = text.clone();
    let fake = Fake::with(move |request, _| {
        let answer = Answer::new(200, &*answer).header("Content-Type", INDEX);
        request.path.contains("/manifests/").then_some(answer)
    });
    Bench::new().refuses(&fake.name("app:1"), &format!("expected {own}"));
    assert_eq!(fake.requests().len(), 2);
    // One that leads back to the tag's document has no digest to lead by.
    let fake = Fake::new();
    let image = fake.put_image("1", &[]);
    let mut text = json!({ "manifests": [{ "digest": image.digest, "size": image.size }] }).to_string();
    for _ in 0..200 {
        let digest = fake.put_manifest("deep", INDEX, &text);
        text = json!({ "manifests": [{ "digest": digest, "size": text.len() }] }).to_string();
    }
    let asked = fake.requests().len();
    Bench::new().refuses(&fake.name("app:deep"), "nested too deep");
    assert!(fake.requests().len() - asked < 10);
}

#[test]
fn documents_and_their_types_have_to_agree() {
    let fake = Fake::new();
    let image = fake.put_image("own", &[]);
    let entry = |kind: &str| json!({ "mediaType": kind, "digest": image.digest, "size": image.size });
    let index = |kind: &str| json!({ "schemaVersion": 2, "manifests": [entry(kind)] });
    let with = |mut document: serde_json::Value, key: &str, value: serde_json::Value| {
        document[key] = value;
        document.to_string()
    };
    let docker_list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    for (said, text, words) in [
        (MANIFEST, index(MANIFEST).to_string(), "not of its type"),
        (docker, index(MANIFEST).to_string(), "not of its type"),
        (INDEX, image.manifest.to_string(), "not of its type"),
        (docker_list, image.manifest.to_string(), "not of its type"),
        // What the body says does not make up for what the server says.
        (MANIFEST, with(index(MANIFEST), "mediaType", json!(INDEX)), "not of its type"),
        (INDEX, with(index(MANIFEST), "mediaType", json!(MANIFEST)), "not of its type"),
        (INDEX, index(INDEX).to_string(), "not of its type"),
        (INDEX, with(index(MANIFEST), "layers", json!([])), "both an index and a manifest"),
        (MANIFEST, with(image.manifest.clone(), "manifests", json!([])), "both an index and a manifest"),
        (MANIFEST, with(index(MANIFEST), "config", json!({})), "damaged"),
        (MANIFEST, with(image.manifest.clone(), "schemaVersion", json!(3)), "other than 2"),
        ("text/html", "<html>".to_owned(), "damaged"),
    ] {
        fake.put_manifest("1", said, &text);
        Bench::new().refuses(&fake.name("app:1"), words);
    }
    // A type that says nothing says nothing wrong.
    for said in ["", "application/json", "text/plain; charset=utf-8", "application/octet-stream"] {
        fake.put_manifest("1", said, &image.manifest.to_string());
        Bench::new().pull(&fake.name("app:1")).unwrap();
    }
}

#[test]
fn a_config_is_the_one_that_the_manifest_lists() {
    let fake = Fake::new();
    let image = fake.put_image("1", &[]);
    let config = fake.get(&format!("/v2/app/blobs/{}", image.id)).unwrap();
    let path = format!("/v2/app/blobs/{}", image.id);
    let same_length = config.iter().map(|byte| if *byte == b'{' { b'[' } else { *byte }).collect::<Vec<_>>();
    for bytes in [same_length, [config.as_slice(), b" "].concat(), config[..config.len() - 1].to_vec()] {
        fake.put(&path, "application/octet-stream", &bytes);
        Bench::new().refuses(&fake.name("app:1"), "expected sha256:");
    }
    fake.put(&path, "application/octet-stream", &config);
    for (size, words) in [(config.len() + 1, "expected"), (5 << 20, "more than 4194304 bytes")] {
        let mut manifest = image.manifest.clone();
        manifest["config"]["size"] = json!(size);
        fake.put_manifest("1", MANIFEST, &manifest.to_string());
        Bench::new().refuses(&fake.name("app:1"), words);
    }
}

#[test]
fn servers_of_tokens_are_not_believed_either() {
    let answers = [
        (Answer::new(200, format!(r#"{{"token":"{}"}}"#, "x".repeat(2 << 20))), "more than 1048576 bytes"),
        (Answer { length: Some(1 << 40), ..Answer::new(200, "{") }, "more than 1048576 bytes"),
        (Answer { drip: Duration::from_millis(20), ..Answer::new(200, vec![b' '; 9000]) }, "hardly anything"),
        (Answer::new(302, "").header("Location", "/token"), "302"),
        (Answer::new(302, "").header("Location", "http://127.0.0.1:1/"), "302"),
        (Answer::new(200, r#"{"token":"a\r\nX-Evil: 1"}"#), "can not be sent"),
        (Answer::new(200, r#"{"token":7}"#), "not the JSON of a token"),
        (Answer::new(200, "[".repeat(500_000)), "not the JSON of a token"),
        (Answer::new(200, "<html>"), "not the JSON of a token"),
        (Answer::new(503, "the harbour is closed"), "the harbour is closed"),
        (Answer::default(), "cannot reach"),
    ];
    for (answer, words) in answers {
        let fake = Fake::with(move |request, _| {
            if request.path.starts_with("/token") {
                return Some(answer.clone());
            }
            let challenge = format!("Bearer realm=\"http://{}/token\"", request.header("host").unwrap());
            Some(Answer::new(401, "").header("WWW-Authenticate", challenge))
        });
        let mut bench = Bench::new();
        bench.login = Login::Password { user: "u".into(), password: "p".into() };
        bench.refuses(&fake.name("app:1"), words);
        assert!(fake.asked("/token").len() <= 4, "{words}: {}", fake.asked("/token").len());
    }
    let places = ["javascript:alert(1)", "data:application/json,t", "//", "http://", "ftp://h/t"];
    for realm in places {
        let fake = with_tokens(9, move |_| realm.to_owned());
        Bench::new().refuses(&fake.name("app:1"), "as the place to log in, which is refused");
        assert_eq!(fake.requests().len(), 1, "{realm}");
    }
}
