//! What a build tells while it goes on.

use std::time::Duration;

use wharf_model::Diagnostic;
use wharf_runtime::monitor::Stream;

/// Something a person may want to see.
#[derive(Debug)]
pub enum BuildEvent<'a> {
    /// Of a plugin or the parser.
    Warning(&'a Diagnostic),
    /// A step begins: `number` of `total`, in the stage called `stage`.
    Started {
        /// From 1.
        number: usize,
        /// How many steps the build has.
        total: usize,
        /// The stage's name, or its number.
        stage: &'a str,
        /// The statement.
        label: &'a str,
    },
    /// A program of the step wrote something.
    Output {
        /// Where.
        stream: Stream,
        /// What, as it came.
        bytes: &'a [u8],
    },
    /// The step ended well.
    Finished {
        /// How.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
    /// A program failed, and a shell begins where it did; it is over with the next event.
    DebugShell {
        /// The shell.
        command: &'a str,
    },
    /// The image is being written.
    Committing,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its result was there already.
    Cached,
    /// It was carried out.
    Done,
    /// It changes the config only.
    Config,
}
