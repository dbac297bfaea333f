//! A line to a server that breaks or falls silent when a test wants it to.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Passes bytes on until the test process ends.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that came from the server.
    passed: AtomicU64,
    /// A connection is cut after so many of them; 0 is never.
    cut: AtomicU64,
    /// All lines fall silent once so many have passed; 0 is never.
    hold: AtomicU64,
    /// Bytes pass one at a time once so many have; 0 is never.
    trickle: AtomicU64,
}

impl Proxy {
    /// To a port of the loopback.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&proxy.state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                thread::spawn(move || connect(client, port, &state));
            }
        });
        proxy
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The name of an image behind it.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Bytes that came from the server so far.
    pub(crate) fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::SeqCst)
    }

    /// From now on every connection is cut after so many bytes from the server.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.state.cut.store(bytes, Ordering::SeqCst);
    }

    /// Nothing passes any more once so many bytes more have.
    pub(crate) fn hold_after(&self, bytes: u64) {
        self.state.hold.store(self.passed() + bytes, Ordering::SeqCst);
    }

    /// Bytes pass one at a time once so many more have.
    pub(crate) fn trickle_after(&self, bytes: u64) {
        self.state.trickle.store(self.passed() + bytes, Ordering::SeqCst);
    }

    /// All passes again.
    pub(crate) fn heal(&self) {
        self.state.cut.store(0, Ordering::SeqCst);
        self.state.hold.store(0, Ordering::SeqCst);
        self.state.trickle.store(0, Ordering::SeqCst);
    }
}

fn connect(client: TcpStream, port: u16, state: &Arc<State>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    pass(server, &client, state);
    let _ = client.shutdown(Shutdown::Both);
}

/// From the server to the client.
fn pass(mut server: TcpStream, mut client: &TcpStream, state: &State) {
    let (mut buffer, mut own) = (vec![0; 16 << 10], 0);
    while let Ok(count) = server.read(&mut buffer)
        && count > 0
    {
        while is_over(&state.hold, state.passed.load(Ordering::SeqCst)) {
            thread::sleep(Duration::from_millis(20));
        }
        own += count as u64;
        if is_over(&state.cut, own) {
            return;
        }
        let trickles = is_over(&state.trickle, state.passed.load(Ordering::SeqCst));
        for piece in buffer[..count].chunks(if trickles { 1 } else { count }) {
            if client.write_all(piece).is_err() {
                return;
            }
            state.passed.fetch_add(piece.len() as u64, Ordering::SeqCst);
            thread::sleep(if trickles { Duration::from_millis(20) } else { Duration::ZERO });
        }
    }
}

fn is_over(limit: &AtomicU64, bytes: u64) -> bool {
    let limit = limit.load(Ordering::SeqCst);
    limit != 0 && bytes >= limit
}
