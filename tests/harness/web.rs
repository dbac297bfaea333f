//! A web server for `ADD http://...`, and a client for what containers serve.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A page, and the headers it is sent with. Whoever has this version of it already, by its `ETag` or its
/// `Last-Modified`, is told so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Vec<u8>,
}

/// Serves on a port of 127.0.0.1 until the test process ends.
#[derive(Debug)]
pub(crate) struct Web {
    address: SocketAddr,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
    answers: Arc<Mutex<Vec<String>>>,
}

impl Page {
    /// As RFC 9110 has it: the tag counts for more than the time.
    fn is_known(&self, asked: &[(String, String)]) -> bool {
        let own = |name: &str| {
            self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
        };
        let given =
            |name: &str| asked.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        match given("if-none-match") {
            Some(tag) => own("etag") == Some(tag),
            None => given("if-modified-since").is_some_and(|time| own("last-modified") == Some(time)),
        }
    }
}

impl Web {
    /// With these pages; any other one is 404.
    pub(crate) fn serve(pages: impl IntoIterator<Item = (&'static str, Page)>) -> Self {
        let pages = pages.into_iter().map(|(path, page)| (path.to_owned(), page)).collect();
        let pages = Arc::new(Mutex::new(pages));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answers = Arc::default();
        let address = listener.local_addr().unwrap();
        let web = Self { address, pages: Arc::clone(&pages), answers: Arc::clone(&answers) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(&stream, &pages, &answers);
            }
        });
        web
    }

    /// The address of a page.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it answered since this was asked last: `200 /page`, `304 /page`.
    pub(crate) fn answers(&self) -> Vec<String> {
        std::mem::take(&mut self.answers.lock().unwrap())
    }

    /// Changes a page.
    pub(crate) fn put(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }
}

fn answer(
    stream: &TcpStream,
    pages: &Mutex<BTreeMap<String, Page>>,
    answers: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut asked = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        asked.extend(
            line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())),
        );
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let page = pages.lock().unwrap().get(path).cloned();
    let (status, page) = match page {
        None => ("404 Not Found", Page::default()),
        Some(page) if page.is_known(&asked) => ("304 Not Modified", Page { body: Vec::new(), ..page }),
        Some(page) => ("200 OK", page),
    };
    answers.lock().unwrap().push(format!("{} {path}", &status[..3]));
    let mut head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", page.body.len());
    for (name, value) in &page.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if method != "HEAD" {
        stream.write_all(&page.body)?;
    }
    Ok(())
}

/// Asks for `/`, and gives the whole answer.
pub(crate) fn get(address: impl ToSocketAddrs) -> io::Result<String> {
    let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: wharf\r\n\r\n")?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A server that closes with our request half read resets the connection.
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset || answer.is_empty() => Err(error),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

/// Asks until a server that is just starting answers.
#[track_caller]
pub(crate) fn get_patiently(address: impl ToSocketAddrs + Copy) -> String {
    let mut answer = String::new();
    super::eventually("the server answers", || match get(address) {
        Ok(text) => {
            answer = text;
            !answer.is_empty()
        }
        Err(_) => false,
    });
    answer
}

/// A port that nobody listens at.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}
