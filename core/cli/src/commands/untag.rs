use crate::globals::Globals;
use crate::report::Report;

/// Take names from an image, which stays
#[derive(Debug, clap::Args)]
pub(crate) struct Untag {
    /// Name or id
    image: String,
    /// Its names that go; all of them without any
    names: Vec<String>,
}

impl Untag {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        globals.engine()?.untag_image(&self.image, &self.names).map_err(Report::failed)?;
        Ok(0)
    }
}
