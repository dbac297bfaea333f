//! What the author of a plugin runs: tests, conformance, measurements, and calls played again.
//!
//! # The test folder
//!
//! A plugin's project has its tests beside its source, a directory for each case:
//!
//! ```text
//! <project>/tests/<case>/
//!     settings.toml       the plugin's settings, `key = value`; none without it
//!
//!   an instruction
//!     Dockerfile          every statement is planned; those of this plugin are compared
//!     context/            the build context; empty without it
//!     args.toml           build arguments, `NAME = "value"`; none without it
//!     image.json          the `config` of every base image (Env, User, WorkingDir, ...); plain without it
//!     plan.json           what is expected: for each statement, what was read and planned
//!     error.txt           or the error that is expected, with its line, code and help
//!
//!   a hook
//!     event.json          what happens: {"container": {"image": "busybox:latest"}}; what is left out is plain
//!     image/              what an image that is committed holds, for a hook that looks into it
//!     verdict.json        what `judge` is expected to answer
//!     adjustments.json    what `adjust` is expected to answer
//!     error.txt           or the failure that is expected
//! ```
//!
//! Drivers need no cases: what they plan is carried out, see `inject/`. A case without an expected
//! file fails; `--bless` writes what came out, to be read before it is committed.
//!
//! The component is `--component`, else the newest `*.wasm` in the project's directory, its `build/`
//! and `dist/`, or `target/wasm32-unknown-unknown/release/`. A plugin under test is granted what its
//! manifest requests, no more, and shares keywords with nobody: a default plugin that has one of them
//! steps aside. No case sees the store, the network, the user's configuration or another case.
//!
//! # Golden files
//!
//! JSON in the words of the contract (`set-env`, `missing-ok`), fields in the contract's order, two
//! blanks deep. What is empty, absent or false is left out, so that a field that the contract gets
//! later changes no golden file. Modes are octal text, contents of files are text where they are.
//!
//! # What is checked besides
//!
//! Every call is made twice and has to plan the same; nothing may be asked for that was not
//! requested; what was requested and no case needs is noted.
//!
//! | file | |
//! |---|---|
//! | `workshop.rs` | a plugin by itself, with what it requests |
//! | `case.rs`, `golden.rs` | the folder; comparing and blessing |
//! | `instruction.rs`, `hook.rs` | carrying out a case |
//! | `bundle.rs`, `replay.rs` | records of calls, and making them again |

mod bench;
pub mod bundle;
mod case;
mod conformance;
mod event;
mod golden;
mod grants;
mod hook;
mod inject;
mod instruction;
mod outcome;
mod project;
mod replay;
mod workshop;

pub use bench::Bench;
pub use conformance::conformance;
pub use golden::{text as plan_text, unified};
pub use outcome::{Checked, Ended, Tested};
pub use project::{Project, ProjectError, Selection};
pub use replay::Replayed;
pub use workshop::{Candidate, Workshop, WorkshopError};
