//! Hooks: events out, adjustments and verdicts in.

use wharf_model::build::{
    Action, CacheSharing, Command, Copy, Exec, Input, ModeChange, Mount, NetAccess, Op, Owner, Security,
};
use wharf_model::hook::{Adjustment, ContainerSpec, Event, Moment, Phase, Subject, Verdict};

use super::{Checked, Nonsense, diagnostics, name, text, variable, wrong};
use crate::bindings::{build_plan, hook_types as wit};

/// An event, complete.
pub(crate) fn event(event: &Event) -> wit::Event {
    let change = |change: &wharf_model::hook::Change| wit::Change {
        description: change.description.clone(),
        owner: change.owner.clone(),
    };
    wit::Event { subject: subject(&event.subject), changes: event.changes.iter().map(change).collect() }
}

fn subject(subject: &Subject) -> wit::Subject {
    match subject {
        Subject::BuildOp { op, plugin, instruction } => wit::Subject::BuildOp(wit::ProposedOp {
            op: proposed(op),
            plugin: plugin.clone(),
            instruction: instruction.to_string(),
        }),
        Subject::Container(spec) => wit::Subject::Container(container(spec)),
        Subject::ImageCommit { names, config } => {
            wit::Subject::ImageCommit(wit::ImageCommit { names: names.clone(), config: config.clone() })
        }
    }
}

fn container(spec: &ContainerSpec) -> wit::ContainerSpec {
    let mount = |mount: &wharf_model::hook::ContainerMount| wit::ContainerMount {
        kind: mount.kind.clone(),
        source: mount.source.clone(),
        target: mount.target.clone(),
        read_only: mount.read_only,
    };
    wit::ContainerSpec {
        id: spec.id.clone(),
        name: spec.name.clone(),
        image: spec.image.clone(),
        image_id: spec.image_id.to_string(),
        argv: spec.argv.clone(),
        env: spec.env.clone(),
        working_dir: spec.working_dir.clone(),
        user: spec.user.clone(),
        mounts: spec.mounts.iter().map(mount).collect(),
        network: spec.network.clone(),
        capabilities: spec.capabilities.clone(),
        annotations: spec.annotations.clone(),
        privileged: spec.privileged,
    }
}

fn proposed(op: &Op) -> build_plan::Op {
    build_plan::Op { action: action(&op.action), label: op.label.clone() }
}

fn action(action: &Action) -> build_plan::Action {
    match action {
        Action::Exec(raw) => build_plan::Action::Exec(exec(raw)),
        Action::Copy(raw) => build_plan::Action::Copy(copy(raw)),
        Action::Write { base, path, content, owner: by, mode } => {
            build_plan::Action::Write(build_plan::Write {
                base: input(base),
                path: path.clone(),
                content: content.clone(),
                owner: by.as_ref().map(owner),
                mode: *mode,
            })
        }
        Action::Mkdir { base, path, owner: by, mode } => build_plan::Action::Mkdir(build_plan::Mkdir {
            base: input(base),
            path: path.clone(),
            owner: by.as_ref().map(owner),
            mode: *mode,
        }),
        Action::Remove { base, path, missing_ok } => build_plan::Action::Remove(build_plan::Remove {
            base: input(base),
            path: path.clone(),
            missing_ok: *missing_ok,
        }),
        Action::Symlink { base, target, path } => build_plan::Action::Symlink(build_plan::Symlink {
            base: input(base),
            target: target.clone(),
            path: path.clone(),
        }),
        Action::Image { reference, platform } => build_plan::Action::Image(build_plan::ImageSource {
            reference: reference.clone(),
            platform: platform.clone().map(Into::into),
        }),
        Action::Http { url, checksum, filename } => build_plan::Action::Http(build_plan::HttpSource {
            url: url.clone(),
            checksum: checksum.map(|digest| digest.to_string()),
            filename: filename.clone(),
        }),
        Action::Extension(op) => build_plan::Action::Extension(build_plan::ExtensionOp {
            name: op.name.clone(),
            payload: op.payload.clone(),
        }),
    }
}

fn input(input: &Input) -> build_plan::Input {
    match input {
        Input::Stage => build_plan::Input::Stage,
        Input::Op(index) => build_plan::Input::Op(*index),
        Input::Local => build_plan::Input::Local,
        Input::Named(name) => build_plan::Input::Named(name.clone()),
        Input::Scratch => build_plan::Input::Scratch,
    }
}

fn owner(owner: &Owner) -> build_plan::Owner {
    build_plan::Owner { user: owner.user.clone(), group: owner.group.clone() }
}

fn exec(exec: &Exec) -> build_plan::Exec {
    build_plan::Exec {
        base: input(&exec.base),
        command: match &exec.command {
            Command::Shell(line) => build_plan::Command::Shell(line.clone()),
            Command::Argv(argv) => build_plan::Command::Argv(argv.clone()),
            Command::Script(script) => build_plan::Command::Script(script.clone()),
        },
        env: exec.env.clone(),
        cwd: exec.cwd.clone(),
        user: exec.user.clone(),
        mounts: exec.mounts.iter().map(mount).collect(),
        net: match exec.net {
            NetAccess::None => build_plan::NetAccess::None,
            NetAccess::Sandbox => build_plan::NetAccess::Sandbox,
            NetAccess::Host => build_plan::NetAccess::Host,
        },
        security: match exec.security {
            Security::Sandbox => build_plan::Security::Sandbox,
            Security::Insecure => build_plan::Security::Insecure,
        },
    }
}

fn mount(mount: &Mount) -> build_plan::Mount {
    match mount.clone() {
        Mount::Bind { source, source_path, target, writable } => {
            build_plan::Mount::Bind(build_plan::BindMount {
                source: input(&source),
                source_path,
                target,
                writable,
            })
        }
        Mount::Cache { id, target, sharing, read_only, source, source_path, mode, uid, gid } => {
            let sharing = match sharing {
                CacheSharing::Shared => build_plan::CacheSharing::Shared,
                CacheSharing::Private => build_plan::CacheSharing::Private,
                CacheSharing::Locked => build_plan::CacheSharing::Locked,
            };
            let source = input(&source);
            build_plan::Mount::Cache(build_plan::CacheMount {
                id,
                target,
                sharing,
                read_only,
                source,
                source_path,
                mode,
                uid,
                gid,
            })
        }
        Mount::Secret { id, target, env, required, mode, uid, gid } => {
            build_plan::Mount::Secret(build_plan::SecretMount { id, target, env, required, mode, uid, gid })
        }
        Mount::Ssh { id, target, required, mode, uid, gid } => {
            build_plan::Mount::Ssh(build_plan::SshMount { id, target, required, mode, uid, gid })
        }
        Mount::Tmpfs { target, size } => build_plan::Mount::Tmpfs(build_plan::TmpfsMount { target, size }),
    }
}

fn copy(copy: &Copy) -> build_plan::CopyFiles {
    build_plan::CopyFiles {
        base: input(&copy.base),
        source: input(&copy.source),
        paths: copy.paths.clone(),
        excludes: copy.excludes.clone(),
        dest: copy.dest.clone(),
        owner: copy.owner.as_ref().map(owner),
        mode: copy.mode.as_ref().map(|change| match change {
            ModeChange::Bits(bits) => build_plan::ModeChange::Bits(*bits),
            ModeChange::Symbolic(change) => build_plan::ModeChange::Symbolic(change.clone()),
        }),
        unpack: copy.unpack,
        parents: copy.parents,
        link: copy.link,
    }
}

/// What a hook wants to be asked.
pub(crate) fn subscription((moment, phase): (wit::Moment, wit::Phase)) -> (Moment, Phase) {
    let moment = match moment {
        wit::Moment::BuildOp => Moment::BuildOp,
        wit::Moment::Container => Moment::Container,
        wit::Moment::ImageCommit => Moment::ImageCommit,
    };
    let phase = match phase {
        wit::Phase::Adjust => Phase::Adjust,
        wit::Phase::Judge => Phase::Judge,
        wit::Phase::Observe => Phase::Observe,
    };
    (moment, phase)
}

impl From<wit::Verdict> for Verdict {
    fn from(raw: wit::Verdict) -> Self {
        match raw {
            wit::Verdict::Allow => Self::Allow,
            wit::Verdict::Warn(said) => Self::Warn(diagnostics(said)),
            wit::Verdict::Deny(said) => Self::Deny(diagnostics(said)),
        }
    }
}

impl TryFrom<wit::Adjustment> for Adjustment {
    type Error = Nonsense;

    fn try_from(raw: wit::Adjustment) -> Checked<Self> {
        Ok(match raw {
            wit::Adjustment::SetEnv((key, value)) => {
                Self::SetEnv(variable("variable", key)?, text("value", value)?)
            }
            wit::Adjustment::AddAnnotation((key, value)) => {
                Self::AddAnnotation(name("annotation", key)?, text("annotation", value)?)
            }
            wit::Adjustment::AddLabel((key, value)) => {
                Self::AddLabel(name("label", key)?, text("label", value)?)
            }
            wit::Adjustment::DropCapability(capability) => {
                Self::DropCapability(self::capability(capability)?)
            }
        })
    }
}

fn capability(capability: String) -> Checked<String> {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    if capability.starts_with("CAP_") && capability.len() < 40 && capability.bytes().all(plain) {
        return Ok(capability);
    }
    wrong(format!("`{}` is not a capability such as CAP_NET_RAW", super::shown(capability)))
}

/// The adjustments of one hook.
pub(crate) fn adjustments(raw: Vec<wit::Adjustment>) -> Checked<Vec<Adjustment>> {
    super::each("adjustments", raw, TryInto::try_into)
}
