use super::each;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Stop containers and start them again
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
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

impl Restart {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        each(&self.containers, |name| {
            engine.restart(name, self.signal.as_deref(), self.time).map_err(Report::failed)?;
            Ok(output::lines([name])?)
        })
    }
}
