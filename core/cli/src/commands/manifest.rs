use wharf_engine::image::{Annotation, ManifestError};

use super::each;
use super::inspect::pretty;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Put images of several platforms together under one name, in a registry
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Manifest {
    /// Say what an entry of a manifest list is for
    Annotate(Annotate),
    /// Begin a manifest list of images that a registry has
    Create {
        /// Put them into a list that there is
        #[arg(short, long)]
        amend: bool,
        /// What it will be called: NAME[:TAG]
        list: String,
        /// What a registry calls them; of an index, all its entries
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// Print a manifest, or a manifest list
    Inspect {
        /// With the manifests of its entries
        #[arg(short, long)]
        verbose: bool,
        /// Of this list, the entry
        #[arg(value_name = "LIST")]
        first: String,
        /// What the entry is called
        #[arg(value_name = "IMAGE")]
        second: Option<String>,
    },
    /// Send a manifest list to the registry that its name says
    Push {
        /// Forget it here afterwards
        #[arg(short, long)]
        purge: bool,
        /// Its name
        list: String,
    },
    /// Forget manifest lists that were put together here
    Rm {
        /// Their names
        #[arg(required = true)]
        lists: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Annotate {
    /// Go's name of the processor
    #[arg(long, value_name = "ARCHITECTURE")]
    arch: Option<String>,
    /// Go's name of the system
    #[arg(long)]
    os: Option<String>,
    /// What the system must have
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    os_features: Vec<String>,
    /// Which the system must be
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// Of the processor
    #[arg(long)]
    variant: Option<String>,
    /// The list
    list: String,
    /// What the entry is called
    image: String,
}

impl Manifest {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        match self {
            Self::Annotate(verb) => {
                engine.annotate_manifest_list(&verb.list, &verb.image, verb.said()).map_err(failed)?;
            }
            Self::Create { amend, list, images } => {
                let name = engine.create_manifest_list(list, images, *amend).map_err(failed)?;
                output::lines([format!("Created manifest list {name}")])?;
            }
            Self::Inspect { verbose, first, second } => {
                let found = match second {
                    Some(image) => engine.inspect_member(first, image),
                    None => engine.inspect_manifest(first, *verbose),
                };
                output::lines([pretty(&found.map_err(failed)?)])?;
            }
            Self::Push { purge, list } => {
                let digest = engine.push_manifest_list(list, *purge).map_err(failed)?;
                output::lines([digest.to_string()])?;
            }
            Self::Rm { lists } => {
                // Whoever takes one away does not want to hear how to make it.
                return each(lists, |list| engine.remove_manifest_list(list).map_err(Report::failed));
            }
        }
        Ok(0)
    }
}

impl Annotate {
    fn said(&self) -> Annotation {
        Annotation {
            os: self.os.clone(),
            architecture: self.arch.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
        }
    }
}

fn failed(error: ManifestError) -> Report {
    let hint = error.next_step();
    let report = Report::failed(error);
    hint.into_iter().fold(report, Report::hint)
}
