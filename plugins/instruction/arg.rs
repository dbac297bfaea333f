//! `ARG name[=default] ...`: what `--build-arg` may set. Before the first FROM it is for FROM lines.

use wharf_instructions::lint;
use wharf_sdk::instruction::{Body, BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request, refuse};

struct Arg;

wharf_sdk::export_instruction!(Arg);

impl Instruction for Arg {
    fn describe() -> Vec<KeywordSpec> {
        let keyword = KeywordSpec::new("ARG", "what --build-arg may set", BodyKind::Assignments);
        vec![keyword.expanding().before_from()]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "declares build arguments")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let Body::Assignments(assignments) = &call.body else {
            return Err(refuse("ARG requires at least one argument"));
        };
        if assignments.is_empty() {
            return Err(refuse("ARG requires at least one argument"));
        }
        if assignments.iter().any(|(name, _)| name.is_empty()) {
            return Err(refuse("ARG names can not be blank"));
        }
        let mut plan = Plan::config(assignments.iter().cloned().map(ConfigChange::DeclareArg));
        plan.diagnostics.extend(assignments.iter().filter_map(|(name, _)| lint::secret("ARG", name)));
        Ok(plan.into())
    }
}
