use std::io::Write;

use serde_json::{Value, json};

use super::each;
use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;
use crate::template;

/// Work with volumes
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Volume {
    /// Make a volume
    Create {
        /// Name; one is made up without it
        name: Option<String>,
    },
    /// Print everything about volumes
    Inspect {
        /// Go template, or `json`
        #[arg(short, long, value_name = "TEMPLATE")]
        format: Option<String>,
        /// Names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// List volumes
    #[command(visible_alias = "list")]
    Ls {
        /// Print names only
        #[arg(short, long)]
        quiet: bool,
    },
    /// Remove volumes
    #[command(visible_alias = "remove")]
    Rm {
        /// One that is not there is no error
        #[arg(short, long)]
        force: bool,
        /// Names
        #[arg(required = true)]
        names: Vec<String>,
    },
}

impl Volume {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        match self {
            Self::Create { name } => {
                let volume = engine.new_volume(name.as_deref()).map_err(Report::failed)?;
                output::lines([volume.name])?;
                Ok(0)
            }
            Self::Inspect { format, names } => {
                let mut found = Vec::new();
                let code = each(names, |name| {
                    found.push(fields(&engine.volume(name).map_err(Report::failed)?));
                    Ok(())
                })?;
                print(&found, format.as_deref())?;
                Ok(code)
            }
            Self::Ls { quiet } => {
                list(&engine.volumes().map_err(Report::failed)?, *quiet)?;
                Ok(0)
            }
            Self::Rm { force, names } => each(names, |name| match engine.remove_volume(name) {
                Ok(()) => Ok(output::lines([name])?),
                Err(wharf_engine::volume::VolumeError::Unknown(_)) if *force => Ok(()),
                Err(error) => Err(Report::failed(error)),
            }),
        }
    }
}

fn print(found: &[Value], format: Option<&str>) -> Result<(), Report> {
    match format {
        Some(format) => {
            let lines: Result<Vec<String>, Report> =
                found.iter().map(|value| template::one(format, value)).collect();
            Ok(output::lines(lines?)?)
        }
        None => Ok(output::lines([super::inspect::pretty(&Value::Array(found.to_vec()))])?),
    }
}

fn list(volumes: &[wharf_engine::volume::Volume], quiet: bool) -> Result<(), Report> {
    if quiet {
        return Ok(output::lines(volumes.iter().map(|volume| &volume.name))?);
    }
    let rows: Vec<Vec<String>> =
        volumes.iter().map(|volume| vec!["local".to_owned(), volume.name.clone()]).collect();
    let mut out = output::data();
    render::table(&mut out, &["DRIVER", "VOLUME NAME"], &rows)?;
    Ok(out.flush()?)
}

/// Docker's keys.
pub(super) fn fields(volume: &wharf_engine::volume::Volume) -> Value {
    json!({
        "CreatedAt": volume.created,
        "Driver": "local",
        "Labels": volume.labels.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "Mountpoint": volume.path,
        "Name": volume.name,
        "Options": null,
        "Scope": "local",
    })
}
