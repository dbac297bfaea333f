use std::path::Path;

use wharf_engine::image::Loaded;

use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Read images from an archive or an OCI layout
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Read this file, or the OCI layout in this directory, instead of standard input
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    input: String,
    /// Say nothing
    #[arg(short, long)]
    quiet: bool,
}

impl Load {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        globals.clean_up_when_interrupted();
        let engine = globals.engine()?;
        let path = Path::new(&self.input);
        let loaded = if path.is_dir() {
            engine.load_directory(path)
        } else {
            engine.load(super::import::open(&self.input)?)
        };
        let loaded = loaded.map_err(Report::failed)?;
        output::lines(loaded.iter().flat_map(words))?;
        Ok(0)
    }
}

fn words(image: &Loaded) -> Vec<String> {
    if image.names.is_empty() {
        return vec![format!("Loaded image ID: {}", image.id)];
    }
    image.names.iter().map(|name| format!("Loaded image: {}", name.familiar())).collect()
}
