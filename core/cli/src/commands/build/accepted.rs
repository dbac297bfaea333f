//! What docker's `build` takes and what means nothing here, or nothing yet.

use super::super::content_trust::ContentTrust;
use crate::report::Report;

/// Options that change nothing.
#[derive(Debug, clap::Args)]
pub(super) struct AcceptedArgs {
    /// Remove what a step was made in: always done
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: Option<bool>,
    /// The same for a step that failed: always done
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    force_rm: Option<bool>,
    /// Compress a context that is sent to a daemon: there is none
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    compress: Option<bool>,
    /// How Windows isolates containers
    #[arg(long, hide = true, value_name = "HOW", value_parser = ["", "default"])]
    isolation: Option<String>,
    /// Make one layer of all that are new: not possible
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    squash: bool,
    /// Notes of a manifest, which no image here has
    #[arg(long, hide = true, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    #[command(flatten)]
    trust: ContentTrust,
}

impl AcceptedArgs {
    /// Says what would be missed, and refuses what would give another image than was asked for.
    pub(super) fn check(&self) -> Result<(), Report> {
        self.trust.check(1)?;
        if self.squash {
            let hint = "copy what is wanted into a stage of its own: `FROM scratch` and `COPY --from=0 / /`";
            return Err(
                Report::message(1, "cannot squash: an image keeps the layers of its steps").hint(hint)
            );
        }
        if let Some(annotation) = self.annotation.first() {
            let message =
                format!("cannot annotate with `{annotation}`: images here have no manifest to keep it in");
            return Err(Report::message(1, message).hint("use `--label`, which the image's config keeps"));
        }
        Ok(())
    }
}
