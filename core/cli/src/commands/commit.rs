use wharf_engine::container::CommitOptions;

use super::import::source_date_epoch;
use crate::globals::Globals;
use crate::output;
use crate::report::Report;

/// Make an image of a container as it is now
#[derive(Debug, clap::Args)]
pub(crate) struct Commit {
    /// Who made it, such as "A Sailor <sailor@example.org>"
    #[arg(short, long)]
    author: Option<String>,
    /// Note for the image's history
    #[arg(short, long)]
    message: Option<String>,
    /// Dockerfile instruction for the image's config, such as `CMD ["sh"]`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Hold its processes still meanwhile; --pause=false does not
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true")]
    #[arg(action = clap::ArgAction::Set)]
    pause: bool,
    /// Do not hold them still
    #[arg(long, conflicts_with = "pause")]
    no_pause: bool,
    /// Name or id
    container: String,
    /// Name of the image: REPOSITORY[:TAG]
    name: Option<String>,
}

impl Commit {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        globals.clean_up_when_interrupted();
        let options = CommitOptions {
            name: self.name.clone(),
            author: self.author.clone(),
            message: self.message.clone(),
            changes: self.change.clone(),
            pause: self.pause && !self.no_pause,
            epoch: source_date_epoch()?,
        };
        let committed = globals.engine()?.commit_container(&self.container, &options);
        let committed = committed.map_err(|error| {
            let hint = error.next_step();
            hint.into_iter().fold(Report::failed(error), Report::hint)
        })?;
        for warning in &committed.warnings {
            output::say(&format!("warning: {}", warning.message));
        }
        output::lines([committed.id.to_string()])?;
        Ok(0)
    }
}
