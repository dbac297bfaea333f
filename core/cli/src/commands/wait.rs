use super::each;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Wait until containers end, and print their exit codes
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// Names or ids
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Wait {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        each(&self.containers, |name| {
            let exit = engine.wait(name).map_err(Report::failed)?;
            Ok(output::lines([exit.code.to_string()])?)
        })
    }
}
