//! `serve-registry`: the images here as a registry that is read from.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use crate::harness::{Asked, Registry, Sandbox, free_port, has, host};

/// It serves until it is dropped.
struct Served {
    process: Child,
    port: u16,
    said: String,
}

impl Served {
    fn start(box_: &Sandbox, options: &[&str]) -> Self {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut command = box_.command(["serve-registry", "--listen", &address]);
        let mut process = command.args(options).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut said).unwrap();
        Self { process, port, said }
    }

    fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }

    /// The status, the headers in small letters, and the body.
    fn ask(&self, verb: &str, path: &str, header: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "{verb} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{header}\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, answer[end + 4..].to_vec())
    }

    fn document(&self, path: &str) -> serde_json::Value {
        let (status, _, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn with_app() -> Sandbox {
    let box_ = Sandbox::new();
    box_.build("app:v1", "FROM busybox\nRUN echo one > /one\nCMD [\"cat\", \"/one\"]\n");
    box_
}

#[test]
fn wharf_and_other_clients_pull_what_is_served() {
    let box_ = with_app();
    let served = Served::start(&box_, &[]);
    assert!(served.said.contains(&format!("serving on 127.0.0.1:{}", served.port)), "{}", served.said);
    let name = served.name("app:v1");
    let other = box_.beside();
    other.set("WHARF_PULL", "missing");
    other.run(&format!("run --rm --network none {name}")).success().prints("one\n");
    assert_eq!(other.inspect(&name, "{{.Id}}"), box_.inspect("app:v1", "{{.Id}}"));
    other.run(&format!("pull -q -a {}", served.name("app"))).success();
    other.refuses(1, &["pull", &served.name("app:v2")], &["app has no v2 here"]);
    if !has("skopeo") {
        eprintln!("skipped in part: needs skopeo, which ./dev test installs");
        return;
    }
    let archive = box_.dir().join("copied.tar");
    let (from, to) = (format!("docker://{name}"), format!("docker-archive:{}:copied:v1", archive.display()));
    host(&["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", &from, &to]);
    other.wharf(["load", "-i", archive.to_str().unwrap()]).success();
    other.run("run --rm --network none copied:v1").success().prints("one\n");
    let tags =
        host(&["skopeo", "list-tags", "--tls-verify=false", &format!("docker://{}", served.name("app"))]);
    assert!(tags.contains("\"v1\""), "{tags}");
}

#[test]
fn it_answers_as_the_distribution_specification_says() {
    let box_ = with_app();
    let served = Served::start(&box_, &[]);
    let (status, head, _) = served.ask("GET", "/v2/", "");
    assert!(status == 200 && head.contains("docker-distribution-api-version: registry/2.0"), "{head}");
    assert_eq!(served.document("/v2/_catalog")["repositories"], serde_json::json!(["app", "busybox"]));
    assert_eq!(served.document("/v2/app/tags/list")["tags"], serde_json::json!(["v1"]));
    let manifest = served.document("/v2/app/manifests/v1");
    let layer = manifest["layers"][1]["digest"].as_str().unwrap();
    let blob = format!("/v2/app/blobs/{layer}");
    let (status, _, whole) = served.ask("GET", &blob, "");
    assert!(status == 200 && whole.len() as u64 == manifest["layers"][1]["size"]);
    let (status, head, part) = served.ask("GET", &blob, "range: bytes=100-199\r\n");
    assert!(
        status == 206 && part == whole[100..200] && head.contains("content-range: bytes 100-199/"),
        "{head}"
    );
    assert_eq!(served.ask("GET", &blob, "range: bytes=99999999-\r\n").0, 416);
    let (status, head, body) = served.ask("HEAD", &blob, "");
    assert!(
        status == 200 && body.is_empty() && head.contains(&format!("content-length: {}", whole.len())),
        "{head}"
    );
    let (status, head, body) = served.ask("HEAD", "/v2/app/manifests/v1", "");
    assert!(status == 200 && body.is_empty() && head.contains("docker-content-digest: sha256:"), "{head}");

    let nothing = format!("sha256:{}", "0".repeat(64));
    for (path, code) in [
        ("/v2/none/manifests/v1".to_owned(), "NAME_UNKNOWN"),
        ("/v2/none/tags/list".to_owned(), "NAME_UNKNOWN"),
        ("/v2/app/manifests/v9".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("/v2/app/manifests/{nothing}"), "MANIFEST_UNKNOWN"),
        (format!("/v2/app/blobs/{nothing}"), "BLOB_UNKNOWN"),
        ("/v2/../../etc/passwd".to_owned(), "UNSUPPORTED"),
        ("/v2/app/manifests/../../../wharf.db".to_owned(), "MANIFEST_UNKNOWN"),
        ("/v2/..%2f..%2f/manifests/passwd".to_owned(), "NAME_UNKNOWN"),
        ("/etc/passwd".to_owned(), "UNSUPPORTED"),
    ] {
        let (status, _, body) = served.ask("GET", &path, "");
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, said["errors"][0]["code"].as_str().unwrap()), (404, code), "{path}");
        assert_eq!(served.ask("HEAD", &path, "").0, 404, "{path}");
    }
    assert_eq!(served.ask("GET", "/v2/app/blobs/sha256:../../x", "").0, 400);
    for verb in ["PUT", "POST", "PATCH", "DELETE"] {
        let (status, _, body) = served.ask(verb, "/v2/app/manifests/v1", "content-length: 0\r\n");
        assert!(status == 405 && String::from_utf8(body).unwrap().contains("UNSUPPORTED"), "{verb}");
    }
    let pushed = box_.run(&format!("tag app:v1 {}", served.name("mine:v1")));
    pushed.success();
    box_.refuses(1, &["push", &served.name("mine:v1")], &["only read from"]);
}

#[test]
fn only_what_is_named_is_served_to_many_clients_at_once() {
    let box_ = with_app();
    box_.run("tag busybox secret").success();
    let served = Served::start(&box_, &["app:v1"]);
    assert_eq!(served.document("/v2/_catalog")["repositories"], serde_json::json!(["app"]));
    assert_eq!(served.ask("GET", "/v2/secret/tags/list", "").0, 404);
    // Some say nothing at all, and keep nobody from being answered.
    let silent: Vec<_> = (0..20).map(|_| TcpStream::connect(("127.0.0.1", served.port)).unwrap()).collect();
    let layer = served.document("/v2/app/manifests/v1")["layers"][0]["digest"].as_str().unwrap().to_owned();
    let blob = format!("/v2/app/blobs/{layer}");
    let first = served.ask("GET", &blob, "").2;
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..30).map(|_| scope.spawn(|| served.ask("GET", &blob, "").2)).collect();
        assert!(asking.into_iter().all(|it| it.join().unwrap() == first));
    });
    drop(silent);
    box_.refuses(1, &["serve-registry", "none:v1"], &["no such image: none:v1"]);
    let taken = format!("127.0.0.1:{}", served.port);
    box_.refuses(1, &["serve-registry", "-l", &taken], &["cannot listen on", &taken, "in use"]);
}

#[test]
fn an_index_is_served_with_the_images_that_are_here() {
    use super::platforms::{OTHER, OWN, fill_index};
    let Some(registry) = Registry::start() else { return };
    let builder = Sandbox::new();
    let name = fill_index(&registry, &builder);
    let box_ = builder.beside();
    box_.run(&format!("pull -q {name}")).success();
    box_.run(&format!("tag {name} app:all")).success();
    let digests = box_.inspect(&name, "{{.RepoDigests}}");
    let served = Served::start(&box_, &[]);
    let there = served.name("app:all");
    let other = box_.beside();
    other.set("WHARF_PULL", "missing");
    other.run(&format!("run --rm --network none {there}")).success().prints(&format!("{OWN}\n"));
    let kept = other.inspect(&there, "{{index .RepoDigests 0}}");
    assert!(digests.contains(kept.split('@').nth(1).unwrap()), "the index's digest: {kept}, {digests}");
    other.refuses(1, &["pull", "--platform", OTHER, &there], &["has no sha256:"]);
    box_.run(&format!("pull -q --platform {OTHER} {name}")).success();
    box_.run(&format!("tag {name} app:all")).success();
    other.run(&format!("pull -q --platform {OTHER} {there}")).success();
    other.run("images --tree").success().shows(OTHER).shows(OWN);
}

#[test]
fn it_speaks_tls_with_a_certificate() {
    let Some(registry) = Registry::start_as(Asked { tls: true, ..Asked::default() }) else { return };
    let box_ = with_app();
    let (certificate, key) = registry.certificate();
    let served = Served::start(&box_, &["--tls-cert", &certificate, "--tls-key", &key]);
    let host = format!("localhost:{}", served.port);
    let other = box_.beside();
    let certificates = other.home().join(".config/wharf/certs.d").join(&host);
    std::fs::create_dir_all(&certificates).unwrap();
    other.run("images").success();
    other.refuses(1, &["pull", &format!("{host}/app:v1")], &["certificate"]);
    std::fs::copy(registry.authority(), certificates.join("ca.crt")).unwrap();
    other.run(&format!("pull -q {host}/app:v1")).success();
    box_.refuses(1, &["serve-registry", "--tls-cert", &key, "--tls-key", &key], &["cannot use", &key]);
    box_.refuses(125, &["serve-registry", "--tls-cert", &key], &["--tls-key"]);
}
