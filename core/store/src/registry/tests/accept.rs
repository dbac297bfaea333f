//! What we say that we understand: a registry that has an image in several forms chooses by it.

use super::*;

/// Indexes first, and of either the form of the OCI; the old form only because its refusal is to be told by name.
const DOCUMENTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws, \
    application/json";

#[test]
fn documents_are_asked_for_in_every_form_and_blobs_as_they_are() {
    let fake = Fake::new();
    let image = fake.put_image("1", &[]);
    let mut bench = Bench::new();
    bench.pull(&fake.name("app:1")).unwrap();
    bench.pull(&fake.name(&format!("app@{}", image.digest))).unwrap();
    let documents = fake.asked("/manifests/");
    assert_eq!(documents.len(), 2);
    for request in documents {
        assert_eq!(request.header("accept"), Some(DOCUMENTS), "{}", request.path);
    }
    for request in fake.asked("/blobs/") {
        assert_eq!(request.header("accept"), Some("*/*"), "{}", request.path);
    }
}
