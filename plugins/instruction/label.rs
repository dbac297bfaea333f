//! `LABEL key=value ...`: words about the image. The old form `LABEL key value` takes the rest of
//! the line.

use wharf_instructions::lint;
use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request, refuse};

struct Label;

wharf_sdk::export_instruction!(Label);

impl Instruction for Label {
    fn describe() -> Vec<KeywordSpec> {
        vec![KeywordSpec::new("LABEL", "words about the image", BodyKind::Pairs).expanding()]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "adds labels")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let (pairs, legacy) = call.pairs();
        if pairs.is_empty() {
            return Err(refuse("LABEL requires at least one argument"));
        }
        if pairs.iter().any(|(key, _)| key.is_empty()) {
            return Err(refuse("LABEL names can not be blank"));
        }
        let mut plan = Plan::config(pairs.iter().cloned().map(ConfigChange::Label));
        plan.diagnostics.extend(legacy.then(|| lint::legacy_pair("LABEL")));
        Ok(plan.into())
    }
}
