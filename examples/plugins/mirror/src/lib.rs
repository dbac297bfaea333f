//! Mirrors and a certificate for every RUN, without a line in any Dockerfile.
//!
//! `env` are variables (`NAME=value`) that every RUN sees. `certificate` is a PEM text that is mounted
//! read-only, with the variables by which common programs find it. `files` are further files, each
//! `PATH=text`. Nothing of it is in a layer or in an image's config; all of it is part of a step's
//! cache key, so that a new mirror makes the steps again.

use wharf_sdk::hook::{Adjustment, Event, Files, Moment, Phase, ProvidedFile, Subject};
use wharf_sdk::instruction::Action;
use wharf_sdk::{Failure, Hook, Request, Settings, refuse, setting};

const CERTIFICATE: &str = "/etc/ssl/certs/mirror-ca.pem";
/// OpenSSL, curl, Python's requests and pip, Node.js, Git.
const FINDERS: [&str; 6] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
];

struct Mirror;

wharf_sdk::export_hook!(Mirror);

impl Hook for Mirror {
    fn requests() -> Vec<Request> {
        vec![Request::new("ops:adjust", "gives every RUN the mirrors' addresses and the certificate")]
    }

    fn describe() -> Vec<(Moment, Phase)> {
        vec![(Moment::BuildOp, Phase::Adjust)]
    }

    fn validate_settings(settings: &Settings) -> Result<(), Failure> {
        setting::only(settings, &["certificate", "env", "files"])?;
        let pairs = ["env", "files"].into_iter().flat_map(|key| setting::texts(settings, key));
        match pairs.into_iter().find(|pair| !pair.contains('=')) {
            None => Ok(()),
            Some(pair) => Err(refuse(format!("`{pair}` has no `=`")).help("write NAME=value, or /PATH=text")),
        }
    }

    fn adjust(event: &Event, _: Option<&dyn Files>, settings: &Settings) -> Result<Vec<Adjustment>, Failure> {
        match &event.subject {
            Subject::BuildOp(proposed) if matches!(proposed.op.action, Action::Exec(_)) => {
                Ok(adjustments(settings))
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn adjustments(settings: &Settings) -> Vec<Adjustment> {
    let pair = |pair: &String| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    };
    let file = |(target, text): (String, String)| {
        Adjustment::ProvideFile(ProvidedFile { target, content: text.into_bytes(), mode: 0o444 })
    };
    let env = setting::texts(settings, "env").iter().map(pair).map(Adjustment::SetEnv);
    let files = setting::texts(settings, "files").iter().map(pair).map(file);
    let mut all: Vec<Adjustment> = env.chain(files).collect();
    if let Some(certificate) = setting::text(settings, "certificate") {
        all.push(file((CERTIFICATE.to_owned(), certificate.to_owned())));
        all.extend(FINDERS.map(|name| Adjustment::SetEnv((name.to_owned(), CERTIFICATE.to_owned()))));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::Value;

    #[test]
    fn every_setting_becomes_adjustments() {
        let settings = vec![
            ("certificate".to_owned(), Value::Text("PEM".into())),
            ("env".to_owned(), Value::Texts(vec!["A=b=c".into()])),
            ("files".to_owned(), Value::Texts(vec!["/etc/pip.conf=[global]\nx=1\n".into()])),
        ];
        assert!(Mirror::validate_settings(&settings).is_ok());
        let all = adjustments(&settings);
        assert_eq!(all.len(), 3 + FINDERS.len());
        assert!(matches!(&all[0], Adjustment::SetEnv((name, value)) if name == "A" && value == "b=c"));
        assert!(matches!(&all[1], Adjustment::ProvideFile(file) if file.target == "/etc/pip.conf"));
        assert!(adjustments(&Vec::new()).is_empty());
    }

    #[test]
    fn a_pair_has_an_equals_sign() {
        let settings = vec![("env".to_owned(), Value::Texts(vec!["NAME".into()]))];
        assert!(Mirror::validate_settings(&settings).is_err());
    }
}
