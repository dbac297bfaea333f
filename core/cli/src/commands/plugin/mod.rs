//! `wharf plugin`: one verb a file.

mod add;
mod approve;
mod bench;
mod build;
mod bundle;
mod grant;
mod inspect;
mod lock;
mod ls;
mod new;
mod push;
mod remove;
mod replay;
mod rights;
mod test;
mod update;
mod wit;

use wharf_engine::plugin::{ChangeError, Origin, Whose};

use crate::globals::Globals;
use crate::report::Report;

/// Work with plugins: what there is, what each may do, and where its code is from
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Plugin {
    Add(add::Add),
    Approve(approve::Approve),
    Bench(bench::Bench),
    Build(build::Build),
    Bundle(bundle::Bundle),
    Grant(grant::Grant),
    Inspect(inspect::Inspect),
    Lock(lock::Lock),
    #[command(visible_alias = "list")]
    Ls(ls::Ls),
    New(new::New),
    Push(push::Push),
    #[command(visible_alias = "rm")]
    Remove(remove::Remove),
    Replay(replay::Replay),
    Test(test::Test),
    Update(update::Update),
    Wit(wit::Wit),
}

impl Plugin {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        match self {
            Self::Add(verb) => verb.run(globals),
            Self::Approve(verb) => verb.run(globals),
            Self::Bench(verb) => verb.run(globals),
            Self::Build(verb) => verb.run(),
            Self::Bundle(verb) => verb.run(globals),
            Self::Grant(verb) => verb.run(globals),
            Self::Inspect(verb) => verb.run(globals),
            Self::Lock(verb) => verb.run(globals),
            Self::Ls(verb) => verb.run(globals),
            Self::New(verb) => verb.run(),
            Self::Push(verb) => verb.run(globals),
            Self::Remove(verb) => verb.run(globals),
            Self::Replay(verb) => verb.run(globals),
            Self::Test(verb) => verb.run(globals),
            Self::Update(verb) => verb.run(globals),
            Self::Wit(verb) => verb.run(),
        }
    }
}

/// Which config file a command changes.
#[derive(Debug, clap::Args)]
struct Target {
    /// Write into the machine's config instead of the user's
    #[arg(long, conflicts_with = "user")]
    site: bool,
    /// Write into the user's config, which is what happens without it
    #[arg(long)]
    user: bool,
}

impl Target {
    fn whose(&self) -> Whose {
        match (self.site, self.user) {
            (true, _) => Whose::Site,
            (false, true) => Whose::User,
            (false, false) => Whose::Mine,
        }
    }
}

/// Where code is from; a wrong reference is no wrong option, as with docker.
fn origin(text: &str) -> Result<Origin, Report> {
    text.parse().map_err(|error: String| Report::message(1, error))
}

fn refused(error: ChangeError) -> Report {
    let hint = error.next_step();
    let report = Report::failed(error);
    match hint {
        Some(hint) => report.hint(hint),
        None => report,
    }
}
