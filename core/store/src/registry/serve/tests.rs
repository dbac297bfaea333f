//! A store that is asked by another one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;

use wharf_model::image::ImageConfig;
use wharf_model::storage::LayerFormat;
use wharf_model::{Digest, Platform, Reference};

use super::*;
use crate::archive::sample::Home;
use crate::archive::{SaveError, write_layer};
use crate::registry::{Certificates, Line, Login, Logins, Patience, PullError, Pulled, Session, Watch, pull};
use crate::{Layer, Store};

/// The machine that offers: its store stays until the test's process ends.
struct Host {
    dir: PathBuf,
    store: &'static Store,
}

/// Whoever asks.
struct Guest {
    dir: tempfile::TempDir,
    store: Store,
}

struct FromHome(PathBuf, &'static Store);

impl Layers for FromHome {
    fn write(&self, layer: &Layer, out: &mut dyn Write) -> Result<(), SaveError> {
        write_layer(self.1, layer, &mut Home::new(&self.0, LayerFormat::Overlay), out)
    }
}

struct Nobody;

impl Logins for Nobody {
    fn login(&self, _: &str) -> Result<Login, String> {
        Ok(Login::Anonymous)
    }
}

impl Host {
    fn new(dir: &Path) -> Self {
        let store = Box::leak(Box::new(Store::open(dir).unwrap()));
        Self { dir: dir.to_owned(), store }
    }

    /// An image as a build makes it: its layer is a directory.
    fn build(&self, names: &[&str], content: &[u8]) -> (Digest, Layer) {
        let home = Home::new(&self.dir, LayerFormat::Overlay);
        let layer = home.build(self.store, |root| std::fs::write(root.join("file"), content).unwrap());
        let mut config = ImageConfig::empty(&Platform::host());
        config.rootfs.diff_ids = vec![layer.diff_id];
        let names: Vec<Reference> = names.iter().map(|name| name.parse().unwrap()).collect();
        (self.store.commit(&config, &names).unwrap(), layer)
    }

    fn offer(&self, only: &[&str]) -> Arc<Offer> {
        let layers = Arc::new(FromHome(self.dir.clone(), self.store));
        Arc::new(Offer::new(self.store, layers, only.iter().map(|name| name.parse().unwrap()).collect()))
    }

    /// Its port.
    fn listen(&self, only: &[&str]) -> u16 {
        let offer = self.offer(only);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (offer, stream) = (Arc::clone(&offer), stream.unwrap());
                thread::spawn(move || serve(&offer, stream, None));
            }
        });
        port
    }
}

impl Guest {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        Self { dir, store }
    }

    fn pull(&self, session: Session, name: &str) -> Result<Pulled, PullError> {
        let mut home = Home::new(self.dir.path(), LayerFormat::Overlay);
        let mut watch = Watch { judge: &mut |_, _| Ok(()), show: &mut |_| {} };
        pull(&self.store, &Arc::new(session), &name.parse().unwrap(), None, &mut home, &mut watch)
    }

    fn session() -> Session {
        let certificates = Certificates::below(Vec::new());
        Session::new(Vec::new(), certificates, Patience::default(), Box::new(Nobody))
    }
}

/// The status line, the headers, and the body.
fn ask(port: u16, path: &str, headers: &str) -> (String, String, Vec<u8>) {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (verb, path) = path.split_once(' ').unwrap_or(("GET", path));
    write!(stream, "{verb} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let (mut status, mut head, mut body) = (String::new(), String::new(), Vec::new());
    reader.read_line(&mut status).unwrap();
    while reader.read_line(&mut head).unwrap() > 2 {}
    reader.read_to_end(&mut body).unwrap();
    (status.trim_end().trim_start_matches("HTTP/1.1 ").to_owned(), head.to_lowercase(), body)
}

fn content() -> Vec<u8> {
    (0..700_000_u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_layer_that_was_built_here_arrives_there() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(dir.path());
    let (id, layer) = host.build(&["a:1"], &content());
    let guest = Guest::new();
    let name = format!("127.0.0.1:{}/a:1", host.listen(&[]));
    assert_eq!(guest.pull(Guest::session(), &name).unwrap().id, id);
    let here = guest.store.resolve(&name).unwrap();
    assert_eq!(here.layers[0].diff_id, layer.diff_id);
    let home = Home::new(guest.dir.path(), LayerFormat::Overlay);
    assert_eq!(std::fs::read(home.path(&layer.chain_id).join("file")).unwrap(), content());
}

#[test]
fn a_line_carries_the_same_and_is_not_remembered_as_a_registry() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(dir.path());
    let (id, _) = host.build(&["a:1", "ghcr.io/b/c:2"], &content());
    let guest = Guest::new();
    let socket = guest.dir.path().join("line");
    let listener = UnixListener::bind(&socket).unwrap();
    let offer = host.offer(&[]);
    let other = thread::spawn(move || serve_line(&offer, listener.accept().unwrap().0));
    let line = Line { socket, host: "there".to_owned() };
    assert_eq!(guest.pull(Session::over(line), "ghcr.io/b/c:2").unwrap().id, id);
    other.join().unwrap().unwrap();
    assert_eq!(guest.store.resolve("ghcr.io/b/c:2").unwrap().id, id);
    assert!(guest.store.remotes().of(&id).unwrap().is_empty());
}

#[test]
fn a_line_that_ends_is_an_error_at_once() {
    let guest = Guest::new();
    let socket = guest.dir.path().join("line");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || drop(listener.accept()));
    let line = Line { socket, host: "there".to_owned() };
    let begin = std::time::Instant::now();
    let error = guest.pull(Session::over(line), "a:1").unwrap_err().to_string();
    assert!(error.contains("there"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn bytes_from_the_middle_are_those_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(dir.path());
    let (_, layer) = host.build(&["a:1"], &content());
    let port = host.listen(&[]);
    let blob = format!("/v2/a/blobs/{}", layer.diff_id);
    let (status, _, whole) = ask(port, &blob, "");
    assert_eq!((status.as_str(), Digest::of(&whole)), ("200 OK", layer.diff_id));
    for (first, last) in [(0, Some(0)), (1_000_000, Some(1_300_000)), (1_000_000, None)] {
        let asked =
            format!("range: bytes={first}-{}\r\n", last.map_or(String::new(), |it: usize| it.to_string()));
        let (status, head, part) = ask(port, &blob, &asked);
        let end = last.map_or(whole.len(), |last| last + 1);
        assert_eq!(status, "206 Partial Content");
        assert!(
            head.contains(&format!("content-range: bytes {first}-{}/{}", end - 1, whole.len())),
            "{head}"
        );
        assert!(part == whole[first..end]);
    }
    let beyond = format!("range: bytes={}-\r\n", whole.len());
    assert_eq!(ask(port, &blob, &beyond).0, "416 Range Not Satisfiable");
    let (status, head, body) = ask(port, &format!("HEAD {blob}"), "");
    assert_eq!((status.as_str(), body.len()), ("200 OK", 0));
    assert!(head.contains(&format!("content-length: {}", whole.len())), "{head}");
}

#[test]
fn only_what_is_offered_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(dir.path());
    let (_, shown) = host.build(&["a:1"], b"shown");
    let (secret_id, secret) = host.build(&["b:1"], b"secret");
    let port = host.listen(&["a:1"]);
    let (_, _, body) = ask(port, "/v2/_catalog", "");
    assert_eq!(String::from_utf8(body).unwrap(), r#"{"repositories":["a"]}"#);
    assert_eq!(ask(port, "/v2/a/manifests/1", "").0, "200 OK");
    for hidden in [
        "/v2/b/manifests/1".to_owned(),
        "/v2/b/tags/list".to_owned(),
        "/v2/a/manifests/2".to_owned(),
        format!("/v2/b/blobs/{}", secret.diff_id),
        format!("/v2/a/blobs/{}", secret.diff_id),
        format!("/v2/a/blobs/{secret_id}"),
        format!("/v2/b/blobs/{}", shown.diff_id),
        "/v2/../../etc/passwd".to_owned(),
    ] {
        assert_eq!(ask(port, &hidden, "").0, "404 Not Found", "{hidden}");
    }
}

#[test]
fn lists_come_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(dir.path());
    host.build(&["a:1", "a:2", "a:3", "ghcr.io/b/c:1"], b"x");
    let port = host.listen(&[]);
    let (_, head, body) = ask(port, "/v2/a/tags/list?n=2", "");
    assert_eq!(String::from_utf8(body).unwrap(), r#"{"name":"a","tags":["1","2"]}"#);
    assert!(head.contains("link: </v2/a/tags/list?n=2&last=2>; rel=\"next\""), "{head}");
    let (_, head, body) = ask(port, "/v2/a/tags/list?n=2&last=2", "");
    assert_eq!(String::from_utf8(body).unwrap(), r#"{"name":"a","tags":["3"]}"#);
    assert!(!head.contains("link:"), "{head}");
    let (_, _, body) = ask(port, "/v2/_catalog", "");
    assert_eq!(String::from_utf8(body).unwrap(), r#"{"repositories":["a","ghcr.io/b/c"]}"#);
    assert_eq!(ask(port, "PUT /v2/a/manifests/9", "content-length: 0\r\n").0, "405 Method Not Allowed");
    assert_eq!(ask(port, "/v2/", "").0, "200 OK");
}
