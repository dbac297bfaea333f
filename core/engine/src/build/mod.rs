//! From a Dockerfile to an image.
//!
//! | step | file | in -> out |
//! |---|---|---|
//! | 1 | `dockerfile/` | text -> statements; knows the grammar and no keyword |
//! | 2 | `plan.rs` | statements -> stages with a plan for each step; plugins answer here |
//! | 3 | `key.rs` | an op, what it stands on and what it reads -> a cache key |
//! | 4 | `graph.rs`, `schedule.rs` | steps -> an order, as much as possible side by side |
//! | 5 | `execute.rs`, `run.rs`, `copy/` | a step -> a layer |
//! | 6 | `commit.rs` | config and layers -> an image with names |
//! | 7 | `output/` | the image or its files -> where they are wanted |
//! | beside | `course.rs`, `provenance/` | what happened -> a graph of it; what went in -> a statement about the result |
//!
//! Everything is planned before anything is run, so a typing error in the last line costs
//! nothing. Only what the target needs is planned. A build that fails leaves the layers of the
//! steps that succeeded, in the cache, and nothing else.

pub mod agent;
mod bases;
mod builtin;
mod cached;
mod cancel;
mod change;
mod commit;
pub mod context;
pub mod copy;
mod course;
mod device;
pub mod dockerfile;
mod download;
mod execute;
mod expanding;
mod explain;
mod fetch;
mod gather;
mod git;
mod graph;
mod hint;
pub mod ignore;
mod inputs;
mod kept;
mod key;
mod layout;
mod lint;
pub(crate) mod look;
mod missing;
mod mounts;
mod named;
pub mod output;
pub mod owner;
pub mod pattern;
pub(crate) mod plan;
mod planned;
mod program;
mod progress;
pub(crate) mod provenance;
pub mod record;
mod rehearse;
mod request;
mod resolve;
mod run;
mod schedule;
pub mod secret;
pub mod share;
pub mod source;
mod stage;
mod tree;
mod turns;
mod unchanged;
mod verify;
pub mod words;

pub use builtin::ArgumentError;
pub(crate) use commit::forget_cache;
pub use course::{BuildGraph, GraphStep, StepState};
pub use explain::Explained;
pub use gather::GatherError;
pub use git::GitError;
pub use lint::Checked;
pub use named::NamedError;
pub use planned::{PlannedFile, PlannedStage, PlannedStep};
pub use program::{
    AllowedDevice, DebugShell, Entitlement, ExtraHost, NotAHost, NotAnEntitlement, ProgramOptions,
};
pub use progress::{BuildEvent, Outcome, Vertex};
pub use provenance::{Provenance, ProvenanceMode, ProvenanceSyntaxError};
pub(crate) use rehearse::Rehearsal;
pub use request::{BuildError, BuildFailure, BuildOptions, Built};
pub use verify::{NotReproducible, VerifyError};
pub use wharf_model::{Diagnostic, Severity};
pub use wharf_runtime::monitor::Stream;
