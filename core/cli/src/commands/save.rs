use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use wharf_engine::Engine;
use wharf_engine::image::Form;
use wharf_model::Platform;

use crate::globals::Globals;
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
    /// The images for this platform, where a name has several
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Names or ids
    #[arg(required = true)]
    images: Vec<String>,
}

impl Save {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        match &self.output {
            Some(path) => self.to_file(engine, path)?,
            None if io::stdout().is_terminal() => {
                return Err(Report::message(1, "refusing to write an archive to a terminal")
                    .hint("use -o FILE, or a pipe"));
            }
            None => self.write(engine, io::stdout().lock())?,
        }
        Ok(0)
    }

    /// The file appears when it is whole.
    fn to_file(&self, engine: &Engine, path: &PathBuf) -> Result<(), Report> {
        let failed =
            |error: io::Error| Report::message(1, format!("cannot write {}: {error}", path.display()));
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return self.write(engine, File::create(path).map_err(failed)?);
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let file = File::create(&part).map_err(failed)?;
        let written = self
            .write(engine, &file)
            .and_then(|()| file.sync_all().and_then(|()| fs::rename(&part, path)).map_err(failed));
        written.inspect_err(|_| drop(fs::remove_file(&part)))
    }

    fn write(&self, engine: &Engine, out: impl Write) -> Result<(), Report> {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        let form = if self.format == "oci-archive" { Form::Oci } else { Form::Docker };
        engine.save(&self.images, self.platform.as_ref(), form, &mut out).map_err(Report::failed)?;
        Ok(out.flush()?)
    }
}
