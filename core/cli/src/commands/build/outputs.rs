//! Where the result of a build goes.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;

use wharf_engine::build::output::Output;

use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct Outputs {
    /// Where the result goes: a directory, - for a tar on standard output, or type=local, tar, oci,
    /// docker, image, registry or cacheonly with dest=PATH; several are fine
    #[arg(short, long, value_name = "OUTPUT")]
    output: Vec<String>,
    /// Keep the image here: always done when no other output is asked for
    #[arg(long)]
    load: bool,
    /// Keep the image here, and send it to where its names say
    #[arg(long)]
    push: bool,
}

impl Outputs {
    pub(super) fn parsed(&self) -> Result<Vec<Output>, Report> {
        let stream = io::stdout().as_fd().try_clone_to_owned();
        let stream =
            stream.map_err(|error| Report::message(1, format!("cannot use standard output: {error}")))?;
        let stream = Arc::new(File::from(stream));
        let parse = |text: &String| {
            Output::parse(text, &stream).map_err(|error| Report::message(1, error.to_string()))
        };
        let mut outputs: Vec<Output> = self.output.iter().map(parse).collect::<Result<_, _>>()?;
        if self.load && !outputs.is_empty() {
            outputs.push(Output::Image(Vec::new()));
        }
        if self.push {
            outputs.push(Output::Registry(Vec::new()));
        }
        Ok(outputs)
    }

    /// True when standard output is one of them: then nothing else may be written there.
    pub(super) fn refuse_to_mix(&self, outputs: &[Output], explain: bool) -> Result<bool, Report> {
        let count = outputs.iter().filter(|output| output.is_stream()).count();
        let refuse = |text: &str| Err(Report::message(1, text).hint("give one of them a file: dest=FILE"));
        match count {
            0 => Ok(false),
            1 if explain => refuse("standard output can not get both the result and what --explain says"),
            1 if io::stdout().is_terminal() => {
                Err(Report::message(1, "refusing to write an archive to a terminal")
                    .hint("use dest=FILE, or a pipe"))
            }
            1 => Ok(true),
            _ => refuse("standard output can not get several results"),
        }
    }
}
