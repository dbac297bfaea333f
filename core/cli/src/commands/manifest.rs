use wharf_engine::image::{Annotation, ManifestError, Proof};

use super::each;
use super::inspect::pretty;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Put images of several platforms together under one name, in a registry
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Manifest {
    Add(Add),
    /// Say what an entry of a manifest list is for
    Annotate(Annotate),
    /// Begin a manifest list of images that a registry has
    Create {
        /// Put them into a list that there is
        #[arg(short, long)]
        amend: bool,
        #[command(flatten)]
        registry: RegistryArgs,
        /// What it will be called: NAME[:TAG]
        list: String,
        /// What a registry calls them; of an index, all its entries
        images: Vec<String>,
    },
    /// Print a manifest, or a manifest list
    Inspect {
        /// With the manifests of its entries
        #[arg(short, long)]
        verbose: bool,
        #[command(flatten)]
        registry: RegistryArgs,
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
        #[command(flatten)]
        registry: RegistryArgs,
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

/// How the registry is asked.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct RegistryArgs {
    /// Take any certificate, and HTTP where the registry speaks no TLS
    #[arg(long)]
    insecure: bool,
}

impl RegistryArgs {
    fn proof(self) -> Proof {
        if self.insecure { Proof::None } else { Proof::Needed }
    }
}

/// Put images that a registry has into a manifest list that there is
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Of an index, all its entries: always done
    #[arg(long)]
    all: bool,
    /// Note in the list about them
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    platform: PlatformArgs,
    /// The list
    list: String,
    /// What a registry calls them
    #[arg(required = true)]
    images: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Annotate {
    #[command(flatten)]
    platform: PlatformArgs,
    /// The list
    list: String,
    /// What the entry is called
    image: String,
}

/// What an entry is for.
#[derive(Debug, clap::Args)]
pub(crate) struct PlatformArgs {
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
}

impl Manifest {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        match self {
            Self::Add(verb) => {
                let said = Annotation { notes: notes(&verb.annotation)?, ..verb.platform.said() };
                let images: Vec<String> = verb.images.iter().map(|image| in_registry(image)).collect();
                let proof = verb.registry.proof();
                let added = engine.add_to_manifest_list(&verb.list, &images, &said, proof);
                output::lines([added.map_err(failed)?.to_string()])?;
            }
            Self::Annotate(verb) => {
                let said = verb.platform.said();
                engine.annotate_manifest_list(&verb.list, &verb.image, &said).map_err(failed)?;
            }
            Self::Create { amend, registry, list, images } => {
                let made = engine.create_manifest_list(list, images, *amend, registry.proof());
                output::lines([format!("Created manifest list {}", made.map_err(failed)?)])?;
            }
            Self::Inspect { verbose, registry, first, second } => {
                let found = match second {
                    Some(image) => engine.inspect_member(first, image, registry.proof()),
                    None => engine.inspect_manifest(first, *verbose, registry.proof()),
                };
                output::lines([pretty(&found.map_err(failed)?)])?;
            }
            Self::Push { purge, registry, list } => {
                let digest = engine.push_manifest_list(list, *purge, registry.proof()).map_err(failed)?;
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

impl PlatformArgs {
    fn said(&self) -> Annotation {
        Annotation {
            os: self.os.clone(),
            architecture: self.arch.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            notes: Vec::new(),
        }
    }
}

/// Podman also names the way to a registry.
fn in_registry(image: &str) -> String {
    image.strip_prefix("docker://").unwrap_or(image).to_owned()
}

fn notes(texts: &[String]) -> Result<Vec<(String, String)>, Report> {
    let note = |text: &String| {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Report::message(1, format!("invalid annotation `{text}`: expected NAME=VALUE")))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    texts.iter().map(note).collect()
}

fn failed(error: ManifestError) -> Report {
    let hint = error.next_step();
    let report = Report::failed(error);
    hint.into_iter().fold(report, Report::hint)
}
