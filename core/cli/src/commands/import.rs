use std::fs::File;
use std::io::Read;

use wharf_engine::image::ImportOptions;
use wharf_model::Platform;

use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Make an image of a root file system in a tar
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Note for the image's history
    #[arg(short, long)]
    message: Option<String>,
    /// Dockerfile instruction for the image's config, such as `CMD ["sh"]`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// What it runs on, such as linux/arm64; this machine without it
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// File, address of the web, or - for standard input
    file: String,
    /// Name: REPOSITORY[:TAG]
    name: Option<String>,
}

impl Import {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        globals.clean_up_when_interrupted();
        let engine = globals.engine()?;
        let config =
            engine.changed_config(&self.change).map_err(|failure| super::build::report(engine, failure))?;
        let options = ImportOptions {
            name: self.name.clone(),
            message: self.message.clone(),
            config,
            epoch: source_date_epoch()?,
            platform: self.platform.clone(),
        };
        let is_address = self.file.starts_with("http://") || self.file.starts_with("https://");
        let imported = if is_address {
            engine.import_from(&self.file, options)
        } else {
            engine.import(open(&self.file)?, options)
        };
        let id = imported.map_err(Report::failed)?;
        output::lines([id.to_string()])?;
        Ok(0)
    }
}

/// A file, or standard input for `-`.
pub(super) fn open(name: &str) -> Result<Box<dyn Read>, Report> {
    if name == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    match File::open(name) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(Report::message(1, format!("cannot open {name}: {error}"))),
    }
}

/// Seconds since 1970, from the environment (reproducible-builds.org).
pub(super) fn source_date_epoch() -> Result<Option<i64>, Report> {
    std::env::var(EPOCH).ok().map(|text| seconds(&text)).transpose()
}

/// The name of the variable, and of the ARG of a build.
pub(super) const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// A time as that variable holds it.
pub(super) fn seconds(text: &str) -> Result<i64, Report> {
    let wrong = |_| Report::message(1, format!("{EPOCH} is `{text}`: expected seconds since 1970"));
    text.parse().map_err(wrong)
}
