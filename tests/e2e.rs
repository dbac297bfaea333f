//! End-to-end tests: sessions with the `wharf` program, as a person would type them.
//!
//! Every test has a root, a run root and a config of its own, and starts from images that the
//! harness makes from bytes. When it is over, what the kernel shows is what it showed before.
//!
//! `./dev test` builds the program and runs everything. The program under test is `$WHARF`, or
//! `target/release/wharf`.

#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]

mod bad_input;
mod build;
mod deploy;
mod events;
mod harness;
mod hooks;
mod http_server;
mod image;
mod layering;
mod manage;
mod network;
mod plugin;
mod run;
