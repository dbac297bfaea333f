//! Docker's switch for images that are signed with Notary.

use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct ContentTrust {
    /// Do not look at signatures of Docker Content Trust: always so
    #[arg(long, hide_short_help = true, num_args = 0..=1, require_equals = true, value_name = "BOOL")]
    #[arg(action = clap::ArgAction::Set, default_value = "true", default_missing_value = "true")]
    disable_content_trust: bool,
}

impl ContentTrust {
    /// An error with this exit code: whoever wants signatures to be looked at must not get what nobody looked at.
    pub(crate) fn check(&self, code: u8) -> Result<(), Report> {
        if self.disable_content_trust {
            return Ok(());
        }
        Err(Report::message(
            code,
            "there is no Docker Content Trust here: its signatures can not be looked at",
        )
        .hint("enable the plugin `image-trust`, which demands signatures of images by their names"))
    }
}
