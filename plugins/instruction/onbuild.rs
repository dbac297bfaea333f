//! `ONBUILD statement`: what is done right after FROM in a build on top of this image. The
//! statement is kept as it is written, here-documents included.

use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request, refuse};

struct OnBuild;

wharf_sdk::export_instruction!(OnBuild);

impl Instruction for OnBuild {
    fn describe() -> Vec<KeywordSpec> {
        let summary = "what is done right after FROM in a build on top of this image";
        vec![KeywordSpec::new("ONBUILD", summary, BodyKind::Text).with_heredocs()]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "keeps instructions for images built on this one")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let keyword = call.text().split_whitespace().next().unwrap_or_default().to_uppercase();
        match keyword.as_str() {
            "" => {
                return Err(
                    refuse("ONBUILD requires at least one argument").help("write `ONBUILD RUN command`")
                );
            }
            "ONBUILD" => return Err(refuse("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
            "FROM" | "MAINTAINER" => {
                return Err(refuse(format!("{keyword} isn't allowed as an ONBUILD trigger")));
            }
            _ => {}
        }
        let documents = call.heredocs.iter().flat_map(|heredoc| ["\n", &heredoc.content, &heredoc.name]);
        let trigger = std::iter::once(call.text()).chain(documents).collect();
        Ok(Plan::config([ConfigChange::OnBuild(trigger)]).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::testing::{Stage, text};

    #[test]
    fn triggers_are_kept_as_written() {
        for (call, trigger) in [
            (text("ONBUILD", "run  echo $X"), "run  echo $X"),
            (text("ONBUILD", "COPY <<a /x").with_heredoc("a", "1\n"), "COPY <<a /x\n1\na"),
        ] {
            let plan = OnBuild::plan(&call, &Stage::default());
            assert_eq!(plan, Ok(Plan::config([ConfigChange::OnBuild(trigger.into())]).into()));
        }
    }

    #[test]
    fn some_statements_can_not_be_triggers() {
        for (line, said) in [
            ("", "ONBUILD requires at least one argument"),
            ("onbuild RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
            ("FROM x", "FROM isn't allowed as an ONBUILD trigger"),
            ("maintainer x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ] {
            assert_eq!(OnBuild::plan(&text("ONBUILD", line), &Stage::default()).unwrap_err().message(), said);
        }
    }
}
