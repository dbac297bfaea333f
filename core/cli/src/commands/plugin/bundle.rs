use std::path::PathBuf;

use super::refused;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Write plugins into a file for a machine without a network, where `plugin add` takes it
#[derive(Debug, clap::Args)]
pub(crate) struct Bundle {
    /// Write to this file
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Bundle {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let bundled = engine.bundle_plugins(&self.names, &self.output).map_err(refused)?;
        output::lines(bundled.iter().map(|(name, digest)| format!("{digest}  {name}")))?;
        Ok(0)
    }
}
