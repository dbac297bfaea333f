//! Caches in registries that behave, and in others.

use std::sync::Arc;

use serde_json::json;
use wharf_model::{Digest, Platform};

use super::{Bench, noise};
use crate::archive::Arrival;
use crate::layer::chain_id;
use crate::layer::sample::{Tar, is_root};
use crate::registry::sample::{Fake, INDEX, LAYER, MANIFEST, gzip};
use crate::registry::{Artifact, Part, PullError, Sending, send_artifact};

const KIND: &str = "application/vnd.wharf.cache.config.v1+json";

fn find(bench: &Bench, name: &str) -> Result<Artifact, PullError> {
    Artifact::find(&bench.session(), &name.parse().unwrap(), None, &mut |_, _| Ok(()))
}

/// A manifest with this config, called `app:1`.
fn put(fake: &Fake, kind: &str, config: (Digest, usize), layers: &[(Digest, usize)]) {
    let listed =
        |(digest, size): &(Digest, usize)| json!({ "mediaType": LAYER, "digest": digest, "size": size });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": kind, "digest": config.0, "size": config.1 },
        "layers": layers.iter().map(listed).collect::<Vec<_>>(),
    });
    fake.put_manifest("1", MANIFEST, &manifest.to_string());
}

#[test]
fn what_is_no_cache_or_is_something_else_is_refused_by_name() {
    let (fake, bench) = (Fake::new(), Bench::new());
    let name = fake.name("app:1");
    let refuses = |words: &str| {
        let error = find(&bench, &name).unwrap_err().to_string();
        assert!(error.contains(words), "{error}\ndoes not say\n{words}");
    };
    refuses("not in the registry");
    let config = fake.put_blob(b"{}");
    put(&fake, KIND, (config, 3), &[]);
    refuses("expected");
    put(&fake, KIND, (Digest::of("other"), 2), &[]);
    fake.put(&format!("/v2/app/blobs/{}", Digest::of("other")), "", b"{}");
    refuses(&Digest::of("other").to_string());
    put(&fake, KIND, (config, 5 << 20), &[]);
    refuses("more than");
    let foreign = "application/vnd.buildkit.cacheconfig.v0";
    let index = json!({ "manifests": [{ "mediaType": foreign, "digest": config, "size": 2 }] }).to_string();
    fake.put_manifest("1", INDEX, &index);
    refuses(foreign);
    let (mut last, mut size) = (config, 2);
    for _ in 0..6 {
        let entry = json!({ "mediaType": INDEX, "digest": last, "size": size });
        let text = json!({ "manifests": [entry] }).to_string();
        (size, last) = (text.len(), fake.put_manifest("1", INDEX, &text));
    }
    refuses("nested too deep");
    put(&fake, KIND, (config, 2), &[]);
    assert_eq!(find(&bench, &name).unwrap().config, b"{}");
}

#[test]
fn a_layer_comes_when_it_is_asked_for_and_is_what_it_should_be() {
    if !is_root() {
        return;
    }
    let (fake, mut bench) = (Fake::new(), Bench::new());
    let tars = ["a", "b", "c"].map(|name| Tar::default().file(name, name.as_bytes()).end());
    let blobs = tars.each_ref().map(|tar| gzip(tar));
    let listed: Vec<(Digest, usize)> = blobs.iter().map(|blob| (fake.put_blob(blob), blob.len())).collect();
    put(&fake, KIND, (fake.put_blob(b"{}"), 2), &listed);
    let session = bench.session();
    let artifact = find(&bench, &fake.name("app:1")).unwrap();
    let diffs = tars.each_ref().map(Digest::of);
    let arrival =
        |parent, at: usize, diff: Digest| Arrival { parent, diff_id: Some(diff), blob: Some(listed[at].0) };
    let low = arrival(None, 0, diffs[0]);
    let high = arrival(Some(diffs[0]), 1, diffs[1]);
    artifact.bring(&bench.store, &session, &[low, high], &mut bench.home).unwrap();
    assert!(bench.store.layer(&chain_id(Some(&diffs[0]), &diffs[1])).unwrap().is_some());
    assert!(fake.asked(&listed[2].0.to_string()).is_empty(), "nobody wanted the third");

    // The third blob is no layer with the content of the first, nor one that nobody lists.
    let wrong = arrival(None, 2, Digest::of("something else"));
    let unlisted = Arrival { parent: None, diff_id: Some(diffs[2]), blob: Some(Digest::of("unlisted")) };
    for bad in [wrong, unlisted] {
        artifact.bring(&bench.store, &session, &[bad], &mut bench.home).unwrap_err();
    }
    assert_eq!(bench.store.layers().unwrap().len(), 2);
    assert!(bench.home.is_clean(2));
}

#[test]
fn layers_that_are_nowhere_make_no_cache() {
    let (fake, mut bench) = (Fake::new(), Bench::new());
    let name = fake.name("app:1").parse().unwrap();
    let gone = Part::There {
        blob: Digest::of(noise()),
        size: 7,
        media_type: LAYER.to_owned(),
        from: "app".to_owned(),
    };
    let config = |blobs: &[Digest]| format!("{{\"blobs\":{}}}", blobs.len()).into_bytes();
    let sending = Sending { name: &name, parts: &[gone], config_type: KIND, config: &config };
    let session = Arc::clone(&bench.session());
    let sent = send_artifact(&bench.store, &session, &sending, &mut bench.home, &mut |_| {});
    assert_eq!(sent.unwrap(), None);
    assert!(fake.get("/v2/app/manifests/1").is_none());
}

#[test]
fn of_an_index_of_caches_the_one_for_the_platform_is_taken() {
    let (fake, bench) = (Fake::new(), Bench::new());
    let other: Platform = "linux/s390x".parse().unwrap();
    let entries = [Platform::host(), other.clone()].map(|platform| {
        let image = fake.put_image_for("one", &[], &platform);
        json!({ "mediaType": MANIFEST, "digest": image.digest, "size": image.size, "platform": platform })
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
    fake.put_manifest("all", INDEX, &index);
    let find = |platform: Option<&Platform>| {
        let name = fake.name("app:all").parse().unwrap();
        Artifact::find(&bench.session(), &name, platform, &mut |_, _| Ok(()))
            .map(|found| found.digest.to_string())
    };
    let digest = |number: usize| entries[number]["digest"].as_str().unwrap().to_owned();
    assert_eq!(find(None).unwrap(), digest(0));
    assert_eq!(find(Some(&other)).unwrap(), digest(1));
    let error = find(Some(&"linux/riscv64".parse().unwrap())).unwrap_err().to_string();
    assert!(error.contains("linux/s390x"), "{error}");
}
