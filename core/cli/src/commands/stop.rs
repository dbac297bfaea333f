use super::each;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Stop running containers
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    /// Seconds until SIGKILL; -1 waits for ever
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS", allow_hyphen_values = true)]
    time: Option<i64>,
    /// Signal to send
    #[arg(short, long)]
    signal: Option<String>,
    /// Names or ids
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Stop {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        each(&self.containers, |name| {
            engine.stop(name, self.signal.as_deref(), self.time).map_err(Report::failed)?;
            Ok(output::lines([name])?)
        })
    }
}
