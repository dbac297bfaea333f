//! `UNSET WHAT [NAME ...]`: takes back what the base image says.
//!
//! ```text
//! UNSET ENV PGDATA LANG      UNSET VOLUME /var/lib/data    UNSET ENTRYPOINT
//! UNSET LABEL maintainer     UNSET EXPOSE 8080 53/udp      UNSET CMD
//! ```

use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Diagnostic, Failure, Instruction, Request, refuse};

const KINDS: &str = "ENV, LABEL, VOLUME, EXPOSE, ENTRYPOINT, CMD or USER";

struct Unset;

wharf_sdk::export_instruction!(Unset);

impl Instruction for Unset {
    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "changes the image's config")]
    }

    fn describe() -> Vec<KeywordSpec> {
        let summary = "take back an inherited ENV, LABEL, VOLUME, EXPOSE, ENTRYPOINT, CMD or USER";
        vec![KeywordSpec::new("UNSET", summary, BodyKind::Words).expanding()]
    }

    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure> {
        let Some((kind, names)) = call.words().split_first() else {
            return Err(refuse("UNSET requires what to take back").help(format!("write {KINDS}")));
        };
        let kind = kind.to_ascii_uppercase();
        let changes = match kind.as_str() {
            "ENTRYPOINT" | "CMD" | "USER" => vec![whole(&kind, names)?],
            "ENV" | "LABEL" | "VOLUME" | "EXPOSE" => named(&kind, names)?,
            _ => return Err(refuse(format!("UNSET {kind} is not known")).help(format!("write {KINDS}"))),
        };
        let plan = Plan::config(changes);
        let missing = names.iter().filter(|name| kind == "ENV" && context.env(name).is_none());
        Ok(missing.fold(plan, |plan, name| plan.diagnostic(not_set(name))).into())
    }
}

/// What an image has at most once.
fn whole(kind: &str, names: &[String]) -> Result<ConfigChange, Failure> {
    match (kind, names) {
        ("ENTRYPOINT", []) => Ok(ConfigChange::Entrypoint(vec![])),
        ("CMD", []) => Ok(ConfigChange::Cmd(vec![])),
        ("USER", []) => Ok(ConfigChange::User(String::new())),
        _ => Err(refuse(format!("UNSET {kind} takes no names")).help(format!("write `UNSET {kind}`"))),
    }
}

fn named(kind: &str, names: &[String]) -> Result<Vec<ConfigChange>, Failure> {
    if names.is_empty() {
        return Err(refuse(format!("UNSET {kind} requires at least one name")));
    }
    let change = |name: &String| match kind {
        "ENV" => ConfigChange::UnsetEnv(name.clone()),
        "LABEL" => ConfigChange::Unlabel(name.clone()),
        "VOLUME" => ConfigChange::Unvolume(name.clone()),
        _ if name.contains('/') => ConfigChange::Unexpose(name.to_ascii_lowercase()),
        _ => ConfigChange::Unexpose(format!("{name}/tcp")),
    };
    Ok(names.iter().map(change).collect())
}

fn not_set(name: &str) -> Diagnostic {
    Diagnostic::warning("unset/not-set", format!("the image sets no variable {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::testing::{Stage, words};

    fn unset(line: &str) -> Result<Plan, Failure> {
        let env = [("A".to_owned(), "1".to_owned())].into_iter().collect();
        match Unset::plan(&words("UNSET", line), &Stage { env, ..Stage::default() })? {
            Outcome::Plan(plan) => Ok(plan),
            other => panic!("not a plan: {other:?}"),
        }
    }

    #[test]
    fn each_kind_has_its_change() {
        let text = String::from;
        for (line, changes) in [
            ("env A B", vec![ConfigChange::UnsetEnv(text("A")), ConfigChange::UnsetEnv(text("B"))]),
            ("LABEL x", vec![ConfigChange::Unlabel(text("x"))]),
            ("VOLUME /d", vec![ConfigChange::Unvolume(text("/d"))]),
            (
                "EXPOSE 80 53/UDP",
                vec![ConfigChange::Unexpose(text("80/tcp")), ConfigChange::Unexpose(text("53/udp"))],
            ),
            ("ENTRYPOINT", vec![ConfigChange::Entrypoint(vec![])]),
            ("CMD", vec![ConfigChange::Cmd(vec![])]),
            ("USER", vec![ConfigChange::User(text(""))]),
        ] {
            assert_eq!(unset(line).unwrap().config, changes, "for {line}");
        }
    }

    #[test]
    fn a_variable_that_is_not_there_is_a_warning() {
        assert!(unset("ENV A").unwrap().diagnostics.is_empty());
        assert_eq!(unset("ENV B").unwrap().diagnostics[0].message, "the image sets no variable B");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, said) in [
            ("", "UNSET requires what to take back"),
            ("COPY x", "UNSET COPY is not known"),
            ("ENV", "UNSET ENV requires at least one name"),
            ("CMD x", "UNSET CMD takes no names"),
        ] {
            assert_eq!(unset(line).unwrap_err().message(), said, "for {line}");
        }
    }
}
