//! `CMD ["program", "argument"]` or `CMD line`: what a container runs by default, or the default
//! arguments of its ENTRYPOINT.

use wharf_instructions::{command, lint};
use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request};

struct Cmd;

wharf_sdk::export_instruction!(Cmd);

impl Instruction for Cmd {
    fn describe() -> Vec<KeywordSpec> {
        vec![KeywordSpec::new("CMD", "what a container runs by default", BodyKind::JsonOrText)]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "sets the command")]
    }

    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure> {
        let argv = command::argv(call, context);
        let mut plan = Plan::config([ConfigChange::Cmd(argv)]);
        if command::needs_default_shell(call, context) {
            let message =
                "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals";
            plan = plan.diagnostic(lint::warn("JSONArgsRecommended", message));
        }
        Ok(plan.into())
    }
}
