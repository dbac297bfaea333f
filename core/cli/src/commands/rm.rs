use wharf_engine::container::{LookupError, RemoveError};

use super::each;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Remove containers
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Kill running ones first; one that is not there is no error
    #[arg(short, long)]
    force: bool,
    /// Remove their anonymous volumes too
    #[arg(short, long)]
    volumes: bool,
    /// Names or ids
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Rm {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        each(&self.containers, |name| match engine.remove(name, self.force, self.volumes) {
            Ok(_) => Ok(output::lines([name])?),
            Err(RemoveError::Lookup(LookupError::Unknown(_))) if self.force => Ok(()),
            Err(error @ RemoveError::Running { .. }) => {
                Err(Report::failed(error).hint(format!("stop it with `wharf stop {name}`, or add --force")))
            }
            Err(error) => Err(Report::failed(error)),
        })
    }
}
