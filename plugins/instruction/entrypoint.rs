//! `ENTRYPOINT ["program", "argument"]` or `ENTRYPOINT line`: what a container always runs. The line
//! form ignores the arguments of `run`.

use wharf_instructions::{command, lint};
use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request};

struct Entrypoint;

wharf_sdk::export_instruction!(Entrypoint);

impl Instruction for Entrypoint {
    fn describe() -> Vec<KeywordSpec> {
        vec![KeywordSpec::new("ENTRYPOINT", "what a container always runs", BodyKind::JsonOrText)]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "sets the entrypoint")]
    }

    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure> {
        let argv = command::argv(call, context);
        let mut plan = Plan::config([ConfigChange::Entrypoint(argv)]);
        if command::needs_default_shell(call, context) {
            let message = "JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals";
            plan = plan.diagnostic(lint::warn("JSONArgsRecommended", message));
        }
        Ok(plan.into())
    }
}
