//! Signatures in registries that know referrers, that do not, and that tell too much.

use std::sync::{Arc, Mutex};

use serde_json::json;
use wharf_model::{Digest, Reference};

use super::Bench;
use crate::layer::sample::Tar;
use crate::registry::sample::{Answer, Fake, INDEX, MANIFEST};
use crate::registry::{Kept, PullError, Watch, pull};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What is found beside `app:1`, in order; nothing else of the image is asked for.
fn beside(fake: &Fake) -> Result<Vec<Kept>, String> {
    let mut bench = Bench::new();
    let name: Reference = fake.name("app:1").parse().unwrap();
    let mut kept = Err("nobody asked".to_owned());
    let mut watch = Watch {
        judge: &mut |found, beside| {
            assert_eq!(beside.digests(), [found.manifest]);
            kept = beside.signatures(&found.manifest).map_err(|error| error.to_string());
            Err("seen".into())
        },
        show: &mut |_| {},
    };
    let pulled = pull(&bench.store, &bench.session(), &name, None, &mut bench.home, &mut watch);
    assert!(matches!(pulled, Err(PullError::Judged(_))), "{pulled:?}");
    kept
}

fn image(fake: &Fake) -> Digest {
    fake.put_image("1", &[Tar::default().file("x", b"x").end()]).digest
}

/// A manifest with one bundle, about a document.
fn signature(fake: &Fake, about: &Digest, content: &str) -> serde_json::Value {
    let (config, layer) = (fake.put_blob(b"{}"), fake.put_blob(content.as_bytes()));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": BUNDLE, "digest": layer, "size": content.len(), "annotations": { "a": "b" } }],
        "subject": { "mediaType": MANIFEST, "digest": about, "size": 2 },
    })
    .to_string();
    let digest = fake.put_manifest("signature", MANIFEST, &manifest);
    json!({ "mediaType": MANIFEST, "digest": digest, "size": manifest.len(), "artifactType": BUNDLE })
}

fn list(fake: &Fake, path: &str, entries: &[serde_json::Value]) {
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
    fake.put(path, INDEX, index.as_bytes());
}

#[test]
fn referrers_are_asked_for_and_their_tag_where_nobody_knows_them() {
    for path in ["referrers/sha256:", "manifests/sha256-"] {
        let fake = Fake::new();
        assert_eq!(beside_of(&fake, path, |_| Vec::new()).unwrap(), []);
        let found = beside_of(&fake, path, |subject| vec![signature(&fake, subject, "one")]).unwrap();
        assert_eq!(found.len(), 1, "{path}");
        assert_eq!(
            (found[0].origin, &*found[0].media_type, &*found[0].content),
            ("referrer", BUNDLE, &b"one"[..])
        );
        assert_eq!(found[0].annotations, [("a".to_owned(), "b".to_owned())]);
        let other = Digest::of("other");
        let found = beside_of(&fake, path, |_| vec![signature(&fake, &other, "one")]);
        assert_eq!(found.unwrap(), [], "a manifest about something else");
        let mut sbom = signature(&fake, &other, "one");
        sbom["artifactType"] = "application/spdx+json".into();
        assert_eq!(beside_of(&fake, path, |_| vec![sbom.clone()]).unwrap(), [], "of no use");
        let many = beside_of(&fake, path, |subject| {
            (0..65).map(|_| signature(&fake, subject, "one")).collect::<Vec<_>>()
        });
        assert!(many.unwrap_err().contains("more signatures than anybody needs"));
        let large = "x".repeat((1 << 20) + 1);
        let large = beside_of(&fake, path, |subject| vec![signature(&fake, subject, &large)]);
        assert!(large.unwrap_err().contains("1048576"));
        let gone = json!({ "mediaType": MANIFEST, "digest": other, "size": 2, "artifactType": BUNDLE });
        assert!(
            beside_of(&fake, path, |_| vec![gone.clone()]).unwrap_err().contains("listed, but not there")
        );
    }
}

fn beside_of(
    fake: &Fake,
    path: &str,
    entries: impl Fn(&Digest) -> Vec<serde_json::Value>,
) -> Result<Vec<Kept>, String> {
    let subject = image(fake);
    list(fake, &format!("/v2/app/{path}{}", subject.hex()), &entries(&subject));
    beside(fake)
}

#[test]
fn lists_are_read_to_their_last_page_and_have_one() {
    let pages: Arc<Mutex<Vec<String>>> = Arc::default();
    let shown = Arc::clone(&pages);
    let fake = Fake::with(move |request, _| {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, "page=0"));
        let number: usize = query.strip_prefix("page=").unwrap().parse().unwrap();
        let pages = shown.lock().unwrap();
        let page = path.contains("/referrers/").then(|| pages.get(number)).flatten()?;
        let answer = Answer::new(200, page.as_bytes()).header("Content-Type", INDEX);
        let next = format!("<?page={}>; rel=\"next\"", number + 1);
        Some(if number + 1 < pages.len() { answer.header("Link", next) } else { answer })
    });
    let subject = image(&fake);
    let mut sbom = signature(&fake, &subject, "sbom");
    sbom["artifactType"] = "application/spdx+json".into();
    let page = |entries: &[&serde_json::Value]| {
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string()
    };
    let (one, two) = (signature(&fake, &subject, "one"), signature(&fake, &subject, "two"));
    *pages.lock().unwrap() = vec![page(&[&sbom, &one]), page(&[&sbom]), page(&[&two])];
    let found = beside(&fake).unwrap();
    assert_eq!(found.iter().map(|kept| &*kept.content).collect::<Vec<_>>(), [b"one", b"two"]);

    *pages.lock().unwrap() = vec![page(&[&sbom]); 21];
    assert!(beside(&fake).unwrap_err().contains("it has no end"));
    assert_eq!(fake.asked("page=19").len(), 1);
    assert_eq!(fake.asked("page=20").len(), 0);
    // All pages together hold no more than one may.
    *pages.lock().unwrap() = vec![page(&[&one; 33]), page(&[&two; 32])];
    assert!(beside(&fake).unwrap_err().contains("more signatures than anybody needs"));
}
