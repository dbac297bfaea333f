//! `STOPSIGNAL signal`: what asks a container to end.

use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Failure, Instruction, Request, refuse};

struct StopSignal;

wharf_sdk::export_instruction!(StopSignal);

impl Instruction for StopSignal {
    fn describe() -> Vec<KeywordSpec> {
        vec![
            KeywordSpec::new("STOPSIGNAL", "the signal that asks a container to end", BodyKind::Text)
                .expanding(),
        ]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "sets the signal that stops a container")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let signal = call.argument()?;
        if !is_signal(signal) {
            let help = "write a name such as SIGTERM or a number from 1 to 64";
            return Err(refuse(format!("Invalid signal: {signal}")).help(help));
        }
        Ok(Plan::config([ConfigChange::StopSignal(signal.into())]).into())
    }
}

const NAMES: [&str; 37] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "RTMAX", "RTMIN", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "UNUSED", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// A number from 1 to 64, or a name with `SIG` or without, in any case; `RTMIN+n`, `RTMAX-n`.
fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let steps = |rest: &str| rest.parse::<u8>().is_ok_and(|step| (1..=15).contains(&step));
    let real_time = name.strip_prefix("RTMIN+").or_else(|| name.strip_prefix("RTMAX-"));
    NAMES.contains(&name) || real_time.is_some_and(|rest| !rest.starts_with('+') && steps(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn signals_have_names_and_numbers() {
        for (text, known) in [
            ("SIGTERM", true),
            ("term", true),
            ("9", true),
            ("64", true),
            ("SIGRTMIN+3", true),
            ("SIGRTMAX-14", true),
            ("0", false),
            ("65", false),
            ("SIGFOO", false),
            ("RTMIN+16", false),
            ("RTMIN++3", false),
            ("", false),
        ] {
            assert_eq!(is_signal(text), known, "for {text}");
        }
    }
}
