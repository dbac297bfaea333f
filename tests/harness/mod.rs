//! What every test stands on: a sandbox, images from bytes, a terminal, a web server, and a look at
//! what is left behind.

mod busybox;
mod components;
mod docker;
mod front;
mod output;
mod proxy;
mod python;
mod registry;
mod sandbox;
mod small;
mod ssh;
mod terminal;
mod tokens;
mod traces;
mod turn;
mod web;

pub(crate) use components::configured;
pub(crate) use docker::Docker;
pub(crate) use front::{Front, Mishap, Question};
pub(crate) use output::Output;
pub(crate) use proxy::Proxy;
pub(crate) use registry::{Asked, Registry};
pub(crate) use sandbox::{Sandbox, program};
pub(crate) use small::Small;
pub(crate) use ssh::Ssh;
pub(crate) use terminal::Terminal;
pub(crate) use tokens::Tokens;
pub(crate) use traces::Traces;
pub(crate) use web::{Page, Web, free_port, get, get_patiently};

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The repository.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Waits until something holds, for ten seconds at most.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "still not so after ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a program of the host that the test needs; it has to succeed.
pub(crate) fn host(argv: &[&str]) -> String {
    let output = std::process::Command::new(argv[0]).args(&argv[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {argv:?}: {error}"));
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether the host has a program.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).exists())
}
