//! `EXPOSE port[-port][/protocol] ...`: on which ports the program listens. Nothing is published
//! by that alone.

use std::collections::BTreeSet;

use wharf_instructions::lint;
use wharf_sdk::instruction::{BodyKind, ConfigChange, Context, Invocation, KeywordSpec, Outcome, Plan};
use wharf_sdk::{Diagnostic, Failure, Instruction, Request, refuse};

struct Expose;

wharf_sdk::export_instruction!(Expose);

impl Instruction for Expose {
    fn describe() -> Vec<KeywordSpec> {
        vec![KeywordSpec::new("EXPOSE", "on which ports the program listens", BodyKind::Words).expanding()]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:config", "adds exposed ports")]
    }

    fn plan(call: &Invocation, _: &dyn Context) -> Result<Outcome, Failure> {
        let mut ports = BTreeSet::new();
        let mut diagnostics = Vec::new();
        // A variable may hold several ports.
        for word in call.words().iter().flat_map(|word| word.split_whitespace()) {
            let exposed = Exposed::read(word)?;
            diagnostics.extend(exposed.warnings(word));
            ports.extend((exposed.first..=exposed.last).map(|port| (port, exposed.protocol)));
        }
        if ports.is_empty() {
            let help =
                "a variable without a value is none: give it one with `ARG NAME=DEFAULT` or `--build-arg`";
            return Err(refuse("EXPOSE requires at least one argument").help(help));
        }
        let exposed = |(port, protocol)| ConfigChange::Expose(format!("{port}/{protocol}"));
        let plan = Plan::config(ports.into_iter().map(exposed));
        Ok(Plan { diagnostics, ..plan }.into())
    }
}

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// One word of the statement.
#[derive(Debug, PartialEq, Eq)]
struct Exposed {
    first: u16,
    last: u16,
    protocol: &'static str,
    /// Something stands before the port, as in `8080:80`.
    published: bool,
}

impl Exposed {
    fn read(word: &str) -> Result<Self, Failure> {
        let (port, protocol) = word.split_once('/').unwrap_or((word, ""));
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        let known = PROTOCOLS.into_iter().find(|known| known.eq_ignore_ascii_case(protocol));
        let protocol = known.ok_or_else(|| {
            let help = "write for example `80/tcp`, `53/udp` or `9/sctp`";
            refuse(format!("invalid proto: {protocol}")).help(help)
        })?;
        let (before, port) = match port.rsplit_once(':') {
            Some((before, port)) => (Some(before), port),
            None => (None, port),
        };
        let (first, last) = range(port).ok_or_else(|| {
            refuse(format!("invalid containerPort: {port}"))
                .help("write a port from 1 to 65535 or a range: `7000-7002`")
        })?;
        Ok(Self { first, last, protocol, published: before.is_some() })
    }

    fn warnings(&self, word: &str) -> impl Iterator<Item = Diagnostic> {
        let written = word.split_once('/').map_or("", |(_, protocol)| protocol);
        let cased = !written.is_empty() && written != self.protocol;
        let casing = cased.then(|| {
            let message = format!("Defined protocol '{word}' in EXPOSE instruction should be lowercase");
            lint::warn("ExposeProtoCasing", message)
        });
        let format = self.published.then(|| {
            let message = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'"
            );
            lint::warn("ExposeInvalidFormat", message)
        });
        casing.into_iter().chain(format)
    }
}

/// `80` or `7000-7002`.
fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| plain && *port > 0)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::testing::{Stage, call, words};

    fn ports(call: &Invocation) -> Result<Vec<String>, Failure> {
        match Expose::plan(call, &Stage::default())? {
            Outcome::Plan(plan) => Ok(plan
                .config
                .into_iter()
                .map(|change| match change {
                    ConfigChange::Expose(port) => port,
                    other => panic!("not a port: {other:?}"),
                })
                .collect()),
            other => panic!("not a plan: {other:?}"),
        }
    }

    #[test]
    fn ports_are_sorted_and_ranges_expanded() {
        for (line, expected) in [
            ("80", vec!["80/tcp"]),
            ("80 8080 80/tcp", vec!["80/tcp", "8080/tcp"]),
            ("53/UDP", vec!["53/udp"]),
            ("7000-7002", vec!["7000/tcp", "7001/tcp", "7002/tcp"]),
            ("8080:80", vec!["80/tcp"]),
            ("80/", vec!["80/tcp"]),
            ("9/sctp 5/tcp", vec!["5/tcp", "9/sctp"]),
        ] {
            assert_eq!(ports(&words("EXPOSE", line)).unwrap(), expected, "for {line}");
        }
        let variable = call("EXPOSE", wharf_sdk::instruction::Body::Words(vec!["80 443".into()]));
        assert_eq!(ports(&variable).unwrap(), ["80/tcp", "443/tcp"]);
    }

    #[test]
    fn what_is_no_port_is_named() {
        for (line, said) in [
            ("", "EXPOSE requires at least one argument"),
            ("http", "invalid containerPort: http"),
            ("0", "invalid containerPort: 0"),
            ("65536", "invalid containerPort: 65536"),
            ("9-8", "invalid containerPort: 9-8"),
            ("80/icmp", "invalid proto: icmp"),
        ] {
            assert_eq!(ports(&words("EXPOSE", line)).unwrap_err().message(), said, "for {line}");
        }
    }

    #[test]
    fn odd_spellings_are_warned_about() {
        for (word, codes) in [
            ("80/TCP", &["ExposeProtoCasing"][..]),
            ("8080:80", &["ExposeInvalidFormat"]),
            ("127.0.0.1:80:80", &["ExposeInvalidFormat"]),
            ("8080:80/TCP", &["ExposeProtoCasing", "ExposeInvalidFormat"]),
            ("80", &[]),
            ("80/", &[]),
            ("80/udp", &[]),
        ] {
            let exposed = Exposed::read(word).unwrap();
            assert_eq!(
                exposed.warnings(word).map(|warning| warning.code).collect::<Vec<_>>(),
                codes,
                "for {word}"
            );
        }
    }
}
