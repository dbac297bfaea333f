use super::each;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Send a signal to running containers
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    /// Name or number
    #[arg(short, long, default_value = "SIGKILL")]
    signal: String,
    /// Names or ids
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Kill {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        each(&self.containers, |name| {
            engine.kill(name, &self.signal).map_err(Report::failed)?;
            Ok(output::lines([name])?)
        })
    }
}
