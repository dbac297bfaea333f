//! A front of a registry that is unwell when a test wants it: it reads whole questions, unlike `proxy.rs`, which knows
//! bytes only, and hands them on when they are whole, as many a front does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// `GET`, `PATCH` ...
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// All lines, as they came.
    head: String,
}

impl Question {
    /// Whether it is one of this method, and holds this text in its path.
    pub(crate) fn is(&self, method: &str, text: &str) -> bool {
        self.method == method && self.path.contains(text)
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What becomes of a question.
#[derive(Debug, Clone)]
pub(crate) enum Mishap {
    /// Nothing: the registry answers.
    None,
    /// The registry is not asked: status, headers and body.
    Answer(u16, Vec<(&'static str, String)>, &'static str),
    /// One byte of the answer is another one.
    Spoil,
    /// The answer has so many bytes only, and says so.
    Shorten(usize),
    /// The answer has so many bytes more, and says so.
    Lengthen(usize),
    /// The line is cut after so many bytes of the answer.
    Cut(usize),
    /// The line is cut after so many bytes of the question came; the registry hears nothing of it.
    Drop(usize),
    /// The registry is asked in this name.
    As(&'static str),
}

/// Says what becomes of a question.
type Fate = dyn Fn(&Question) -> Mishap + Send + Sync;

/// It stands until the test process ends.
#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Question>>>,
}

impl Front {
    /// Before a port of the loopback.
    pub(crate) fn before(port: u16, fate: impl Fn(&Question) -> Mishap + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let (asked, fate): (_, Arc<Fate>) = (Arc::clone(&front.asked), Arc::new(fate));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (asked, fate) = (Arc::clone(&asked), Arc::clone(&fate));
                thread::spawn(move || {
                    let _ = serve(&client, port, &asked, &*fate);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        front
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The name of an image behind it.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// What was asked so far, of this method and with this text in its path.
    pub(crate) fn asked(&self, method: &str, text: &str) -> Vec<Question> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|question| question.is(method, text)).cloned().collect()
    }
}

/// One question for each connection.
fn serve(client: &TcpStream, port: u16, asked: &Mutex<Vec<Question>>, fate: &Fate) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let question = Question { method, path, head };
    asked.lock().unwrap().push(question.clone());
    let mishap = fate(&question);
    let length = question.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if let Mishap::Drop(count) = mishap {
        reader.read_exact(&mut vec![0; count.min(length)])?;
        return Ok(());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let answer = match &mishap {
        Mishap::Answer(status, headers, text) => said(*status, headers, text),
        Mishap::As(user) => {
            let login = format!("\r\nAuthorization: {user}\r\n");
            from_behind(port, &question.head.replacen("\r\n", &login, 1), &body)?
        }
        _ => from_behind(port, &question.head, &body)?,
    };
    (&*client).write_all(&changed(answer, &mishap))
}

fn said(status: u16, headers: &[(&'static str, String)], text: &str) -> Vec<u8> {
    let mut head =
        format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n", text.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    format!("{head}\r\n{text}").into_bytes()
}

/// All of the registry's answer.
fn from_behind(port: u16, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
    server.write_all(body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}

fn changed(mut answer: Vec<u8>, mishap: &Mishap) -> Vec<u8> {
    let begin = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
    match mishap {
        Mishap::Spoil => {
            let middle = begin + (answer.len() - begin) / 2;
            answer[middle] ^= 1;
        }
        Mishap::Shorten(count) => answer = with_length(&answer[..begin], &answer[begin..begin + count]),
        Mishap::Lengthen(count) => {
            answer.extend(vec![7; *count]);
            answer = with_length(&answer[..begin], &answer[begin..]);
        }
        Mishap::Cut(count) => answer.truncate(begin + count),
        Mishap::None | Mishap::Answer(..) | Mishap::Drop(_) | Mishap::As(_) => {}
    }
    answer
}

/// With another length than it was to have.
fn with_length(head: &[u8], body: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(head);
    let lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("Content-Length")).collect();
    let head = format!(
        "{}Content-Length: {}\r\n\r\n",
        lines.join("\r\n").trim_end().to_owned() + "\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
