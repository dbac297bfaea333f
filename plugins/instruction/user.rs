//! `USER user[:group]`: as whom later commands and containers run. The name is looked up when
//! something is run, not now: a later RUN may still make it.

use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request};

struct User;

wharf_sdk::export_instruction!(User);

impl Instruction for User {
    fn describe() -> Vec<KeywordSpec> {
        vec![
            KeywordSpec::new("USER", "as whom later commands and containers run", BodyKind::Text).expanding(),
        ]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "sets the user of later commands")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        Ok(Plan::config([ConfigChange::User(call.argument()?.into())]).into())
    }
}
