//! Images that are let in because they are pinned or signed. Keys and signatures are made by openssl.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{Registry, Sandbox, host};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A key pair of openssl's.
pub(super) struct Key {
    directory: tempfile::TempDir,
    hashes: bool,
}

impl Key {
    fn new(kind: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = Self { directory, hashes: kind[0] != "ed25519" };
        host(&[&["openssl", "genpkey", "-out", &key.at("key"), "-algorithm"], kind].concat());
        key
    }

    pub(super) fn p256() -> Self {
        Self::new(&["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
    }

    pub(super) fn at(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn public(&self) -> String {
        host(&["openssl", "pkey", "-pubout", "-in", &self.at("key")])
    }

    /// In base64.
    fn sign(&self, content: &[u8]) -> String {
        base64(&self.signed(content))
    }

    /// The file with a signature.
    pub(super) fn signed(&self, content: &[u8]) -> PathBuf {
        let (key, content_at, out) = (self.at("key"), self.at("content"), self.at("signature"));
        fs::write(&content_at, content).unwrap();
        if self.hashes {
            host(&["openssl", "dgst", "-sha256", "-sign", &key, "-out", &out, &content_at]);
        } else {
            let sign = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", &key];
            host(&[&sign[..], &["-in", &content_at, "-out", &out]].concat());
        }
        out.into()
    }
}

fn base64(file: &Path) -> String {
    host(&["openssl", "base64", "-A", "-in", file.to_str().unwrap()])
}

fn digest(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("text");
    fs::write(&file, text).unwrap();
    format!("sha256:{}", &host(&["sha256sum", file.to_str().unwrap()])[..64])
}

/// An image in a registry, and a sandbox that has not got it.
pub(super) struct Harbour {
    pub(super) registry: Registry,
    pub(super) box_: Sandbox,
    /// Of the manifest.
    pub(super) digest: String,
}

pub(super) const REPOSITORY: &str = "acme/app";

pub(super) fn harbour() -> Option<Harbour> {
    let registry = Registry::start()?;
    let other = Sandbox::new();
    let name = registry.name("acme/app:v1");
    other.run(&format!("tag busybox {name}")).success();
    let pushed = other.run(&format!("push {name}")).success();
    let digest = pushed.stdout.split_once("digest: ").unwrap().1[..71].to_owned();
    let box_ = other.beside();
    box_.set("WHARF_PULL", "missing");
    let port = Harbour { registry, box_, digest };
    // A denial is in the journal, which begins here.
    port.rules(&[]);
    port.box_.run(&format!("pull {}", port.name())).fails(1).says("no rule is about");
    port.box_.config("");
    Some(port)
}

impl Harbour {
    pub(super) fn name(&self) -> String {
        self.registry.name("acme/app:v1")
    }

    /// The directory of the site, which `rules` makes.
    pub(super) fn site(&self) -> PathBuf {
        self.box_.dir().join("site")
    }

    fn hex(&self) -> &str {
        &self.digest[7..]
    }

    /// `rules` are tables of the list `rule`; `*` in a prefix stands for the registry.
    pub(super) fn rules(&self, rules: &[&str]) {
        let list = "[[plugin.image-trust.settings.rule]]\n";
        let rules: String = rules.iter().map(|rule| format!("{list}{rule}\n")).collect();
        let rules = rules.replace("prefix = \"*", &format!("prefix = \"{}", self.registry.address()));
        let site = self.site();
        fs::create_dir_all(&site).unwrap();
        let engine = format!("[engine]\nsignatures = \"{}\"\n", site.display());
        self.box_.config(&format!("{engine}[plugin.image-trust]\nenabled = true\n{rules}"));
    }

    pub(super) fn keys(&self, keys: &[&Key], more: &str) {
        let keys: String = keys.iter().map(|key| format!("'''{}''', ", key.public())).collect();
        self.rules(&[&format!("prefix = \"*/acme\"\nkeys = [{keys}]\n{more}")]);
    }

    pub(super) fn refuses(&self, words: &[&str]) {
        let words = [&["denied by hook `image-trust`"], words].concat();
        self.box_.refuses(1, &["pull", &self.name()], &words).says("hint:");
        self.box_.run("images -q").success().prints("");
    }

    pub(super) fn lets_in(&self) {
        self.box_.run(&format!("pull -q {}", self.name())).success();
        self.box_.run(&format!("rmi {}", self.name())).success();
    }

    /// What cosign leaves beside an image: a payload and its signature below a tag.
    fn simple(&self, key: &Key, name: &str, digest_of: &str) {
        let payload = payload(name, digest_of);
        let signature = key.sign(payload.as_bytes());
        self.simply(&payload, &json!({ "dev.cosignproject.cosign/signature": signature }));
    }

    /// A payload, and what is said beside it.
    pub(super) fn simply(&self, payload: &str, annotations: &serde_json::Value) {
        let manifest = self.manifest(SIMPLE, payload, annotations, None);
        self.registry.put_document(REPOSITORY, &format!("sha256-{}.sig", self.hex()), MANIFEST, &manifest);
    }

    /// A bundle in the list of referrers, as a registry has it that knows none.
    pub(super) fn refer(&self, bundle: &str) {
        let manifest = self.manifest(BUNDLE, bundle, &json!({}), Some(&self.digest));
        self.registry.put_document(REPOSITORY, &digest(&manifest), MANIFEST, &manifest);
        let entry = json!({
            "mediaType": MANIFEST, "digest": digest(&manifest), "size": manifest.len(), "artifactType": BUNDLE
        });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] }).to_string();
        self.registry.put_document(REPOSITORY, &format!("sha256-{}", self.hex()), INDEX, &index);
    }

    fn manifest(
        &self,
        kind: &str,
        layer: &str,
        annotations: &serde_json::Value,
        about: Option<&str>,
    ) -> String {
        self.registry.put_blob(REPOSITORY, &digest(layer), layer);
        self.registry.put_blob(REPOSITORY, &digest("{}"), "{}");
        let config =
            json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest("{}"), "size": 2 });
        let layer = json!({
            "mediaType": kind, "digest": digest(layer), "size": layer.len(), "annotations": annotations
        });
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": [layer]
        });
        if let Some(about) = about {
            manifest["subject"] = json!({ "mediaType": MANIFEST, "digest": about, "size": 2 });
        }
        manifest.to_string()
    }
}

/// What cosign signs.
pub(super) fn payload(name: &str, digest_of: &str) -> String {
    let identity = json!({ "docker-reference": name });
    let image = json!({ "docker-manifest-digest": digest_of });
    let kind = "cosign container image signature";
    let critical = json!({ "identity": identity, "image": image, "type": kind });
    json!({ "critical": critical, "optional": null }).to_string()
}

/// A bundle with a statement about a digest.
pub(super) fn bundle(key: &Key, kind: &str, digest: &str) -> String {
    let subject = json!([{ "digest": { "sha256": &digest[7..] } }]);
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": kind, "predicate": {}
    });
    let (statement, of) = (statement.to_string(), "application/vnd.in-toto+json");
    let signed = format!("DSSEv1 {} {of} {} {statement}", of.len(), statement.len());
    let signature = key.sign(signed.as_bytes());
    let payload = key.at("payload");
    fs::write(&payload, &statement).unwrap();
    let envelope = json!({
        "payload": base64(Path::new(&payload)), "payloadType": of, "signatures": [{ "sig": signature }]
    });
    let material = json!({ "publicKey": { "hint": "" }, "tlogEntries": [] });
    json!({ "mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope }).to_string()
}

pub(super) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

#[test]
fn an_image_is_let_in_when_one_of_the_keys_signed_it() {
    let Some(port) = harbour() else { return };
    let repository = port.registry.name(REPOSITORY);
    let other = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    let kinds: [&[&str]; 3] = [
        &["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
        &["ed25519"],
        &["rsa", "-pkeyopt", "bits:2048"],
    ];
    let stranger = Key::p256();
    port.keys(&[&stranger], "");
    port.refuses(&["acme/app is not signed", &port.digest]);
    for kind in kinds {
        let key = Key::new(kind);
        port.keys(&[&stranger, &key], "");
        port.simple(&Key::new(kind), &repository, &port.digest);
        port.refuses(&["by none of the keys of the rule (tag)"]);
        port.simple(&key, &repository, other);
        port.refuses(&["it is of another image, `sha256:1111"]);
        port.simple(&key, "registry.example/acme/app", &port.digest);
        port.refuses(&["it was signed as `registry.example/acme/app`"]);
        port.keys(&[&key], "signed-as = \"registry.example/acme/app\"");
        port.lets_in();
        port.keys(&[&key], "");
        port.simple(&key, &format!("{repository}:v1"), &port.digest);
        port.lets_in();
    }
    let (box_, name) = (&port.box_, port.name());
    let by_digest = format!("{repository}@{}", port.digest);
    box_.run(&format!("pull -q {by_digest}")).success();
    box_.run(&format!("rmi {by_digest}")).success();
    box_.build("child", &format!("FROM {name}\nCOPY --from={by_digest} /bin/busybox /two\n"));
    box_.run(&format!("run --rm --network none --pull always {name} true")).success();

    // What is here already stays; what comes is asked about each time, wherever it is wanted.
    port.keys(&[&stranger], "");
    box_.run(&format!("run --rm --network none {name} true")).success();
    let denied = "denied by hook `image-trust`";
    box_.run(&format!("run --rm --network none --pull always {name} true")).fails(125).says(denied);
    box_.write("Dockerfile", format!("FROM {name}\nRUN true\n"));
    box_.run("build --pull -t x .").fails(1).says("Dockerfile:1").says(denied);
    box_.run("images -q x").prints("");
}

#[test]
fn bundles_count_beside_the_image_and_in_the_sites_directory() {
    let Some(port) = harbour() else { return };
    let (key, stranger) = (Key::p256(), Key::p256());
    port.keys(&[&key], "");
    port.refer(&bundle(&stranger, SIGN, &port.digest));
    port.refuses(&["by none of the keys of the rule (referrer)"]);
    port.refer(&bundle(&key, "https://slsa.dev/provenance/v1", &port.digest));
    port.refuses(&["no signature but a statement, `https://slsa.dev/provenance/v1`"]);
    port.refer(&bundle(&key, SIGN, &port.digest));
    port.lets_in();

    // A copy of the image in a repository that lost its signatures: the site keeps one.
    port.refer(&bundle(&stranger, SIGN, &port.digest));
    let kept = port.box_.dir().join(format!("site/sha256-{}.acme.json", port.hex()));
    fs::write(&kept, bundle(&stranger, SIGN, &port.digest)).unwrap();
    port.refuses(&["(site)", "(referrer)"]);
    fs::write(&kept, bundle(&key, SIGN, &port.digest)).unwrap();
    port.lets_in();
    // Nor does it matter then what the registry says of signatures.
    port.registry.put_document(
        REPOSITORY,
        &format!("sha256-{}", port.hex()),
        MANIFEST,
        &port.manifest(SIMPLE, "x", &json!({}), None),
    );
    port.lets_in();
    fs::remove_file(&kept).unwrap();
    port.refuses(&["it is not of its type"]);
}

#[test]
fn rules_go_by_the_longest_prefix_and_pins_by_digest() {
    let Some(port) = harbour() else { return };
    let wrong = format!("sha256:{}", "0".repeat(64));
    let pinned = |digest: &str| format!("prefix = \"*/acme/app\"\ndigests = [\"{digest}\"]");
    port.rules(&["prefix = \"*\"\naccept = \"nothing\"", &pinned(&port.digest)]);
    port.lets_in();
    port.rules(&["prefix = \"*\"\naccept = \"anything\"", &pinned(&wrong)]);
    port.refuses(&[&format!("is {}, which is none of the digests", port.digest)]);
    port.rules(&["prefix = \"*/acm\"\naccept = \"anything\""]);
    port.refuses(&["no rule is about", "default = \"accept\""]);
    port.rules(&["prefix = \"*/acme\"\naccept = \"nothing\""]);
    port.refuses(&["nothing may be pulled from"]);
    port.rules(&["prefix = \"*/acme\"\nidentity = \"me@acme.example\""]);
    port.box_
        .run(&format!("pull {}", port.name()))
        .fails(1)
        .says("no `issuer` says who vouches")
        .says("hint:");
    port.box_.run("images -q").success().prints("");
}

#[test]
fn who_demands_nothing_of_images_asks_nobody_for_signatures() {
    let Some(port) = harbour() else { return };
    let asked = || {
        let asked = port.registry.asked();
        asked.matches("/referrers/").count() + asked.matches("/manifests/sha256-").count()
    };
    port.lets_in();
    assert_eq!(asked(), 0, "{}", port.registry.asked());
    port.rules(&["prefix = \"*\"\naccept = \"anything\""]);
    port.lets_in();
    assert_eq!(asked(), 0, "{}", port.registry.asked());
    port.keys(&[&Key::p256()], "");
    port.refuses(&["is not signed"]);
    assert_eq!(asked(), 3, "{}", port.registry.asked());
}

#[test]
fn a_build_cache_is_asked_about_as_an_image_is() {
    let Some(port) = harbour() else { return };
    let cache = port.registry.name("acme/cache:v1");
    port.box_.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    port.box_.run(&format!("build --cache-to type=registry,ref={cache} .")).success();
    let from = format!("build --cache-from type=registry,ref={cache} .");
    port.keys(&[&Key::p256()], "");
    let told = port.box_.run(&from).success();
    told.says("cannot use the cache").says("denied by hook `image-trust`").says("acme/cache is not signed");
    port.rules(&["prefix = \"*/acme/cache\"\naccept = \"anything\""]);
    let used = port.box_.run(&from).success();
    assert!(!used.stderr.contains("cannot use the cache"), "{used}");
}

#[test]
fn a_plugin_from_a_registry_is_asked_about_as_an_image_is() {
    let Some(port) = harbour() else { return };
    let name = port.registry.name("acme/app:v1");
    let pushed = port.box_.run(&format!("plugin push label {name}")).success();
    let digest = pushed.stdout.split_once("digest: ").unwrap().1[..71].to_owned();
    let port = Harbour { digest, ..port };
    let key = Key::p256();
    port.keys(&[&key], "");
    let add = ["plugin", "add", &format!("oci://{name}"), "--as", "LABEL=MARK", "--grant-all"];
    port.box_.refuses(1, &add, &["denied by hook `image-trust`", "acme/app is not signed"]);
    assert!(!port.box_.run("plugin ls -q").success().stdout.contains("app"));
    port.simple(&key, &port.registry.name(REPOSITORY), &port.digest);
    port.box_.wharf(add).success().prints("app\n");
}

#[test]
fn the_hook_is_shown_as_switched_off() {
    let box_ = Sandbox::new();
    let row = |list: String| list.lines().find(|line| line.starts_with("image-trust ")).unwrap().to_owned();
    assert!(row(box_.run("plugin ls").success().stdout).ends_with("off"));
    box_.run("plugin ls -q").success().without("image-trust");
    box_.run("plugin inspect image-trust").success().shows("off").shows("read:signatures");
    box_.config("[plugin.image-trust]\nenabled = true\n");
    assert!(row(box_.run("plugin ls").success().stdout).ends_with("embedded"));
}
