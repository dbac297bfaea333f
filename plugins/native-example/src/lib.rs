//! `STAMP key value ...`: leaves a mark in the image, as a file below `/etc/stamp` and as a label.
//!
//! ```text
//! cargo build --release -p wharf-stamp                    -> libstamp.so
//! sha256sum libstamp.so
//!
//! [plugin.stamp]
//! world  = "instruction"
//! source = "file:/usr/lib/wharf/libstamp.so"
//! digest = "sha256:..."
//! trust  = "native-full"
//! grants = { ops = ["write", "config"] }
//! ```
//!
//! The same source compiled for `wasm32-unknown-unknown` is a component, and needs no trust.

use wharf_sdk::instruction::{
    BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan, Write,
};
use wharf_sdk::{Failure, Instruction, Request, Settings, host, refuse, setting};

struct Stamp;

wharf_sdk::export_instruction!(Stamp);

impl Instruction for Stamp {
    fn describe() -> Vec<KeywordSpec> {
        vec![KeywordSpec::new("STAMP", "leave a mark in the image", BodyKind::Words).expanding()]
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:write", "writes the mark into the image"),
            Request::new("ops:config", "sets the label"),
        ]
    }

    fn validate_settings(settings: &Settings) -> Result<(), Failure> {
        setting::only(settings, &["prefix"])
    }

    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure> {
        let [key, value @ ..] = call.words() else {
            return Err(refuse("STAMP requires a key").help("write `STAMP release 1.4`"));
        };
        if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(refuse(format!("`{key}` is not a key")).help("use letters, digits and `-`"));
        }
        let settings = host::settings();
        let prefix = setting::text(&settings, "prefix").unwrap_or("stamp");
        let platform = context.target_platform();
        let value = if value.is_empty() { platform.architecture } else { value.join(" ") };
        let mut plan = Plan::config([ConfigChange::Label((format!("{prefix}.{key}"), value.clone()))]);
        let path = format!("/etc/{prefix}/{key}");
        plan.then(format!("STAMP {key}"), |base| Write::new(base, path, format!("{value}\n")));
        Ok(plan.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::instruction::Input;
    use wharf_sdk::testing::{Stage, words};

    #[test]
    fn a_mark_is_a_file_and_a_label() {
        let Ok(Outcome::Plan(plan)) = Stamp::plan(&words("STAMP", "release 1.4 beta"), &Stage::default())
        else {
            panic!("not a plan")
        };
        assert_eq!(plan.config, [ConfigChange::Label(("stamp.release".into(), "1.4 beta".into()))]);
        assert_eq!(plan.ops[0].action, Write::new(Input::Stage, "/etc/stamp/release", "1.4 beta\n").into());
    }

    #[test]
    fn a_key_is_one_plain_word() {
        for line in ["", "../x 1", "a/b"] {
            assert!(Stamp::plan(&words("STAMP", line), &Stage::default()).is_err(), "for {line:?}");
        }
    }
}
