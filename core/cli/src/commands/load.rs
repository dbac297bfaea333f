use std::io::IsTerminal;
use std::path::Path;

use wharf_engine::Engine;
use wharf_engine::image::{Elsewhere, ElsewhereError, Loaded, Pulled, Via};
use wharf_model::{Platform, Reference};

use crate::globals::Globals;
use crate::output;
use crate::progress::Pulling;
use crate::report::Report;

/// Used in place of `ssh`, with arguments.
const SSH: &str = "WHARF_SSH";
/// Starts wharf on the other machine.
const REMOTE: &str = "WHARF_REMOTE";

/// Read images from an archive, an OCI layout or another machine
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Read this file, or the OCI layout in this directory, instead of standard input
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    input: String,
    /// Print the names only
    #[arg(short, long)]
    quiet: bool,
    /// Ask the one on standard input and output for this image
    #[arg(long, hide = true, value_name = "NAME")]
    stdio: Option<Reference>,
    /// Only the images for this platform, which has to be there; may be given again, or with commas
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// ssh://[USER@]HOST[:PORT]/NAME, an image on another machine
    #[arg(conflicts_with_all = ["input", "stdio"])]
    from: Option<String>,
}

impl Load {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let from: Option<Elsewhere> =
            self.from.as_ref().map(|from| from.parse()).transpose().map_err(failed)?;
        globals.clean_up_when_interrupted();
        let engine = globals.engine()?;
        match (from, &self.stdio) {
            (Some(from), _) => self.load_elsewhere(engine, &from),
            (None, Some(name)) => self.load_from_line(engine, name),
            (None, None) => self.load(engine),
        }
    }

    fn load(&self, engine: &Engine) -> Result<u8, Report> {
        if self.input == "-" && std::io::stdin().is_terminal() {
            return Err(Report::message(1, "requested load from stdin, but stdin is empty")
                .hint("give an archive with `-i FILE` or `< FILE`"));
        }
        let path = Path::new(&self.input);
        let loaded = if path.is_dir() {
            engine.load_directory(path, &self.platform)
        } else {
            engine.load(super::import::open(&self.input)?, &self.platform)
        };
        let loaded = loaded.map_err(|error| {
            let hint = error.next_step();
            hint.into_iter().fold(Report::failed(error), Report::hint)
        })?;
        let mut lines: Vec<String> = loaded.iter().flat_map(words).collect();
        // A name has an image for each platform.
        let mut said = std::collections::HashSet::new();
        lines.retain(|line| said.insert(line.clone()));
        output::lines(lines)?;
        Ok(0)
    }

    /// Each platform over a line of its own, the one for this machine last: it is what the name stands for then.
    fn load_elsewhere(&self, engine: &Engine, from: &Elsewhere) -> Result<u8, Report> {
        let mut platforms: Vec<Option<&Platform>> = self.platform.iter().map(Some).collect();
        platforms.sort_by_key(|platform| platform.is_some_and(|it| it.is_like(&Platform::host())));
        if platforms.is_empty() {
            platforms.push(None);
        }
        for platform in platforms {
            let mut progress = Pulling::new(self.quiet);
            let pulled = engine.load_elsewhere(from, &via(), platform, &mut |event| progress.show(event));
            output::lines([came(&pulled.map_err(failed)?)])?;
        }
        Ok(0)
    }

    /// Standard output is the line; what is to be said goes to standard error.
    fn load_from_line(&self, engine: &Engine, name: &Reference) -> Result<u8, Report> {
        let line = super::serve_registry::standard().map_err(Report::failed)?;
        let mut progress = Pulling::new(self.quiet);
        let wanted = (name, self.platform.first());
        let pulled =
            engine.load_from_line(wanted, line, &mut |event| progress.show(event)).map_err(failed)?;
        if !self.quiet {
            output::say(&came(&pulled));
        }
        Ok(0)
    }
}

/// How other machines are reached, as the environment says.
pub(super) fn via() -> Via {
    let said = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    let ssh = said(SSH).unwrap_or_else(|| "ssh".to_owned());
    let ssh = ssh.split_whitespace().map(str::to_owned).collect();
    Via { ssh, wharf: said(REMOTE).unwrap_or_else(|| "wharf".to_owned()), quiet: false }
}

fn came(pulled: &Pulled) -> String {
    format!("Loaded image: {}", pulled.name.familiar())
}

fn words(image: &Loaded) -> Vec<String> {
    if image.names.is_empty() {
        return vec![format!("Loaded image ID: {}", image.id)];
    }
    image.names.iter().map(|name| format!("Loaded image: {}", name.familiar())).collect()
}

pub(super) fn failed(error: ElsewhereError) -> Report {
    let hint = error.next_step();
    let report = Report::failed(error);
    hint.into_iter().fold(report, Report::hint)
}
