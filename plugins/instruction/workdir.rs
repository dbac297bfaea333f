//! `WORKDIR path`: where later commands and containers start. The directory is made now, with
//! the stage's USER as its owner. An absolute path stays in the config as it was written, with
//! its trailing slash, as with the other builders; a relative one is joined and cleaned.

use wharf_sdk::instruction::{
    BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Mkdir, Outcome, Owner, Plan,
};
use wharf_sdk::{Failure, Instruction, Request, path};

struct Workdir;

wharf_sdk::export_instruction!(Workdir);

impl Instruction for Workdir {
    fn describe() -> Vec<KeywordSpec> {
        vec![
            KeywordSpec::new("WORKDIR", "where later commands and containers start", BodyKind::Text)
                .expanding(),
        ]
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:config", "sets the directory of later commands"),
            Request::new("ops:write", "makes the directory"),
        ]
    }

    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure> {
        let written = call.argument()?;
        let directory = path::clean(written);
        let kept = if written.starts_with('/') { written.to_owned() } else { directory.clone() };
        let mut plan = Plan::config([ConfigChange::WorkingDir(kept)]);
        if directory != "/" {
            let owner = owner(&context.user())?;
            let label = format!("WORKDIR {directory}");
            plan.then(label, |base| Mkdir { base, path: directory, owner, mode: 0o755 });
        }
        Ok(plan.into())
    }
}

/// The stage's user as an owner; root needs no name.
fn owner(user: &str) -> Result<Option<Owner>, Failure> {
    if user.is_empty() { Ok(None) } else { user.parse().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::instruction::Input;
    use wharf_sdk::testing::{Stage, text};

    fn plan(line: &str, user: &str) -> Plan {
        let stage = Stage { user: user.into(), ..Stage::default() };
        match Workdir::plan(&text("WORKDIR", line), &stage) {
            Ok(Outcome::Plan(plan)) => plan,
            other => panic!("not a plan: {other:?}"),
        }
    }

    #[test]
    fn the_directory_is_made_for_the_user() {
        let plan = plan("/srv/app/", "app:staff");
        let owner = Some(Owner { user: "app".into(), group: Some("staff".into()) });
        let mkdir = Mkdir { base: Input::Stage, path: "/srv/app".into(), owner, mode: 0o755 };
        assert_eq!(plan.config, [ConfigChange::WorkingDir("/srv/app/".into())]);
        assert_eq!(plan.ops[0].action, mkdir.into());
        assert_eq!(plan.rootfs, Input::Op(0));
    }

    #[test]
    fn the_root_is_there_already() {
        assert!(plan("/", "").ops.is_empty());
        assert_eq!(plan("../x", "").config, [ConfigChange::WorkingDir("../x".into())]);
    }

    #[test]
    fn a_path_is_needed() {
        let error = Workdir::plan(&text("WORKDIR", " "), &Stage::default()).unwrap_err();
        assert_eq!(error.message(), "WORKDIR requires exactly one argument");
    }
}
