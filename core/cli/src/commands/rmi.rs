use wharf_engine::image::{RemoveImageError, Removed};

use wharf_model::Platform;

use super::each;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Remove images
#[derive(Debug, clap::Args)]
pub(crate) struct Rmi {
    /// Also when a stopped container needs it or it has several names; one that is not there is no error
    #[arg(short, long)]
    force: bool,
    /// Keep untagged parents: images have none here, and layers that another image or the build cache needs stay
    #[arg(long)]
    no_prune: bool,
    /// Only the image for this platform, where a name has several; may be given again, or with commas
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Names or ids
    #[arg(required = true)]
    images: Vec<String>,
}

impl Rmi {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        each(&self.images, |name| match engine.remove_image(name, &self.platform, self.force) {
            Ok(removed) => Ok(output::lines(removed.iter().map(words))?),
            Err(RemoveImageError::Unknown(_)) if self.force => Ok(()),
            Err(error) => Err(Report::failed(error)),
        })
    }
}

fn words(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(reference) => format!("Untagged: {}", reference.familiar()),
        Removed::Deleted(digest) => format!("Deleted: {digest}"),
    }
}
