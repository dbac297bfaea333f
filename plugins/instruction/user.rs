//! `USER user[:group]`: as whom later commands and containers run. The name is looked up when
//! something is run, not now: a later RUN may still make it.

use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction};

struct User;

wharf_sdk::export_instruction!(User);

impl Instruction for User {
    fn describe() -> Vec<KeywordSpec> {
        vec![
            KeywordSpec::new("USER", "as whom later commands and containers run", BodyKind::Text).expanding(),
        ]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        Ok(Plan::config([ConfigChange::User(call.argument()?.into())]).into())
    }
}
