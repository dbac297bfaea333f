use std::path::PathBuf;

use wharf_engine::image::Form;
use wharf_model::Platform;

use crate::globals::Globals;
use crate::output::Archive;
use crate::report::Report;

/// Write images to an archive that docker, podman and OCI tools read
#[derive(Debug, clap::Args)]
pub(crate) struct Save {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Who shall be able to read it: docker-archive (OCI tools can, too) or oci-archive
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive",
        value_parser = ["docker-archive", "oci-archive"])]
    format: String,
    /// Only the images for this platform, where a name has several; may be given again, or with commas
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Names or ids
    #[arg(required = true)]
    images: Vec<String>,
}

impl Save {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let form = if self.format == "oci-archive" { Form::Oci } else { Form::Docker };
        Archive(self.output.as_deref())
            .write(&mut |out| engine.save(&self.images, &self.platform, form, out).map_err(Report::failed))?;
        Ok(0)
    }
}
