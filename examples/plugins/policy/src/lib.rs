//! A policy: images come from our registry and have a tag that does not move, and nothing runs as
//! root or sees a device while an image is built.

use wharf_sdk::devices::{self, Device};
use wharf_sdk::hook::{Event, Files, Moment, Phase, Subject, Verdict};
use wharf_sdk::instruction::Action;
use wharf_sdk::{Diagnostic, Failure, Hook, Request, Settings, Severity, setting};

struct Policy;

wharf_sdk::export_hook!(Policy);

impl Hook for Policy {
    fn requests() -> Vec<Request> {
        vec![Request::new("ops:judge", "refuses what the policy does not allow")]
    }

    fn describe() -> Vec<(Moment, Phase)> {
        vec![(Moment::BuildOp, Phase::Judge), (Moment::Container, Phase::Judge)]
    }

    fn validate_settings(settings: &Settings) -> Result<(), Failure> {
        setting::only(settings, &["registry"])
    }

    fn judge(event: &Event, _: Option<&dyn Files>, settings: &Settings) -> Result<Verdict, Failure> {
        let registry = setting::text(settings, "registry").unwrap_or_default();
        let said = match &event.subject {
            Subject::Container(container) => image(&container.image, registry),
            Subject::BuildOp(proposed) => match &proposed.op.action {
                Action::Image(source) => image(&source.reference, registry),
                Action::Exec(exec) => {
                    user(exec.user.as_deref().unwrap_or_default()).or_else(|| device(&devices::of_op()))
                }
                _ => None,
            },
            _ => None,
        };
        Ok(said.map_or(Verdict::Allow, |said| Verdict::Deny(vec![said])))
    }
}

fn image(name: &str, registry: &str) -> Option<Diagnostic> {
    let tag = name.rsplit('/').next().unwrap_or(name).split_once(':').map_or("latest", |(_, tag)| tag);
    let (said, help) = if !name.starts_with(registry) {
        (format!("{name} does not come from {registry}"), format!("use an image of {registry}"))
    } else if tag == "latest" && !name.contains('@') {
        (format!("{name} is whatever is the latest today"), "give it a version's tag, or a digest".into())
    } else {
        return None;
    };
    Some(Diagnostic::new(Severity::Error, "policy/image", said).help(help))
}

fn user(name: &str) -> Option<Diagnostic> {
    let root = matches!(name.split(':').next(), None | Some("" | "0" | "root"));
    let said = || Diagnostic::new(Severity::Error, "policy/root", "a RUN works as root");
    root.then(|| said().help("write `USER name` before it"))
}

fn device(devices: &[Device]) -> Option<Diagnostic> {
    let said = format!("a RUN sees the device {}", devices.first()?.name);
    Some(Diagnostic::new(Severity::Error, "policy/device", said).help("build it without `--device`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_ours_and_pinned() {
        let registry = "registry.example:5000/";
        for (name, allowed) in [
            ("registry.example:5000/app:1.2", true),
            ("registry.example:5000/team/app@sha256:0123", true),
            ("registry.example:5000/app:latest", false),
            ("registry.example:5000/app", false),
            ("busybox:1.36", false),
            ("registry.example.evil:5000/app:1", false),
        ] {
            assert_eq!(image(name, registry).is_none(), allowed, "for {name}");
        }
    }

    #[test]
    fn root_has_several_names() {
        for (name, allowed) in
            [("", false), ("root", false), ("0", false), ("0:1000", false), ("app", true), ("1000:0", true)]
        {
            assert_eq!(user(name).is_none(), allowed, "for {name:?}");
        }
    }

    #[test]
    fn a_device_is_named() {
        assert!(device(&[]).is_none());
        let said = device(&[Device { name: "vendor.com/class=a".into(), required: false }]).unwrap();
        assert_eq!(said.message, "a RUN sees the device vendor.com/class=a");
    }
}
