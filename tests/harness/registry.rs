//! A registry of one's own: the distribution project's, on a port of the loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{eventually, free_port, has, host};

const PROGRAM: &str = "docker-registry";

/// It runs until it is dropped, and what it holds goes with it.
#[derive(Debug)]
pub(crate) struct Registry {
    process: Child,
    directory: TempDir,
    port: u16,
    host: &'static str,
}

/// How it is to be asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    /// By TLS, with a certificate for `localhost`.
    pub(crate) tls: bool,
    /// By `sailor` with the password `ahoy`.
    pub(crate) password: bool,
    /// With a certificate of its authority's (and by TLS).
    pub(crate) certificate: bool,
}

impl Registry {
    /// One that everybody may ask, over plain HTTP; `None`, said aloud, where the program is missing.
    pub(crate) fn start() -> Option<Self> {
        Self::start_as(Asked::default())
    }

    pub(crate) fn start_as(asked: Asked) -> Option<Self> {
        Self::begin(asked, "")
    }

    /// One that everybody may reach, with these further lines of config.
    pub(crate) fn start_with(lines: &str) -> Option<Self> {
        Self::begin(Asked::default(), lines)
    }

    fn begin(asked: Asked, lines: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: needs {PROGRAM}, which ./dev test brings");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = config(&directory, port, asked, lines);
        let file = directory.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let questions = fs::File::create(directory.path().join("asked")).unwrap();
        let process = Command::new(program)
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(questions)
            .stderr(log)
            .spawn()
            .unwrap();
        let registry =
            Self { process, directory, port, host: if asked.tls { "localhost" } else { "127.0.0.1" } };
        eventually("the registry listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(registry)
    }

    /// Where it listens on the loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The name of an image there.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address())
    }

    /// What it was asked, a line for each question.
    pub(crate) fn asked(&self) -> String {
        fs::read_to_string(self.directory.path().join("asked")).unwrap()
    }

    /// Puts a document under a tag or a digest, as a client that knows what it does would.
    pub(crate) fn put_document(&self, image: &str, tag: &str, kind: &str, text: &str) {
        let head = format!("PUT /v2/{image}/manifests/{tag} HTTP/1.1\r\nContent-Type: {kind}\r\n");
        let answer = self.send(&head, text);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    /// Puts a blob.
    pub(crate) fn put_blob(&self, image: &str, digest: &str, text: &str) {
        let begun = self.send(&format!("POST /v2/{image}/blobs/uploads/ HTTP/1.1\r\n"), "");
        let location = begun.lines().find_map(|line| line.strip_prefix("Location: "));
        let location = location.unwrap_or_else(|| panic!("{begun}"));
        let path = location.strip_prefix(&format!("http://{}", self.address())).unwrap_or(location);
        let answer = self.send(&format!("PUT {path}&digest={digest} HTTP/1.1\r\n"), text);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn send(&self, head: &str, text: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let (host, length) = (self.address(), text.len());
        let rest = format!("Host: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
        write!(stream, "{head}{rest}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The authority that its certificate is from.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// Its certificate for `localhost`, and the key.
    pub(crate) fn certificate(&self) -> (String, String) {
        let path = self.directory.path().display();
        (format!("{path}/server.crt"), format!("{path}/server.key"))
    }

    /// A certificate for a client, and its key, from its authority.
    pub(crate) fn client_certificate(&self) -> (PathBuf, PathBuf) {
        let at = |name: &str| self.directory.path().join(name);
        let (certificate, key) = (at("client.crt"), at("client.key"));
        let (ca, ca_key) = (at("ca.crt"), at("ca.key"));
        let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
        let signed = ["-CA", &text(&ca), "-CAkey", &text(&ca_key), "-subj", "/CN=sailor"];
        let leaf =
            ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=clientAuth"];
        let out = ["-keyout", &text(&key), "-out", &text(&certificate)];
        host(&[&NEW[..], &signed, &leaf, &out].concat());
        (certificate, key)
    }

    /// Damages a blob.
    pub(crate) fn damage(&self, digest: &str) {
        let hex = digest.trim_start_matches("sha256:");
        let path = format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        let path = self.directory.path().join(path);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// Damages all blobs but documents.
    pub(crate) fn damage_layers(&self) {
        for path in self.blobs() {
            let bytes = fs::read(&path).unwrap();
            let hex = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            if bytes.first() != Some(&b'{') {
                self.damage(hex);
            }
        }
    }

    /// Bytes of all that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.blobs().iter().map(|path| fs::metadata(path).unwrap().len()).sum()
    }

    fn blobs(&self) -> Vec<PathBuf> {
        let root = self.directory.path().join("data/docker/registry/v2/blobs/sha256");
        let below =
            |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        below(root).flat_map(below).map(|blob| blob.join("data")).collect()
    }

    /// Copies an image from an archive with skopeo, another client than ours; false, said aloud, without it.
    pub(crate) fn fill(&self, archive: &std::path::Path, image: &str, format: &str) -> bool {
        if !has("skopeo") {
            eprintln!("skipped: needs skopeo, which ./dev test installs");
            return false;
        }
        let from = format!("docker-archive:{}", archive.display());
        let to = format!("docker://{}", self.name(image));
        let insecure = "--dest-tls-verify=false";
        host(&["skopeo", "--insecure-policy", "copy", "--quiet", "--format", format, insecure, &from, &to]);
        true
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where `./dev test` unpacks it, or where it is installed.
fn program() -> Option<PathBuf> {
    let tools = std::env::var_os("WHARF_TOOLS").map(PathBuf::from);
    let unpacked = tools.map(|tools| tools.join("registry/usr/bin").join(PROGRAM));
    unpacked.filter(|path| path.exists()).or_else(|| has(PROGRAM).then(|| PROGRAM.into()))
}

fn config(directory: &TempDir, port: u16, asked: Asked, lines: &str) -> String {
    let path = directory.path().display();
    let mut text = format!(
        "version: 0.1\nlog: {{ level: error }}\nstorage:\n  filesystem: {{ rootdirectory: {path}/data }}\n"
    );
    if asked.password {
        // bcrypt of `ahoy`: no program is needed that makes one.
        fs::write(directory.path().join("users"), format!("sailor:{AHOY}\n")).unwrap();
        text += &format!("auth:\n  htpasswd: {{ realm: sea, path: {path}/users }}\n");
    }
    text += lines;
    text += &format!("http:\n  addr: 127.0.0.1:{port}\n");
    if asked.tls {
        certificate(directory);
        let authorities =
            if asked.certificate { format!(", clientcas: [{path}/ca.crt]") } else { String::new() };
        text +=
            &format!("  tls: {{ certificate: {path}/server.crt, key: {path}/server.key{authorities} }}\n");
    }
    text
}

const AHOY: &str = "$2y$05$cscNDKVY3hd5YvDLaw.g6uTSVkT1niQKhz8pOcxOtHuBy8wWmeT62";

/// A new key, and a certificate for it.
const NEW: [&str; 10] = [
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
];

/// An authority, and a certificate of it for `localhost`.
fn certificate(directory: &TempDir) {
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (ca, ca_key, server, key) = (at("ca.crt"), at("ca.key"), at("server.crt"), at("server.key"));
    host(&[&NEW[..], &["-subj", "/CN=harbour", "-keyout", &ca_key, "-out", &ca]].concat());
    let signed =
        ["-CA", &ca, "-CAkey", &ca_key, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &server];
    host(&[&NEW[..], &signed, &leaf].concat());
}
