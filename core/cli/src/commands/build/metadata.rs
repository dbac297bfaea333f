//! What a finished build leaves in files: `--iidfile` and `--metadata-file`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use wharf_engine::build::Built;

use crate::report::Report;

/// Where to.
#[derive(Debug, clap::Args)]
pub(super) struct MetadataArgs {
    /// Write the image's id to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write the image's digests and names to a file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
}

impl MetadataArgs {
    /// A build that fails leaves no id of an earlier one.
    pub(super) fn forget(&self) -> Result<(), Report> {
        match self.iidfile.as_ref().map(|path| (path, fs::remove_file(path))) {
            Some((path, Err(error))) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed(path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Writes what was asked for.
    pub(super) fn write(&self, built: &Built) -> Result<(), Report> {
        if let (Some(path), Some(id)) = (&self.iidfile, built.id) {
            fs::write(path, id.to_string()).map_err(|error| failed(path, &error))?;
        }
        if let Some(path) = &self.metadata_file {
            let text = serde_json::to_string_pretty(&metadata(built)).map_err(Report::failed)?;
            fs::write(path, text + "\n").map_err(|error| failed(path, &error))?;
        }
        Ok(())
    }
}

/// buildx's keys. As with docker's own store of images, what names an image is its config.
fn metadata(built: &Built) -> serde_json::Value {
    let mut keys = match built.id {
        Some(id) => json!({ "containerimage.config.digest": id, "containerimage.digest": id }),
        None => json!({}),
    };
    if let Some(predicate) = &built.provenance {
        keys["buildx.build.provenance"] = predicate.clone();
    }
    if !built.names.is_empty() {
        let names: Vec<String> = built.names.iter().map(ToString::to_string).collect();
        keys["image.name"] = names.join(",").into();
    }
    keys
}

fn failed(path: &Path, error: &std::io::Error) -> Report {
    Report::message(1, format!("cannot write {}: {error}", path.display()))
}
