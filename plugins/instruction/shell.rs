//! `SHELL ["program", "argument"]`: what runs the shell form of later commands.

use wharf_sdk::instruction::{Body, BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request, refuse};

struct Shell;

wharf_sdk::export_instruction!(Shell);

impl Instruction for Shell {
    fn describe() -> Vec<KeywordSpec> {
        vec![KeywordSpec::new("SHELL", "what runs the shell form of later commands", BodyKind::JsonOrText)]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "sets the shell of later commands")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        match &call.body {
            Body::Json(argv) if argv.is_empty() => Err(refuse("SHELL requires at least one argument")),
            Body::Json(argv) => Ok(Plan::config([ConfigChange::Shell(argv.clone())]).into()),
            _ => Err(refuse("SHELL requires the arguments to be in JSON form")
                .help("write `SHELL [\"/bin/bash\", \"-c\"]`")),
        }
    }
}
