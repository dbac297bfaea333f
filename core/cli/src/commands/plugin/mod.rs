//! Work with plugins, one verb a file.

mod build;
mod new;

use crate::globals::Globals;
use crate::report::Report;

/// Write, build and manage plugins
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Plugin {
    Build(build::Build),
    New(new::New),
}

impl Plugin {
    pub(crate) fn run(&self, _globals: &Globals) -> Result<u8, Report> {
        match self {
            Self::Build(verb) => verb.run(),
            Self::New(verb) => verb.run(),
        }
    }
}
