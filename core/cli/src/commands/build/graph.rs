//! `--graph`: how a build went, as a picture.
//!
//! | file | what it does |
//! |---|---|
//! | `layout.rs` | steps -> where their boxes and lines are |
//! | `drawing.rs` | boxes and lines -> SVG |
//!
//! The same graph gives the same bytes. Text from the Dockerfile is escaped by the `svg` crate, and what would
//! be no XML is written as an escape.

mod drawing;
mod layout;

use std::fs;
use std::path::PathBuf;

use wharf_engine::build::{BuildEvent, BuildGraph};

use crate::report::Report;

/// Where to.
#[derive(Debug, clap::Args)]
pub(super) struct GraphArgs {
    /// Draw how the build went, also when it fails: an SVG with each step, what it waited for, how long it
    /// took, and why it was cached or not
    #[arg(long, value_name = "FILE")]
    graph: Option<PathBuf>,
}

/// The graph of a build while it goes on.
pub(super) struct Graph<'a> {
    args: &'a GraphArgs,
    graph: BuildGraph,
}

impl GraphArgs {
    pub(super) fn begin(&self) -> Graph<'_> {
        Graph { args: self, graph: BuildGraph::default() }
    }
}

impl Graph<'_> {
    pub(super) fn hear(&mut self, event: &BuildEvent<'_>) {
        if self.args.graph.is_some() {
            self.graph.hear(event);
        }
    }

    /// Of a build that had no plan there is nothing to draw.
    pub(super) fn write(&self) -> Result<(), Report> {
        let Some(path) = self.args.graph.as_ref().filter(|_| !self.graph.steps.is_empty()) else {
            return Ok(());
        };
        let failed = |error| Report::message(1, format!("cannot write {}: {error}", path.display()));
        fs::write(path, drawing::svg(&self.graph)).map_err(failed)
    }
}
