//! The example network driver whose addresses come from a server.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::{Sandbox, eventually};

/// An address management with one network, as an organisation might have it.
struct Ipam {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    down: Arc<AtomicBool>,
}

#[derive(Default)]
struct Book {
    /// Container to the last byte of its address.
    leases: BTreeMap<String, u8>,
    /// `Idempotency-Key` to what was answered.
    answers: BTreeMap<String, String>,
    /// Method, path and key of each request.
    requests: Vec<(String, String, String)>,
    /// So many of the next leases are given, and the answer is lost.
    lose: u32,
    /// So many of the next ones are refused with 503.
    busy: u32,
    full: bool,
}

impl Ipam {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::new(Mutex::new(Book::default()));
        let down = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&book), Arc::clone(&down));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let _ = serve(&stream, &shared);
            }
        });
        Self { address, book, down }
    }

    /// Nobody listens any more.
    fn stop(&self) {
        self.down.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        eventually("the server is down", || TcpStream::connect(self.address).is_err());
    }

    fn url(&self) -> String {
        format!("http://{}/v1/", self.address)
    }

    fn leases(&self) -> BTreeMap<String, u8> {
        self.book.lock().unwrap().leases.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Book)) {
        change(&mut self.book.lock().unwrap());
    }

    /// The keys of all requests of that kind since the last time.
    fn keys(&self, method: &str) -> Vec<String> {
        let requests = std::mem::take(&mut self.book.lock().unwrap().requests);
        requests.into_iter().filter(|(found, ..)| found == method).map(|(_, _, key)| key).collect()
    }
}

fn serve(stream: &TcpStream, book: &Mutex<Book>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let found = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
        found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let mut body = vec![0; header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut words = lines.first().map(String::as_str).unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut book = book.lock().unwrap();
    let key = header("idempotency-key").unwrap_or_default();
    book.requests.push((method.to_owned(), path.to_owned(), key.clone()));
    if book.busy > 0 {
        book.busy -= 1;
        return answer(stream, "503 Service Unavailable", "");
    }
    let (status, text) = book.carry_out(method, path, &key, &String::from_utf8_lossy(&body));
    if method == "POST" && book.lose > 0 {
        book.lose -= 1;
        return Ok(());
    }
    answer(stream, status, &text)
}

impl Book {
    fn carry_out(&mut self, method: &str, path: &str, key: &str, body: &str) -> (&'static str, String) {
        match (method, path.strip_prefix("/v1/networks/office")) {
            ("GET", Some("")) => ("200 OK", r#"{"subnet":"10.88.0.0/24","gateway":"10.88.0.1"}"#.to_owned()),
            // As a server does that remembers keys for a day.
            ("POST", Some("/leases")) if self.answers.contains_key(key) => {
                ("200 OK", self.answers[key].clone())
            }
            ("POST", Some("/leases")) if self.full => ("409 Conflict", "no address is free\n".to_owned()),
            ("POST", Some("/leases")) => {
                let container = body.split('"').nth(3).unwrap_or_default().to_owned();
                let taken: BTreeSet<u8> = self.leases.values().copied().collect();
                let number = (7..255).find(|number| !taken.contains(number)).unwrap();
                self.leases.insert(container, number);
                let text = format!(r#"{{"address":"10.88.0.{number}/24"}}"#);
                self.answers.insert(key.to_owned(), text.clone());
                ("201 Created", text)
            }
            ("DELETE", Some(rest)) => {
                let container = rest.trim_start_matches("/leases/");
                let there = self.leases.remove(container).is_some();
                (if there { "204 No Content" } else { "404 Not Found" }, String::new())
            }
            _ => ("404 Not Found", "no such network\n".to_owned()),
        }
    }
}

fn answer(mut stream: &TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn sandbox(ipam: &Ipam) -> Sandbox {
    let url = ipam.url();
    let more = format!(
        "grants = {{ ops = [\"link\", \"address\", \"sysctl\", \"firewall\"], remote = [\"{url}\"] }}\n\
         settings = {{ server = \"{url}\" }}"
    );
    Sandbox::new().with_example("[network.office]\ndriver = \"ipam\"", "ipam", "network", &more)
}

#[test]
fn a_container_has_a_leased_address_until_it_ends() {
    let ipam = Ipam::start();
    let box_ = sandbox(&ipam);
    box_.run("run -d --network office --name one busybox sleep 60").success();
    box_.run("run -d --network office --name two busybox sleep 60").success();
    assert_eq!(box_.inspect("one", "{{.NetworkSettings.IPAddress}}"), "10.88.0.7");
    let id = box_.inspect("one", "{{.Id}}");
    assert_eq!(ipam.leases().get(&id), Some(&7));
    box_.run("exec two ping -c 1 -W 2 10.88.0.7").success();
    box_.run("exec two ping -c 1 -W 2 10.88.0.1").success();
    box_.run("rm -f one").success();
    assert!(!ipam.leases().contains_key(&id), "the lease was given back");
    let shown = box_.run("run --rm --network office busybox ip -o -4 addr show eth0").success();
    assert!(shown.stdout.contains("10.88.0.7/24"), "the address is free again\n{shown}");
    box_.run("rm -f two").success();
    assert_eq!(ipam.leases(), BTreeMap::new());
}

#[test]
fn a_call_that_is_repeated_has_one_effect() {
    let ipam = Ipam::start();
    let box_ = sandbox(&ipam);
    ipam.change(|book| book.busy = 2);
    box_.run("run -d --network office --name one busybox sleep 60").success();
    assert!(ipam.keys("GET").len() >= 3, "it was busy twice");
    // The server leases, and its answer never arrives.
    ipam.change(|book| book.lose = 1);
    box_.run("stop -t 0 one").success();
    box_.run("start one").success();
    let keys = ipam.keys("POST");
    assert!(keys.len() == 2 && keys[0] == keys[1], "one key for both: {keys:?}");
    assert_eq!(ipam.leases().len(), 1, "{:?}", ipam.leases());
    box_.run("rm -f one").success();
    assert_eq!(ipam.leases(), BTreeMap::new());
}

#[test]
fn what_the_server_refuses_is_told_and_leaves_nothing() {
    let ipam = Ipam::start();
    let box_ = sandbox(&ipam);
    ipam.change(|book| book.full = true);
    let run = ["run", "--rm", "--network", "office", "busybox", "true"];
    box_.refuses(125, &run, &["plugin `ipam`", "409", "no address is free"]);
    ipam.change(|book| book.full = false);
    ipam.stop();
    box_.refuses(125, &run, &["plugin `ipam`", "cannot reach", &ipam.url(), "refused"]);
    assert_eq!(ipam.leases(), BTreeMap::new());
}

/// A container is removed although the server that would take its lease back is gone.
#[test]
fn a_server_that_is_down_blocks_no_removal() {
    let ipam = Ipam::start();
    let box_ = sandbox(&ipam);
    box_.run("run -d --network office --name one busybox sleep 60").success();
    ipam.stop();
    box_.run("rm -f one").success();
    box_.run("ps -aq").success().prints("");
}

#[test]
fn an_address_that_is_not_granted_is_never_called() {
    let ipam = Ipam::start();
    let box_ = sandbox(&ipam);
    let run = ["run", "--rm", "--network", "office", "busybox", "true"];
    let ops = "ops = [\"link\", \"address\", \"sysctl\", \"firewall\"]";
    let settings = format!("settings = {{ server = \"{}\" }}", ipam.url());
    let office = "[network.office]\ndriver = \"ipam\"";
    let other = format!("grants = {{ {ops}, remote = [\"https://other.example/v1/\"] }}\n{settings}");
    let box_ = box_.with_example(office, "ipam", "network", &other);
    box_.refuses(125, &run, &["ipam", "[plugin.ipam]", "grants.remote", &ipam.url()]);
    let none = format!("grants = {{ {ops} }}\n{settings}");
    let box_ = box_.with_example(office, "ipam", "network", &none);
    box_.refuses(125, &run, &["ipam", "[plugin.ipam]", "grants.remote"]);
    assert!(ipam.book.lock().unwrap().requests.is_empty());
}
