//! Asking hooks: they adjust first, then judge, and observe afterwards.
//!
//! A required hook that fails is a refusal. One that is not required is only reported.

use wharf_model::build::{Action, Op};
use wharf_model::hook::{
    Adjustment, Change, ContainerMount, ContainerSpec, Event, Moment, MountKind as Shown, Phase, Subject,
    Verdict,
};
use wharf_model::network::Port;
use wharf_model::{Diagnostic, Digest, Keyword, Severity};
use wharf_plugin::{Hook, PluginError};

use crate::Engine;
use crate::container::{Container, MountKind};
use crate::network::PortSpec;

/// Why a hook stopped something.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It said no.
    #[error("denied by hook `{hook}`: {}", reasons(.diagnostics))]
    Denied {
        /// Which hook.
        hook: String,
        /// What it said.
        diagnostics: Vec<Diagnostic>,
    },
    /// It is required, and failed.
    #[error("required hook `{hook}` failed, which counts as a denial")]
    Failed {
        /// Which hook.
        hook: String,
        /// How.
        source: PluginError,
    },
    /// It made an adjustment that does not fit the subject.
    #[error("hook `{hook}` can not {what} here")]
    Misfit {
        /// Which hook.
        hook: String,
        /// What it tried.
        what: &'static str,
    },
}

fn reasons(diagnostics: &[Diagnostic]) -> String {
    let texts: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    if texts.is_empty() { "no reason given".to_owned() } else { texts.join("; ") }
}

impl Engine {
    /// Lets hooks change and judge a container before it exists.
    pub(crate) fn ask_hooks(&self, container: &mut Container) -> Result<Vec<Diagnostic>, HookError> {
        let mut warnings = Vec::new();
        let mut changes = Vec::new();
        for hook in self.plugins.hooks(Moment::Container, Phase::Adjust) {
            let event = Event { subject: subject(container), changes: changes.clone() };
            let adjustments = answer(hook.as_ref(), hook.adjust(&event, None), &mut warnings)?;
            for adjustment in adjustments.unwrap_or_default() {
                let description = adjust_container(container, &adjustment, hook.name())?;
                changes.push(Change { description, owner: hook.name().to_owned() });
            }
        }
        let judges = self.plugins.hooks(Moment::Container, Phase::Judge);
        if !judges.is_empty() {
            let event = Event { subject: subject(container), changes };
            judge(&judges, &event, &mut warnings)?;
        }
        Ok(warnings)
    }

    /// Tells hooks of a container that exists now.
    pub(crate) fn tell_hooks(&self, container: &Container) {
        for hook in self.plugins.hooks(Moment::Container, Phase::Observe) {
            let _ = hook.observe(&Event { subject: subject(container), changes: Vec::new() });
        }
    }

    /// Lets hooks change and judge one op of a build. The adjusted op is what is keyed and run.
    pub(crate) fn ask_build_hooks(
        &self,
        mut op: Op,
        plugin: &str,
        instruction: &Keyword,
    ) -> Result<(Op, Vec<Diagnostic>), HookError> {
        let mut warnings = Vec::new();
        let mut changes = Vec::new();
        let subject = |op: &Op| Subject::BuildOp {
            op: op.clone(),
            plugin: plugin.to_owned(),
            instruction: instruction.clone(),
        };
        for hook in self.plugins.hooks(Moment::BuildOp, Phase::Adjust) {
            let event = Event { subject: subject(&op), changes: changes.clone() };
            let adjustments = answer(hook.as_ref(), hook.adjust(&event, None), &mut warnings)?;
            for adjustment in adjustments.unwrap_or_default() {
                let description = adjust_op(&mut op, &adjustment, hook.name())?;
                changes.push(Change { description, owner: hook.name().to_owned() });
            }
        }
        let judges = self.plugins.hooks(Moment::BuildOp, Phase::Judge);
        if !judges.is_empty() {
            judge(&judges, &Event { subject: subject(&op), changes }, &mut warnings)?;
        }
        Ok((op, warnings))
    }

    /// Lets hooks judge an image before it gets its id, and add labels to it.
    pub(crate) fn ask_commit_hooks(
        &self,
        names: &[String],
        config: &mut wharf_model::image::ImageConfig,
    ) -> Result<Vec<Diagnostic>, HookError> {
        let mut warnings = Vec::new();
        let mut changes = Vec::new();
        let subject = |config: &wharf_model::image::ImageConfig| Subject::ImageCommit {
            names: names.to_vec(),
            config: serde_json::to_string(config).unwrap_or_default(),
        };
        for hook in self.plugins.hooks(Moment::ImageCommit, Phase::Adjust) {
            let event = Event { subject: subject(config), changes: changes.clone() };
            let adjustments = answer(hook.as_ref(), hook.adjust(&event, None), &mut warnings)?;
            for adjustment in adjustments.unwrap_or_default() {
                let Adjustment::AddLabel(name, value) = &adjustment else {
                    return Err(HookError::Misfit {
                        hook: hook.name().to_owned(),
                        what: "change anything but labels",
                    });
                };
                config.config.labels.insert(name.clone(), value.clone());
                let description = format!("label {name}={value}");
                changes.push(Change { description, owner: hook.name().to_owned() });
            }
        }
        let judges = self.plugins.hooks(Moment::ImageCommit, Phase::Judge);
        if !judges.is_empty() {
            judge(&judges, &Event { subject: subject(config), changes }, &mut warnings)?;
        }
        Ok(warnings)
    }
}

/// `None` when the hook failed and is not required.
fn answer<T>(
    hook: &dyn Hook,
    result: Result<T, PluginError>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Option<T>, HookError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(source) if hook.required() => Err(HookError::Failed { hook: hook.name().to_owned(), source }),
        Err(error) => {
            warnings.push(Diagnostic::new(Severity::Warning, "hook/failed", error.to_string()));
            Ok(None)
        }
    }
}

fn judge(
    judges: &[std::sync::Arc<dyn Hook>],
    event: &Event,
    warnings: &mut Vec<Diagnostic>,
) -> Result<(), HookError> {
    for hook in judges {
        match answer(hook.as_ref(), hook.judge(event, None), warnings)? {
            None | Some(Verdict::Allow) => {}
            Some(Verdict::Warn(said)) => warnings.extend(said),
            Some(Verdict::Deny(diagnostics)) => {
                return Err(HookError::Denied { hook: hook.name().to_owned(), diagnostics });
            }
        }
    }
    Ok(())
}

fn subject(container: &Container) -> Subject {
    let mounts = container.mounts.iter().map(|mount| ContainerMount {
        kind: match mount.kind {
            MountKind::Bind => Shown::Bind,
            MountKind::Volume => Shown::Volume,
            MountKind::Tmpfs => Shown::Tmpfs,
        },
        source: if mount.kind == MountKind::Volume { mount.name.clone() } else { mount.source.clone() },
        target: mount.target.clone(),
        read_only: mount.read_only,
    });
    let env = container.config.env.iter().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    });
    let port = |spec: &PortSpec| Port {
        host_address: spec.host_address,
        host_port: spec.host_port,
        container_port: spec.container_port,
        protocol: spec.protocol,
    };
    let labels = container.config.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
    Subject::Container(ContainerSpec {
        id: container.id.clone(),
        name: container.name.clone(),
        image: container.image.clone(),
        image_id: image_id(container),
        argv: container.argv.clone(),
        env: env.collect(),
        working_dir: container.config.working_dir.clone(),
        user: container.config.user.clone(),
        mounts: mounts.collect(),
        network: container.network.clone(),
        ports: container.ports.iter().map(port).collect(),
        capabilities: container.capabilities.clone(),
        annotations: container.annotations.clone(),
        labels: labels.collect(),
        privileged: container.privileged,
        details: serde_json::to_string(container).unwrap_or_default(),
    })
}

fn image_id(container: &Container) -> Digest {
    container.image_id
}

fn adjust_container(
    container: &mut Container,
    adjustment: &Adjustment,
    hook: &str,
) -> Result<String, HookError> {
    Ok(match adjustment {
        Adjustment::SetEnv(name, value) => {
            container.config.set_env(name, value);
            format!("env {name}={value}")
        }
        Adjustment::AddAnnotation(name, value) => {
            container.annotations.push((name.clone(), value.clone()));
            format!("annotation {name}={value}")
        }
        Adjustment::AddLabel(name, value) => {
            container.config.labels.insert(name.clone(), value.clone());
            format!("label {name}={value}")
        }
        Adjustment::DropCapability(name) => {
            container.capabilities.retain(|held| held != name);
            format!("without {name}")
        }
        Adjustment::UnsetEnv(_)
        | Adjustment::AddHost(..)
        | Adjustment::ProvideFile(_)
        | Adjustment::Attach(_) => {
            let what = "take a variable away, add a host, provide a file or attach something: \
                        this version does not carry it out";
            return Err(HookError::Misfit { hook: hook.to_owned(), what });
        }
    })
}

fn adjust_op(op: &mut Op, adjustment: &Adjustment, hook: &str) -> Result<String, HookError> {
    match (&mut op.action, adjustment) {
        (Action::Exec(exec), Adjustment::SetEnv(name, value)) => {
            exec.env.retain(|(held, _)| held != name);
            exec.env.push((name.clone(), value.clone()));
            Ok(format!("env {name}={value}"))
        }
        (_, Adjustment::SetEnv(..)) => Ok(String::new()),
        (
            _,
            Adjustment::UnsetEnv(_)
            | Adjustment::AddAnnotation(..)
            | Adjustment::AddLabel(..)
            | Adjustment::DropCapability(_)
            | Adjustment::AddHost(..)
            | Adjustment::ProvideFile(_)
            | Adjustment::Attach(_),
        ) => Err(HookError::Misfit {
            hook: hook.to_owned(),
            what: "change anything but the environment in this version",
        }),
    }
}
