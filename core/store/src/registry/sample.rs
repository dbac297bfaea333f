//! A registry on the loopback for tests, which can be made to misbehave.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flate2::write::GzEncoder;
use serde_json::json;
use wharf_model::image::ImageConfig;
use wharf_model::{Digest, Platform};

/// What was asked: the first line's two words, and the headers, in lower case.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What is answered; nothing at all when the status is 0: the line is cut.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Say this length, whatever is sent.
    pub(super) length: Option<u64>,
    /// Send one byte at a time, with this pause after each.
    pub(super) drip: Duration,
    /// Send nothing more for so long before the line is cut.
    pub(super) stall: Duration,
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Cuts the line after so many bytes.
    pub(super) fn cut(mut self, after: usize) -> Self {
        self.length = Some(self.body.len() as u64);
        self.body.truncate(after);
        self
    }
}

/// By path: the type and the bytes.
type Content = HashMap<String, (String, Vec<u8>)>;
type Fault = dyn Fn(&Request, usize) -> Option<Answer> + Send + Sync;

/// The registry.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    content: Arc<Mutex<Content>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    /// That behaves.
    pub(super) fn new() -> Self {
        Self::with(|_, _| None)
    }

    /// Whose answers are `fault`'s, where it has one; it is told how often the same was asked before.
    pub(super) fn with(fault: impl Fn(&Request, usize) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            content: Arc::default(),
            requests: Arc::default(),
        };
        let (content, requests) = (Arc::clone(&fake.content), Arc::clone(&fake.requests));
        let fault: Arc<Fault> = Arc::new(fault);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (content, requests, fault) =
                    (Arc::clone(&content), Arc::clone(&requests), Arc::clone(&fault));
                thread::spawn(move || serve(stream, &content, &requests, &*fault));
            }
        });
        fake
    }

    pub(super) fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// Everything that was asked so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Those whose path holds a text.
    pub(super) fn asked(&self, text: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path.contains(text)).collect()
    }

    /// What it answers, without a line in between.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        usual(request, &mut self.content.lock().unwrap())
    }

    /// What is there now.
    pub(super) fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.content.lock().unwrap().get(path).map(|(_, bytes)| bytes.clone())
    }

    /// The beginning of an upload that was cut.
    pub(super) fn put_upload(&self, path: &str, bytes: &[u8]) {
        self.content.lock().unwrap().get_mut(path).unwrap().1 = bytes.to_vec();
    }

    pub(super) fn put(&self, path: &str, kind: &str, bytes: &[u8]) {
        self.content.lock().unwrap().insert(path.to_owned(), (kind.to_owned(), bytes.to_vec()));
    }

    pub(super) fn put_blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.put(&format!("/v2/app/blobs/{digest}"), "application/octet-stream", bytes);
        digest
    }

    pub(super) fn put_manifest(&self, tag: &str, kind: &str, text: &str) -> Digest {
        let digest = Digest::of(text);
        for tag in [tag, &digest.to_string()] {
            self.put(&format!("/v2/app/manifests/{tag}"), kind, text.as_bytes());
        }
        digest
    }

    /// An image called `app:TAG` of these tars, which are sent compressed.
    pub(super) fn put_image(&self, tag: &str, tars: &[Vec<u8>]) -> Image {
        self.put_image_for(tag, tars, &Platform::host())
    }

    pub(super) fn put_image_for(&self, tag: &str, tars: &[Vec<u8>], platform: &Platform) -> Image {
        let packed: Vec<Vec<u8>> = tars.iter().map(|tar| gzip(tar)).collect();
        let layers: Vec<Digest> = packed.iter().map(|blob| self.put_blob(blob)).collect();
        let mut config = ImageConfig::empty(platform);
        config.rootfs.diff_ids = tars.iter().map(Digest::of).collect();
        let text = serde_json::to_vec(&config).unwrap();
        let id = self.put_blob(&text);
        let listed: Vec<_> = packed
            .iter()
            .map(|blob| json!({ "mediaType": LAYER, "digest": Digest::of(blob), "size": blob.len() }))
            .collect();
        let config = json!({ "mediaType": CONFIG, "digest": id, "size": text.len() });
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": listed });
        let text = manifest.to_string();
        let digest = self.put_manifest(tag, MANIFEST, &text);
        Image { id, digest, layers, manifest, size: text.len() }
    }
}

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image of the registry.
pub(super) struct Image {
    pub(super) id: Digest,
    pub(super) digest: Digest,
    pub(super) layers: Vec<Digest>,
    pub(super) manifest: serde_json::Value,
    pub(super) size: usize,
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn serve(stream: TcpStream, content: &Mutex<Content>, requests: &Mutex<Vec<Request>>, fault: &Fault) {
    let Some(request) = read(&stream) else { return };
    let before = {
        let mut all = requests.lock().unwrap();
        let same = |other: &&Request| (&other.method, &other.path) == (&request.method, &request.path);
        let before = all.iter().filter(same).count();
        all.push(request.clone());
        before
    };
    let usual = || usual(&request, &mut content.lock().unwrap());
    let answer = fault(&request, before).unwrap_or_else(usual);
    let _ = write(&stream, &request, &answer);
}

/// Gives what is there, and takes what is sent: an upload is content like any other, without a digest.
fn usual(request: &Request, content: &mut Content) -> Answer {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/"))
    };
    let upload = |path: &str, length: usize| {
        let range = format!("0-{}", length.saturating_sub(1));
        Answer::new(202, "").header("Location", path).header("Range", range)
    };
    match request.method.as_str() {
        "POST" if value("mount").is_some() => {
            let (digest, from) = (value("mount").unwrap(), value("from").unwrap());
            let Some(found) = content.get(&format!("/v2/{from}/blobs/{digest}")).cloned() else {
                return upload("/upload/9", 0);
            };
            content.insert(path.replace("uploads/", &digest), found);
            Answer::new(201, "")
        }
        "POST" => {
            let number = content.keys().filter(|path| path.starts_with("/upload/")).count();
            let place = format!("/upload/{number}");
            content.insert(place.clone(), (path.to_owned(), Vec::new()));
            upload(&place, 0)
        }
        "PATCH" => {
            let Some((_, bytes)) = content.get_mut(path) else { return Answer::new(404, "") };
            let from =
                request.header("content-range").and_then(|range| range.split('-').next()?.parse().ok());
            if from.unwrap_or(0) != bytes.len() {
                return Answer::new(416, "");
            }
            bytes.extend(&request.body);
            upload(path, bytes.len())
        }
        "GET" if path.starts_with("/upload/") => match content.get(path) {
            Some((_, bytes)) => Answer { status: 204, ..upload(path, bytes.len()) },
            None => Answer::new(404, ""),
        },
        "PUT" if path.starts_with("/upload/") => {
            let Some((place, bytes)) = content.remove(path) else { return Answer::new(404, "") };
            if Some(Digest::of(&bytes).to_string()) != value("digest") {
                return Answer::new(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
            }
            let place = place.replace("uploads/", &Digest::of(&bytes).to_string());
            content.insert(place, ("application/octet-stream".to_owned(), bytes));
            Answer::new(201, "")
        }
        "PUT" => {
            let kind = request.header("content-type").unwrap().to_owned();
            content.insert(path.to_owned(), (kind, request.body.clone()));
            Answer::new(201, "").header("Docker-Content-Digest", Digest::of(&request.body).to_string())
        }
        _ => found(request, content.get(path)),
    }
}

fn found(request: &Request, content: Option<&(String, Vec<u8>)>) -> Answer {
    let Some((kind, bytes)) = content else {
        return Answer::new(404, r#"{"errors":[{"code":"UNKNOWN","message":"nothing is here"}]}"#);
    };
    part(request, bytes).header("Content-Type", kind)
}

/// As much as was asked for.
pub(super) fn part(request: &Request, bytes: &[u8]) -> Answer {
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    match range.and_then(|start| start.parse::<usize>().ok()) {
        Some(start) if start < bytes.len() => {
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            Answer::new(206, &bytes[start..]).header("Content-Range", range)
        }
        Some(_) => Answer::new(416, ""),
        None => Answer::new(200, bytes),
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? <= 2 {
            break;
        }
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        // One that comes again is a list (RFC 9110, "Field Lines and Combined Field Value").
        let list = headers.entry(name.to_lowercase()).or_insert_with(String::new);
        *list += &if list.is_empty() { value.to_owned() } else { format!(", {value}") };
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

fn write(mut stream: &TcpStream, request: &Request, answer: &Answer) -> std::io::Result<()> {
    if answer.status == 0 {
        return Ok(());
    }
    let length = answer.length.unwrap_or(answer.body.len() as u64);
    let mut head =
        format!("HTTP/1.1 {} Said\r\nContent-Length: {length}\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        if answer.drip.is_zero() {
            stream.write_all(&answer.body)?;
        } else {
            for byte in &answer.body {
                stream.write_all(&[*byte])?;
                thread::sleep(answer.drip);
            }
        }
        thread::sleep(answer.stall);
    }
    stream.flush()
}
