//! `ENV key=value ...`: the environment of later commands and of containers. The old form
//! `ENV key value` takes the rest of the line.

use wharf_instructions::lint;
use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request, refuse};

struct Env;

wharf_sdk::export_instruction!(Env);

impl Instruction for Env {
    fn describe() -> Vec<KeywordSpec> {
        vec![
            KeywordSpec::new("ENV", "variables of later commands and of containers", BodyKind::Pairs)
                .expanding(),
        ]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "sets variables")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let (pairs, legacy) = call.pairs();
        if pairs.is_empty() {
            return Err(refuse("ENV requires at least one argument"));
        }
        if pairs.iter().any(|(key, _)| key.is_empty()) {
            return Err(refuse("ENV names can not be blank"));
        }
        let mut plan = Plan::config(pairs.iter().cloned().map(ConfigChange::SetEnv));
        plan.diagnostics.extend(legacy.then(|| lint::legacy_pair("ENV")));
        plan.diagnostics.extend(pairs.iter().filter_map(|(key, _)| lint::secret("ENV", key)));
        Ok(plan.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::instruction::{Body, Pairs};
    use wharf_sdk::testing::{Stage, call};

    fn plan(items: &[(&str, &str)], legacy: bool) -> Result<Plan, Failure> {
        let items = items.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        match Env::plan(&call("ENV", Body::Pairs(Pairs { items, legacy })), &Stage::default())? {
            Outcome::Plan(plan) => Ok(plan),
            other => panic!("not a plan: {other:?}"),
        }
    }

    #[test]
    fn each_pair_sets_a_variable() {
        let both = plan(&[("A", "1"), ("B", "")], false).unwrap();
        let set = |key: &str, value: &str| ConfigChange::SetEnv((key.into(), value.into()));
        assert_eq!(both.config, [set("A", "1"), set("B", "")]);
        assert!(both.diagnostics.is_empty());
        assert!(plan(&[("", "1")], false).is_err());
    }

    #[test]
    fn the_old_form_works_with_a_warning() {
        let old = plan(&[("PRODUCTION_ENV", "1")], true).unwrap();
        assert_eq!(old.diagnostics[0].code, "LegacyKeyValueFormat");
        assert_eq!(
            old.diagnostics[0].message,
            "\"ENV key=value\" should be used instead of legacy \"ENV key value\" format"
        );
    }
}
