use wharf_engine::Engine;
use wharf_engine::image::{Elsewhere, PushImageError, Via};
use wharf_model::{Platform, Reference};

use super::content_trust::ContentTrust;
use super::load;
use crate::globals::Globals;
use crate::output;
use crate::progress::Pushing;
use crate::report::Report;

/// Send an image to the registry that its name says, or to another machine
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// Send all that are called so, with every tag
    #[arg(short, long)]
    all_tags: bool,
    /// Print the image's name only
    #[arg(short, long)]
    quiet: bool,
    /// Only the image for this platform, where the name has several
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    #[command(flatten)]
    trust: ContentTrust,
    /// NAME[:TAG], or ssh://[USER@]HOST[:PORT]/NAME[:TAG] for another machine's store
    name: String,
}

impl Push {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        self.trust.check(1)?;
        if self.name.contains("://") {
            return self.push_elsewhere(globals);
        }
        let name: Reference = self.name.parse().map_err(Report::failed)?;
        globals.clean_up_when_interrupted();
        let engine = globals.engine()?;
        let names = if self.all_tags { self.tags(engine, &name)? } else { vec![name] };
        if !self.quiet {
            let repository = names.first().map(|name| format!("{}/{}", name.domain(), name.path()));
            output::lines(repository.map(|name| format!("The push refers to repository [{name}]")))?;
        }
        names.iter().try_for_each(|name| self.push(engine, name))?;
        Ok(0)
    }

    fn push_elsewhere(&self, globals: &Globals) -> Result<u8, Report> {
        if self.all_tags {
            return Err(Report::message(1, "--all-tags/-a is for registries"));
        }
        let to: Elsewhere = self.name.parse().map_err(load::failed)?;
        globals.clean_up_when_interrupted();
        let via = Via { quiet: self.quiet, ..load::via() };
        globals.engine()?.push_elsewhere(&to, &via, self.platform.as_ref()).map_err(load::failed)?;
        let sent = format!("Sent {} to {}", to.name.familiar(), to.host);
        output::lines([if self.quiet { to.name.to_string() } else { sent }])?;
        Ok(0)
    }

    fn push(&self, engine: &Engine, name: &Reference) -> Result<(), Report> {
        let mut progress = Pushing::new(self.quiet);
        let pushed =
            engine.push(&name.to_string(), self.platform.as_ref(), &mut |event| progress.show(&event));
        let pushed = pushed.map_err(failed)?;
        let line = if self.quiet {
            name.to_string()
        } else {
            format!("{}: digest: {} size: {}", name.tag().unwrap_or_default(), pushed.digest, pushed.size)
        };
        Ok(output::lines([line])?)
    }

    /// Every name here of the same repository.
    fn tags(&self, engine: &Engine, name: &Reference) -> Result<Vec<Reference>, Report> {
        if self.name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
            return Err(Report::message(1, "tag can't be used with --all-tags/-a"));
        }
        let images = engine.images().map_err(Report::failed)?;
        let same = |other: &Reference| {
            (other.domain(), other.path()) == (name.domain(), name.path()) && other.digest().is_none()
        };
        let mut names: Vec<Reference> =
            images.into_iter().filter_map(|image| image.name).filter(same).collect();
        names.sort();
        if names.is_empty() {
            let message = format!("An image does not exist locally with the tag: {}", name.familiar_name());
            return Err(Report::message(1, message));
        }
        Ok(names)
    }
}

/// Sends what was built, and says so on standard error.
pub(super) fn send(engine: &Engine, name: &Reference, quiet: bool) -> Result<(), Report> {
    let mut progress = Pushing::new(quiet);
    let pushed = engine.push(&name.to_string(), None, &mut |event| progress.show(&event)).map_err(failed)?;
    if !quiet {
        output::say(&format!("pushed {}, digest {}", name.familiar(), pushed.digest));
    }
    Ok(())
}

fn failed(error: PushImageError) -> Report {
    let hint = error.next_step();
    let report = Report::failed(error);
    hint.into_iter().fold(report, Report::hint)
}
