use std::io::Write;

use serde_json::{Value, json};

use wharf_engine::Engine;
use wharf_engine::disk::Scope;

use super::each;
use super::inspect::Shown;
use super::prune::{self, PruneArgs};
use crate::globals::Globals;
use crate::output;
use crate::render;
use crate::report::Report;

/// Work with volumes
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Volume {
    /// Make a volume
    Create {
        /// Name; one is made up without it
        name: Option<String>,
    },
    /// Print everything about volumes
    Inspect(Shown),
    /// List volumes
    #[command(visible_alias = "list")]
    Ls {
        /// Print names only
        #[arg(short, long)]
        quiet: bool,
    },
    /// Remove volumes that no container has
    Prune {
        /// Also those with a name of their own
        #[arg(short, long)]
        all: bool,
        #[command(flatten)]
        common: PruneArgs,
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
            Self::Inspect(shown) => {
                let mut found = Vec::new();
                let code = each(&shown.names, |name| {
                    found.push(fields(&engine.volume(name).map_err(Report::failed)?));
                    Ok(())
                })?;
                shown.print(found)?;
                Ok(code)
            }
            Self::Ls { quiet } => {
                list(&engine.volumes().map_err(Report::failed)?, *quiet)?;
                Ok(0)
            }
            Self::Prune { all, common } => prune_all(engine, *all, common),
            Self::Rm { force, names } => each(names, |name| match engine.remove_volume(name) {
                Ok(()) => Ok(output::lines([name])?),
                Err(wharf_engine::volume::VolumeError::Unknown(_)) if *force => Ok(()),
                Err(error) => Err(Report::failed(error)),
            }),
        }
    }
}

fn prune_all(engine: &Engine, all: bool, common: &PruneArgs) -> Result<u8, Report> {
    let keep = common.keep()?;
    let (scope, what) = if all { (Scope::Unused, "all") } else { (Scope::Dangling, "anonymous") };
    let warning = format!("This will remove {what} local volumes not used by at least one container.\n");
    if !common.confirmed(&warning)? {
        return Ok(0);
    }
    let pruned = engine.prune_volumes(scope, &keep).map_err(prune::failed)?;
    output::text(&(prune::section("Deleted Volumes", &pruned.removed) + &prune::total(pruned.bytes)))?;
    Ok(0)
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
