//! `MAINTAINER name`: who made the image. Deprecated, and still understood.

use wharf_instructions::lint;
use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request};

struct Maintainer;

wharf_sdk::export_instruction!(Maintainer);

impl Instruction for Maintainer {
    fn describe() -> Vec<KeywordSpec> {
        vec![KeywordSpec::new("MAINTAINER", "who made the image (deprecated: use LABEL)", BodyKind::Text)]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "sets the image's author")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let author = call.argument()?;
        let warning = lint::warn(
            "MaintainerDeprecated",
            "Maintainer instruction is deprecated in favor of using label",
        )
        .help(format!("write `LABEL org.opencontainers.image.authors=\"{author}\"`"));
        Ok(Plan::config([ConfigChange::Author(author.into())]).diagnostic(warning).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::testing::{Stage, text};

    #[test]
    fn the_author_is_the_rest_of_the_line() {
        let outcome = Maintainer::plan(&text("MAINTAINER", "geebos <g@b.c>"), &Stage::default());
        let Ok(Outcome::Plan(plan)) = outcome else { panic!("not a plan") };
        assert_eq!(plan.config, [ConfigChange::Author("geebos <g@b.c>".into())]);
        assert_eq!(plan.diagnostics[0].code, "MaintainerDeprecated");
        assert!(Maintainer::plan(&text("MAINTAINER", ""), &Stage::default()).is_err());
    }
}
