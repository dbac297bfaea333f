//! What a build tells while it goes on.
//!
//! Steps run side by side, so every event says which one it is about: its place among the vertices of
//! [`BuildEvent::Planned`], which comes first but for base images. A step begins once, and then is finished, failed or canceled;
//! after [`BuildEvent::Restarted`] all of it is told again.

use std::time::Duration;

use wharf_model::Diagnostic;
use wharf_runtime::monitor::Stream;

use super::request::BuildError;
use crate::image::PullEvent;

/// Something a person may want to see.
#[derive(Debug)]
pub enum BuildEvent<'a> {
    /// Of a plugin, a hook or the parser.
    Warning {
        /// About which step, when it was carried out.
        step: Option<usize>,
        /// What.
        warning: &'a Diagnostic,
    },
    /// A base image comes, before anything is planned.
    Pull(PullEvent<'a>),
    /// All that is going to be done.
    Planned(&'a [Vertex]),
    /// A step begins.
    Started {
        /// Which.
        step: usize,
    },
    /// A program of the step wrote something.
    Output {
        /// Which step.
        step: usize,
        /// Where.
        stream: Stream,
        /// What, as it came.
        bytes: &'a [u8],
    },
    /// The step ended well.
    Finished {
        /// Which.
        step: usize,
        /// How.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
        /// Why it was or was not in the cache.
        why: &'a str,
    },
    /// The step failed, and so does the build.
    Failed {
        /// Which.
        step: usize,
        /// Why.
        error: &'a BuildError,
    },
    /// The step was given up, as another one failed.
    Canceled {
        /// Which.
        step: usize,
    },
    /// A program failed, and a shell begins where it did; it is over with the next event.
    DebugShell {
        /// Of which step.
        step: usize,
        /// The shell.
        command: &'a str,
    },
    /// A layer that was taken for known can not be had: all steps begin again.
    Restarted,
    /// A cache of another machine is read or written; what is done, in words.
    Caching(&'a str),
    /// The image is being written.
    Committing,
}

/// A step, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// The stage's name, or `stage-` and its number.
    pub stage: String,
    /// Which of how many in its stage, from 1; nothing for one that changes the config only.
    pub place: Option<(usize, usize)>,
    /// Where it begins in the Dockerfile.
    pub line: u32,
    /// As written.
    pub statement: String,
    /// The steps that must be finished before it begins.
    pub after: Vec<usize>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Its result was there already.
    Cached,
    /// It was carried out.
    Done,
    /// It changes the config only.
    Config,
}
