use crate::globals::Globals;
use crate::report::Report;

/// Clean up after a container; its monitor runs this
#[derive(Debug, clap::Args)]
pub(crate) struct ContainerEnded {
    /// Id
    container: String,
}

impl ContainerEnded {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        globals.engine()?.ended(&self.container).map_err(Report::failed)?;
        Ok(0)
    }
}
