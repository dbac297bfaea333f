use wharf_engine::Engine;
use wharf_engine::image::{PullEvent, PullImageError, PullPolicy, Pulled};
use wharf_model::{Platform, Reference};

use super::content_trust::ContentTrust;
use crate::globals::Globals;
use crate::output;
use crate::progress::{Pulling, heading};
use crate::report::Report;

/// What `run`, `create` and `build` do without a word of it.
const VARIABLE: &str = "WHARF_PULL";

/// Bring an image from a registry
#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// Bring all that the repository has, with every tag
    #[arg(short, long)]
    all_tags: bool,
    /// Print the image's name only
    #[arg(short, long)]
    quiet: bool,
    /// The one for this platform, such as linux/arm64
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// The images for all platforms that there are
    #[arg(long, conflicts_with_all = ["platform", "all_tags"])]
    all_platforms: bool,
    #[command(flatten)]
    trust: ContentTrust,
    /// NAME[:TAG] or NAME@DIGEST
    name: String,
}

impl Pull {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        self.trust.check(1)?;
        let name = self.named()?;
        globals.clean_up_when_interrupted();
        let engine = globals.engine()?;
        if self.all_tags {
            return self.pull_all(engine, &name);
        }
        if self.name_is_short() && !self.quiet {
            output::lines(["Using default tag: latest"])?;
        }
        if self.all_platforms {
            self.pull_platforms(engine, &name)?;
        } else {
            self.pull(engine, &name, self.platform.as_ref())?;
        }
        output::lines([name.to_string()])?;
        Ok(0)
    }

    fn named(&self) -> Result<Reference, Report> {
        let named = self.name.parse().map_err(Report::failed);
        named.map_err(|report| match self.name.starts_with("ssh://") {
            true => {
                report.hint(format!("an image of another machine is brought with `wharf load {}`", self.name))
            }
            false => report,
        })
    }

    /// One after the other, the one for this machine last: it is what the name stands for then.
    fn pull_platforms(&self, engine: &Engine, name: &Reference) -> Result<(), Report> {
        let mut platforms = engine.remote_platforms(&self.name).map_err(|error| failed(1, error))?;
        if platforms.is_empty() {
            return self.pull(engine, name, None);
        }
        platforms.sort_by_key(|platform| platform.is_like(&Platform::host()));
        platforms.iter().try_for_each(|platform| {
            if !self.quiet {
                output::say(&format!("{platform}:"));
            }
            self.pull(engine, name, Some(platform))
        })
    }

    fn pull_all(&self, engine: &Engine, name: &Reference) -> Result<u8, Report> {
        if !self.name_is_short() {
            return Err(Report::message(1, "tag can't be used with --all-tags/-a"));
        }
        let names = engine.remote_tags(&self.name).map_err(|error| failed(1, error))?;
        if names.is_empty() {
            let message = format!("the repository {}/{} has no tag", name.domain(), name.path());
            return Err(Report::message(1, message).hint("check the name, or pull an image by its digest"));
        }
        names.iter().try_for_each(|name| self.pull(engine, name, self.platform.as_ref()))?;
        output::lines([format!("{}/{}", name.domain(), name.path())])?;
        Ok(0)
    }

    fn pull(&self, engine: &Engine, name: &Reference, platform: Option<&Platform>) -> Result<(), Report> {
        if !self.quiet {
            output::lines([heading(name)])?;
        }
        let mut progress = Pulling::new(self.quiet);
        let pulled = engine.pull(&name.to_string(), platform, &mut |event| match event {
            PullEvent::Begun(_) => {}
            event => progress.show(event),
        });
        let pulled = pulled.map_err(|error| failed(1, error))?;
        if !self.quiet {
            output::lines(ending(&pulled))?;
        }
        Ok(())
    }

    fn name_is_short(&self) -> bool {
        let last = self.name.rsplit('/').next().unwrap_or_default();
        !last.contains([':', '@'])
    }
}

/// Docker's last lines but one.
fn ending(pulled: &Pulled) -> [String; 2] {
    let status = if pulled.was_here { "Image is up to date" } else { "Downloaded newer image" };
    [format!("Digest: {}", pulled.digest), format!("Status: {status} for {}", pulled.name.familiar())]
}

/// Brings the image that a container is to be made of, if that is wanted; says so on standard error.
pub(super) fn bring(
    engine: &Engine,
    name: &str,
    platform: Option<&Platform>,
    policy: PullPolicy,
    quiet: bool,
) -> Result<(), Report> {
    let mut progress = Pulling::new(quiet);
    let pulled = engine.pull_for(name, platform, policy, &mut |event| {
        if let (PullEvent::Begun(full), PullPolicy::Missing) = (event, policy) {
            output::say(&format!("Unable to find image '{}' locally", full.familiar()));
        }
        // The container that is made of it says so as well.
        if !matches!(event, PullEvent::Foreign(_)) {
            progress.show(event);
        }
    });
    if let Some(pulled) = pulled.map_err(|error| failed(125, error))?.filter(|_| !quiet) {
        ending(&pulled).iter().for_each(|line| output::say(line));
    }
    Ok(())
}

/// `missing`, `always` or `never`.
pub(super) fn policy(text: &str) -> Option<PullPolicy> {
    match text {
        "missing" => Some(PullPolicy::Missing),
        "always" => Some(PullPolicy::Always),
        "never" => Some(PullPolicy::Never),
        _ => None,
    }
}

/// What `WHARF_PULL` says, for verbs whose `--pull` is a switch.
pub(super) fn usual() -> Result<PullPolicy, Report> {
    let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else {
        return Ok(PullPolicy::Missing);
    };
    policy(&text.to_string_lossy()).ok_or_else(|| {
        let message = format!("invalid {VARIABLE} \"{}\"", text.to_string_lossy());
        Report::message(1, message).hint("one of missing, always, never")
    })
}

fn failed(code: u8, error: PullImageError) -> Report {
    let hint = error.next_step();
    let report = Report::with_code(code, &error);
    hint.into_iter().fold(report, Report::hint)
}
