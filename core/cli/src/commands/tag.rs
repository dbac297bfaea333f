use crate::globals::Globals;
use crate::report::Report;

/// Give an image a further name
#[derive(Debug, clap::Args)]
pub(crate) struct Tag {
    /// Name or id
    image: String,
    /// New name: REPOSITORY[:TAG]
    name: String,
}

impl Tag {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        globals.engine()?.tag(&self.image, &self.name).map_err(Report::failed)?;
        Ok(0)
    }
}
