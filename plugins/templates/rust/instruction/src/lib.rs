//! `__KEYWORD__ TEXT` writes a text to `/etc/__name__` and labels the image with it.

use wharf_sdk::instruction::{
    BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan, Write,
};
use wharf_sdk::{Failure, Instruction, Request, refuse};

struct __Type__;

wharf_sdk::export_instruction!(__Type__);

impl Instruction for __Type__ {
    fn describe() -> Vec<KeywordSpec> {
        vec![KeywordSpec::new("__KEYWORD__", "writes a text into the image", BodyKind::Text).expanding()]
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:write", "writes /etc/__name__"),
            Request::new("ops:config", "sets the label __name__"),
        ]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let text = call.text();
        if text.is_empty() {
            return Err(refuse("__KEYWORD__ requires a text").help("write `__KEYWORD__ some words`"));
        }
        let mut plan = Plan::config([ConfigChange::Label(("__name__".into(), text.into()))]);
        plan.then("write /etc/__name__", |base| Write {
            base,
            path: "/etc/__name__".into(),
            content: format!("{text}\n").into_bytes(),
            owner: None,
            mode: 0o644,
        });
        Ok(plan.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::testing::{Stage, text};

    #[test]
    fn a_text_is_required() {
        let plan = |line| __Type__::plan(&text("__KEYWORD__", line), &Stage::default());
        assert!(plan("some words").is_ok());
        assert_eq!(plan("").unwrap_err().message(), "__KEYWORD__ requires a text");
    }
}
