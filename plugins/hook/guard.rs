//! Keeps containers away from the engine's own state, and says when one may write to the host's
//! own system directories.
//!
//! `deny` names host paths that may not be bound into a container, nor anything below them.
//! `warn` names host paths that are worth a word when exactly they can be written to from inside;
//! so is a directory that holds a denied path.

use wharf_sdk::hook::{ContainerMount, Event, Files, Moment, MountKind, Phase, Subject, Verdict};
use wharf_sdk::{Diagnostic, Failure, Hook, Request, Settings, Severity, path, setting};

struct Guard;

wharf_sdk::export_hook!(Guard, "keeps containers away from the engine's own state");

impl Hook for Guard {
    fn describe() -> Vec<(Moment, Phase)> {
        vec![(Moment::Container, Phase::Judge)]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:judge", "refuses containers that see the engine's own state")]
    }

    fn validate_settings(settings: &Settings) -> Result<(), Failure> {
        setting::only(settings, &["deny", "warn"])?;
        let mut paths = ["deny", "warn"].into_iter().flat_map(|key| setting::texts(settings, key));
        match paths.find(|path| !path.starts_with('/')) {
            None => Ok(()),
            Some(path) => Err(wharf_sdk::refuse(format!("`{path}` is not an absolute path"))),
        }
    }

    fn judge(event: &Event, _: Option<&dyn Files>, settings: &Settings) -> Result<Verdict, Failure> {
        let Subject::Container(container) = &event.subject else { return Ok(Verdict::Allow) };
        let (deny, warn) = (setting::texts(settings, "deny"), setting::texts(settings, "warn"));
        let binds = || container.mounts.iter().filter(|mount| mount.kind == MountKind::Bind);
        let denied: Vec<Diagnostic> = binds().filter_map(|mount| refusal(mount, deny)).collect();
        if !denied.is_empty() {
            return Ok(Verdict::Deny(denied));
        }
        let warned: Vec<Diagnostic> = binds().filter_map(|mount| warning(mount, deny, warn)).collect();
        Ok(if warned.is_empty() { Verdict::Allow } else { Verdict::Warn(warned) })
    }
}

fn refusal(mount: &ContainerMount, deny: &[String]) -> Option<Diagnostic> {
    let prefix = deny.iter().find(|prefix| path::is_within(&mount.source, prefix))?;
    let message = format!("{} is below {prefix}, which containers may not see", mount.source);
    let help = format!("take `{prefix}` out of `deny` in `[plugin.guard.settings]` to allow it");
    Some(Diagnostic::new(Severity::Error, "guard/denied-bind", message).help(help))
}

fn warning(mount: &ContainerMount, deny: &[String], warn: &[String]) -> Option<Diagnostic> {
    if mount.read_only {
        return None;
    }
    let source = path::clean(&mount.source);
    let holds = deny.iter().find(|prefix| path::is_within(prefix, &source));
    let message = match holds {
        Some(prefix) => format!("the container can write to {source}, which holds {prefix}"),
        None if warn.iter().any(|path| path::clean(path) == source) => {
            format!("the container can write to the host's {source}")
        }
        None => return None,
    };
    let help = format!("add `:ro` if it only reads: `-v {source}:{}:ro`", mount.target);
    Some(Diagnostic::warning("guard/writable-bind", message).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sdk::Value;
    use wharf_sdk::hook::ContainerSpec;

    fn settings() -> Settings {
        let texts = |list: &[&str]| Value::Texts(list.iter().map(|path| (*path).into()).collect());
        vec![
            ("deny".into(), texts(&["/var/lib/wharf", "/run/wharf"])),
            ("warn".into(), texts(&["/", "/etc", "/var/run/docker.sock"])),
        ]
    }

    fn bind(source: &str, read_only: bool) -> Event {
        let mount =
            ContainerMount { kind: MountKind::Bind, source: source.into(), target: "/x".into(), read_only };
        let container = ContainerSpec {
            id: String::new(),
            name: String::new(),
            image: String::new(),
            image_id: String::new(),
            argv: vec![],
            env: vec![],
            working_dir: String::new(),
            user: String::new(),
            mounts: vec![mount],
            network: String::new(),
            ports: vec![],
            capabilities: vec![],
            annotations: vec![],
            labels: vec![],
            privileged: false,
            details: "{}".into(),
        };
        Event { subject: Subject::Container(container), changes: vec![] }
    }

    #[test]
    fn binds_are_judged_by_their_source() {
        for (source, read_only, expected) in [
            ("/home/me/src", false, "allow"),
            ("/etc/ssl", false, "allow"),
            ("/etc", true, "allow"),
            ("/etc/", false, "warn"),
            ("/", false, "warn"),
            ("/var/lib", false, "warn"),
            ("/var/run/docker.sock", false, "warn"),
            ("/var/lib/wharf", true, "deny"),
            ("/var/lib/wharf/../wharf/wharf.db", false, "deny"),
            ("/var/lib/wharfs", false, "allow"),
        ] {
            let verdict = match Guard::judge(&bind(source, read_only), None, &settings()) {
                Ok(Verdict::Allow) => "allow",
                Ok(Verdict::Warn(_)) => "warn",
                Ok(Verdict::Deny(_)) => "deny",
                Err(error) => panic!("{error:?}"),
            };
            assert_eq!(verdict, expected, "for {source}");
        }
    }

    #[test]
    fn without_settings_everything_is_allowed() {
        assert_eq!(Guard::judge(&bind("/", false), None, &vec![]), Ok(Verdict::Allow));
    }

    #[test]
    fn settings_are_absolute_paths() {
        assert_eq!(Guard::validate_settings(&settings()), Ok(()));
        let relative = vec![("deny".into(), Value::Texts(vec!["etc".into()]))];
        assert!(Guard::validate_settings(&relative).is_err());
        assert!(Guard::validate_settings(&vec![("allow".into(), Value::Boolean(true))]).is_err());
    }
}
