//! `HEALTHCHECK [flags] CMD command` or `HEALTHCHECK NONE`: how to see whether a container works.

use wharf_instructions::duration;
use wharf_sdk::instruction::{
    BodyKind, ConfigChange, Context, FlagSpec, Healthcheck, Invocation, KeywordSpec, Outcome, Plan,
};
use wharf_sdk::{Failure, Instruction, Request, refuse};

struct HealthcheckInstruction;

wharf_sdk::export_instruction!(HealthcheckInstruction);

/// Docker's shortest.
const MILLISECOND: u64 = 1_000_000;

impl Instruction for HealthcheckInstruction {
    fn describe() -> Vec<KeywordSpec> {
        let keyword = KeywordSpec::new("HEALTHCHECK", "how to see whether a container works", BodyKind::Text);
        let flags = [
            FlagSpec::value("interval", "time between two checks (30s)"),
            FlagSpec::value("timeout", "time for one check (30s)"),
            FlagSpec::value("start-period", "time in which failures do not count (0s)"),
            FlagSpec::value("start-interval", "time between two checks in the start period (5s)"),
            FlagSpec::value("retries", "failures in a row until it is unhealthy (3)"),
        ];
        vec![flags.into_iter().fold(keyword, KeywordSpec::flag)]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "sets the health check")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let check = match call.text().split_once(char::is_whitespace).unwrap_or((call.text(), "")) {
            ("", _) => {
                let message = "HEALTHCHECK requires at least one argument";
                return Err(refuse(message).help("write `HEALTHCHECK CMD command`"));
            }
            (word, rest) if word.eq_ignore_ascii_case("none") => none(rest)?,
            (word, rest) if word.eq_ignore_ascii_case("cmd") => Healthcheck {
                test: test(rest.trim())?,
                interval: time(call, "interval")?,
                timeout: time(call, "timeout")?,
                start_period: time(call, "start-period")?,
                start_interval: time(call, "start-interval")?,
                retries: retries(call.flag("retries"))?,
            },
            (word, _) => {
                let message = format!("Unknown type \"{}\" in HEALTHCHECK (try CMD)", word.to_uppercase());
                return Err(refuse(message).help("write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`"));
            }
        };
        Ok(Plan::config([ConfigChange::Healthcheck(check)]).into())
    }
}

/// Flags say nothing about it.
fn none(rest: &str) -> Result<Healthcheck, Failure> {
    if !rest.trim().is_empty() {
        return Err(refuse("HEALTHCHECK NONE takes no arguments"));
    }
    let test = vec!["NONE".into()];
    Ok(Healthcheck {
        test,
        interval: None,
        timeout: None,
        start_period: None,
        start_interval: None,
        retries: None,
    })
}

/// The command: a JSON array, or else a line for the shell.
fn test(command: &str) -> Result<Vec<String>, Failure> {
    let (kind, argv) = match serde_json::from_str::<Vec<String>>(command) {
        Ok(argv) => ("CMD", argv),
        Err(_) if serde_json::from_str::<Vec<serde::de::IgnoredAny>>(command).is_ok() => {
            return Err(refuse("when using JSON array syntax, arrays must be comprised of strings only"));
        }
        Err(_) => ("CMD-SHELL", vec![command.to_owned()]),
    };
    if argv.iter().all(String::is_empty) {
        return Err(refuse("Missing command after HEALTHCHECK CMD"));
    }
    Ok(std::iter::once(kind.to_owned()).chain(argv).collect())
}

/// A duration; zero stands for the default.
fn time(call: &Invocation, flag: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = call.flag(flag) else { return Ok(None) };
    match duration::nanoseconds(text)? {
        0 => Ok(None),
        short if short < MILLISECOND => Err(refuse(format!("Interval \"{flag}\" cannot be less than 1ms"))),
        time => Ok(Some(time)),
    }
}

/// A number; zero stands for the default.
fn retries(flag: Option<&str>) -> Result<Option<u32>, Failure> {
    let Some(text) = flag.filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse::<i32>() {
        Ok(0) => Ok(None),
        Ok(number) => u32::try_from(number)
            .map(Some)
            .map_err(|_| refuse(format!("--retries cannot be negative ({number})"))),
        Err(_) => Err(refuse(format!("--retries is not a number: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::testing::{Stage, text};

    fn check(call: &Invocation) -> Result<Healthcheck, Failure> {
        match HealthcheckInstruction::plan(call, &Stage::default())? {
            Outcome::Plan(Plan { config, .. }) => match config.into_iter().next() {
                Some(ConfigChange::Healthcheck(check)) => Ok(check),
                other => panic!("not a check: {other:?}"),
            },
            other => panic!("not a plan: {other:?}"),
        }
    }

    #[test]
    fn a_command_is_a_list_or_a_line() {
        for (line, expected) in [
            ("NONE", vec!["NONE"]),
            (
                "CMD curl -f http://localhost/ || exit 1",
                vec!["CMD-SHELL", "curl -f http://localhost/ || exit 1"],
            ),
            ("cmd [\"a\", \"b c\"]", vec!["CMD", "a", "b c"]),
            ("CMD ['a']", vec!["CMD-SHELL", "['a']"]),
        ] {
            assert_eq!(check(&text("HEALTHCHECK", line)).unwrap().test, expected, "for {line}");
        }
    }

    #[test]
    fn times_are_nanoseconds_and_zero_is_the_default() {
        let call = text("HEALTHCHECK", "CMD true").with_flag("interval", "1m30s").with_flag("timeout", "0s");
        let check = check(&call.with_flag("retries", "5").with_flag("start-interval", "1ms")).unwrap();
        assert_eq!((check.interval, check.timeout), (Some(90_000_000_000), None));
        assert_eq!((check.start_interval, check.retries), (Some(MILLISECOND), Some(5)));
    }

    #[test]
    fn what_is_wrong_is_said_as_docker_does() {
        for (call, said) in [
            (text("HEALTHCHECK", ""), "HEALTHCHECK requires at least one argument"),
            (text("HEALTHCHECK", "CMD"), "Missing command after HEALTHCHECK CMD"),
            (text("HEALTHCHECK", "CMD []"), "Missing command after HEALTHCHECK CMD"),
            (text("HEALTHCHECK", "NONE x"), "HEALTHCHECK NONE takes no arguments"),
            (text("HEALTHCHECK", "TCP 80"), "Unknown type \"TCP\" in HEALTHCHECK (try CMD)"),
            (
                text("HEALTHCHECK", "CMD [1]"),
                "when using JSON array syntax, arrays must be comprised of strings only",
            ),
            (
                text("HEALTHCHECK", "CMD x").with_flag("interval", "500us"),
                "Interval \"interval\" cannot be less than 1ms",
            ),
            (text("HEALTHCHECK", "CMD x").with_flag("retries", "-1"), "--retries cannot be negative (-1)"),
        ] {
            assert_eq!(check(&call).unwrap_err().message(), said);
        }
    }
}
