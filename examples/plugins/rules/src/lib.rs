//! Rules in the words of the configuration, for those who do not want to write a plugin.
//!
//! `deny` and `warn` are the beginnings of lines such as these; `deny = ["exec web sh"]` keeps everybody
//! from a shell in the container `web`:
//!
//! ```text
//! container IMAGE PROGRAM...           exec CONTAINER PROGRAM...
//! network create|connect NAME          volume create|remove NAME
//! image-commit NAME...                 image-pull NAME          image-push NAME
//! ```
//!
//! The other settings are added to containers, to execs and, as far as they fit, to volumes: `env` and
//! `labels` (`NAME=value`), `unset-env`, `drop` (`CAP_...`), `hosts` (`NAME=address`).

use wharf_sdk::hook::{
    Adjustment, Event, Files, Moment, NetworkAction, Phase, Subject, Verdict, VolumeAction,
};
use wharf_sdk::{Diagnostic, Failure, Hook, Request, Settings, Severity, refuse, setting};

const MOMENTS: [Moment; 7] = [
    Moment::Container,
    Moment::Exec,
    Moment::Network,
    Moment::Volume,
    Moment::ImageCommit,
    Moment::ImagePull,
    Moment::ImagePush,
];

struct Rules;

wharf_sdk::export_hook!(Rules);

impl Hook for Rules {
    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:judge", "refuses and warns as the rules say"),
            Request::new("ops:adjust", "adds variables, labels and hosts as the rules say"),
        ]
    }

    fn describe() -> Vec<(Moment, Phase)> {
        let adjusted =
            [Moment::Container, Moment::Exec, Moment::Volume].map(|moment| (moment, Phase::Adjust));
        MOMENTS.map(|moment| (moment, Phase::Judge)).into_iter().chain(adjusted).collect()
    }

    fn validate_settings(settings: &Settings) -> Result<(), Failure> {
        setting::only(settings, &["deny", "drop", "env", "hosts", "labels", "unset-env", "warn"])?;
        let mut pairs = ["env", "hosts", "labels"].into_iter().flat_map(|key| setting::texts(settings, key));
        match pairs.find(|pair| !pair.contains('=')) {
            None => Ok(()),
            Some(pair) => Err(refuse(format!("`{pair}` has no `=`")).help("write NAME=value")),
        }
    }

    fn adjust(event: &Event, _: Option<&dyn Files>, settings: &Settings) -> Result<Vec<Adjustment>, Failure> {
        let pairs = |key: &str| setting::texts(settings, key).iter().filter_map(|pair| pair.split_once('='));
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let env = pairs("env").map(owned).map(Adjustment::SetEnv);
        let unset = setting::texts(settings, "unset-env").iter().cloned().map(Adjustment::UnsetEnv);
        let drop = setting::texts(settings, "drop").iter().cloned().map(Adjustment::DropCapability);
        let labels = pairs("labels").map(owned).map(Adjustment::AddLabel);
        let hosts = pairs("hosts").map(owned).map(Adjustment::AddHost);
        Ok(match &event.subject {
            Subject::Container(_) => env.chain(unset).chain(drop).chain(labels).chain(hosts).collect(),
            Subject::Exec(_) => env.chain(unset).chain(drop).collect(),
            Subject::Volume(volume) if volume.action == VolumeAction::Create => labels.collect(),
            _ => Vec::new(),
        })
    }

    fn judge(event: &Event, _: Option<&dyn Files>, settings: &Settings) -> Result<Verdict, Failure> {
        let line = line(&event.subject);
        let rule = |key| setting::texts(settings, key).iter().find(|rule| line.starts_with(rule.as_str()));
        let said = |severity, rule: &String| {
            vec![Diagnostic::new(severity, "rules", format!("`{line}` is what the rule `{rule}` is about"))]
        };
        Ok(match (rule("deny"), rule("warn")) {
            (Some(rule), _) => Verdict::Deny(said(Severity::Error, rule)),
            (None, Some(rule)) => Verdict::Warn(said(Severity::Warning, rule)),
            (None, None) => Verdict::Allow,
        })
    }
}

/// What a rule is compared with.
fn line(subject: &Subject) -> String {
    match subject {
        Subject::Container(container) => {
            format!("container {} {}", container.image, container.argv.join(" "))
        }
        Subject::Exec(exec) => format!("exec {} {}", exec.container_name, exec.argv.join(" ")),
        Subject::Network(network) => {
            let action = match network.action {
                NetworkAction::Create => "create",
                NetworkAction::Remove => "remove",
                NetworkAction::Connect => "connect",
                NetworkAction::Disconnect => "disconnect",
            };
            format!("network {action} {}", network.name)
        }
        Subject::Volume(volume) => {
            let action = match volume.action {
                VolumeAction::Create => "create",
                VolumeAction::Remove => "remove",
            };
            format!("volume {action} {}", volume.name)
        }
        Subject::ImageCommit(commit) => format!("image-commit {}", commit.names.join(" ")),
        Subject::ImagePull(transfer) => format!("image-pull {}", transfer.reference),
        Subject::ImagePush(transfer) => format!("image-push {}", transfer.reference),
        Subject::BuildOp(_) => "build-op".to_owned(),
    }
}
