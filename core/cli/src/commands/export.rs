use std::path::PathBuf;

use crate::globals::Globals;
use crate::output::Archive;
use crate::report::Report;

/// Write the files of a container to a tar
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Name or id
    container: String,
}

impl Export {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        Archive(self.output.as_deref())
            .write(&mut |out| engine.export(&self.container, out).map_err(Report::failed))?;
        Ok(0)
    }
}
