//! `RUN line`, `RUN ["program", "argument"]`, `RUN <<EOF`: runs a command; what it changes becomes
//! a layer.
//!
//! A here-document alone is the script: for the stage's SHELL, or, when it begins with `#!`, for
//! the program it names. With anything else on the line, the shell gets the text as written.

use wharf_instructions::{command, device, mount};
use wharf_sdk::instruction::{
    Body, BodyKind, Command, Context, Exec, FlagSpec, Heredoc, Invocation, KeywordSpec, Mount, NetAccess,
    Outcome, Plan, Security,
};
use wharf_sdk::{Failure, Instruction, Request, devices, refuse};

struct Run;

wharf_sdk::export_instruction!(Run);

impl Instruction for Run {
    fn describe() -> Vec<KeywordSpec> {
        let keyword = KeywordSpec::new("RUN", "run a command and keep what it changes", BodyKind::JsonOrText);
        let flags = [
            FlagSpec::value("mount", "mount something while it runs: type=bind|cache|tmpfs|secret|ssh,...")
                .repeatable()
                .expanding(),
            FlagSpec::value(
                "device",
                "see a device that a CDI file describes: vendor.com/class=name[,required]",
            )
            .repeatable(),
            FlagSpec::value("network", "what it can reach: default, none or host"),
            FlagSpec::value("security", "how it is confined: sandbox or insecure"),
        ];
        vec![flags.into_iter().fold(keyword.with_heredocs(), KeywordSpec::flag)]
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:exec", "runs the command"),
            Request::new("ops:exec-insecure", "`--security=insecure`"),
            Request::new("ops:exec-device", "`--device`"),
            Request::new("ops:image", "mounts from other images, `--mount=from=`"),
            Request::new("ops:mount-bind", "`--mount=type=bind`"),
            Request::new("ops:mount-cache", "`--mount=type=cache`"),
            Request::new("ops:mount-secret", "`--mount=type=secret` and `type=ssh`"),
            Request::new("net:sandbox", "commands may reach the network of the build"),
            Request::new("net:host", "`--network=host`"),
        ]
    }

    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure> {
        let (command, label) = command(call)?;
        let mounts = mounts(call, context)?;
        let net = network(call.flag("network"))?;
        let security = security(call.flag("security"))?;
        for text in call.values("device") {
            devices::add(&device::parse(text)?);
        }
        let mut plan = Plan::default();
        plan.then(format!("RUN {label}"), |base| Exec { mounts, net, security, ..Exec::new(base, command) });
        Ok(plan.into())
    }
}

/// What is run, and how progress shows it.
fn command(call: &Invocation) -> Result<(Command, String), Failure> {
    match &call.body {
        Body::Json(argv) if argv.is_empty() => Err(needs_command()),
        Body::Json(argv) => Ok((Command::Argv(argv.clone()), argv.join(" "))),
        _ if call.text().is_empty() => Err(needs_command()),
        _ => Ok(line(call.text(), &call.heredocs)),
    }
}

fn line(text: &str, heredocs: &[Heredoc]) -> (Command, String) {
    match heredocs {
        [] => (Command::Shell(text.into()), text.into()),
        [script] if is_only_heredoc(text) => {
            let label = format!("{text} ({})", command::first_line(&script.content));
            let content = script.content.clone();
            let direct = content.starts_with("#!");
            (if direct { Command::Script(content) } else { Command::Shell(content) }, label)
        }
        several => {
            let documents = several.iter().flat_map(|heredoc| ["\n", &heredoc.content, &heredoc.name]);
            (Command::Shell([text].into_iter().chain(documents).collect()), text.into())
        }
    }
}

/// Whether the line holds nothing but `<<NAME`.
fn is_only_heredoc(text: &str) -> bool {
    let opened = text.trim_start_matches(|letter: char| letter.is_ascii_digit()).strip_prefix("<<");
    let word = opened.map(|rest| rest.strip_prefix('-').unwrap_or(rest).trim_start());
    word.is_some_and(|word| !word.contains(|letter: char| letter.is_whitespace() || "<>|;&".contains(letter)))
}

fn needs_command() -> Failure {
    refuse("RUN requires at least one argument")
        .help("write `RUN command` or `RUN [\"program\", \"argument\"]`")
}

fn mounts(call: &Invocation, context: &dyn Context) -> Result<Vec<Mount>, Failure> {
    let mut written = call.values("mount").peekable();
    if written.peek().is_none() {
        return Ok(Vec::new());
    }
    let working_dir = context.working_dir();
    written.map(|text| mount::parse(text, &working_dir)).collect()
}

fn network(flag: Option<&str>) -> Result<NetAccess, Failure> {
    match flag {
        None | Some("default") => Ok(NetAccess::Sandbox),
        Some("none") => Ok(NetAccess::None),
        Some("host") => Ok(NetAccess::Host),
        Some(other) => {
            Err(refuse(format!("unsupported network mode \"{other}\"")).help("write default, none or host"))
        }
    }
}

fn security(flag: Option<&str>) -> Result<Security, Failure> {
    match flag {
        None | Some("sandbox") => Ok(Security::Sandbox),
        Some("insecure") => Ok(Security::Insecure),
        Some(other) => {
            Err(refuse(format!("unsupported security mode \"{other}\"")).help("write sandbox or insecure"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::instruction::Action;
    use wharf_sdk::testing::{Stage, call, text};

    fn exec(call: &Invocation) -> Result<Exec, Failure> {
        match Run::plan(call, &Stage::default())? {
            Outcome::Plan(mut plan) => match plan.ops.pop().map(|op| op.action) {
                Some(Action::Exec(exec)) => Ok(exec),
                other => panic!("not an exec: {other:?}"),
            },
            other => panic!("not a plan: {other:?}"),
        }
    }

    #[test]
    fn a_command_is_a_line_a_list_or_a_script() {
        let shell = |line: &str| Command::Shell(line.into());
        let argv = Body::Json(vec!["a".into(), "b c".into()]);
        for (call, expected) in [
            (text("RUN", " make test "), shell("make test")),
            (call("RUN", argv), Command::Argv(vec!["a".into(), "b c".into()])),
            (text("RUN", "<<EOF").with_heredoc("EOF", "a\nb\n"), shell("a\nb\n")),
            (text("RUN", "<<-'EOF'").with_heredoc("EOF", "a\n"), shell("a\n")),
            (
                text("RUN", "<<EOF").with_heredoc("EOF", "#!/usr/bin/env python\nprint(1)\n"),
                Command::Script("#!/usr/bin/env python\nprint(1)\n".into()),
            ),
            (text("RUN", "python <<EOF >/x").with_heredoc("EOF", "p\n"), shell("python <<EOF >/x\np\nEOF")),
            (
                text("RUN", "<<A cat - <<B").with_heredoc("A", "1\n").with_heredoc("B", "2\n"),
                shell("<<A cat - <<B\n1\nA\n2\nB"),
            ),
        ] {
            assert_eq!(exec(&call).unwrap().command, expected, "for {:?}", call.body);
        }
        assert!(exec(&text("RUN", "")).is_err());
    }

    #[test]
    fn flags_say_what_it_sees() {
        let call = text("RUN", "x").with_flag("network", "none").with_flag("security", "insecure");
        let exec_ = exec(&call.with_flag("mount", "type=tmpfs,target=t")).unwrap();
        assert_eq!((exec_.net, exec_.security, exec_.mounts.len()), (NetAccess::None, Security::Insecure, 1));
        for (flag, value) in [("network", "lan"), ("security", "none"), ("mount", "type=x")] {
            assert!(exec(&text("RUN", "x").with_flag(flag, value)).is_err(), "for {flag}");
        }
    }
}
