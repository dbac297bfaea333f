use super::{Target, refused};
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Remove plugins: their definition, their pin and the copy of their code
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    target: Target,
    /// Names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Remove {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        crate::commands::each(&self.names, |name| {
            engine.remove_plugin(name, self.target.whose()).map_err(refused)?;
            Ok(output::lines([name])?)
        })
    }
}
