//! Hooks: events out, adjustments and verdicts in.

use wharf_model::build::{
    Action, CacheSharing, Command, Copy, Exec, Input, ModeChange, Mount, NetAccess, Op, Owner, Security,
};
use wharf_model::hook::{
    Adjustment, Attached, ContainerSpec, Event, ExecSpec, ImageTransfer, Moment, MountKind, NetworkChange,
    NetworkOp, Phase, ProvidedFile, Subject, Verdict, VolumeChange, VolumeOp,
};
use wharf_model::network::Port;

use super::{Checked, Nonsense, diagnostics, mode, name, parse, text, variable, wrong};
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
        Subject::Exec(spec) => wit::Subject::Exec(exec_spec(spec)),
        Subject::Network(op) => wit::Subject::Network(network_op(op)),
        Subject::Volume(op) => wit::Subject::Volume(volume_op(op)),
        Subject::ImagePull(transfer) => wit::Subject::ImagePull(image_transfer(transfer)),
        Subject::ImagePush(transfer) => wit::Subject::ImagePush(image_transfer(transfer)),
    }
}

fn container(spec: &ContainerSpec) -> wit::ContainerSpec {
    let mount = |mount: &wharf_model::hook::ContainerMount| wit::ContainerMount {
        kind: match mount.kind {
            MountKind::Bind => wit::MountKind::Bind,
            MountKind::Volume => wit::MountKind::Volume,
            MountKind::Tmpfs => wit::MountKind::Tmpfs,
        },
        source: mount.source.clone(),
        target: mount.target.clone(),
        read_only: mount.read_only,
    };
    let port = |port: &Port| wit::ContainerPort {
        host_address: port.host_address.to_string(),
        host_port: port.host_port,
        container_port: port.container_port,
        protocol: port.protocol.into(),
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
        ports: spec.ports.iter().map(port).collect(),
        capabilities: spec.capabilities.clone(),
        annotations: spec.annotations.clone(),
        labels: spec.labels.clone(),
        privileged: spec.privileged,
        details: spec.details.clone(),
    }
}

fn exec_spec(spec: &ExecSpec) -> wit::ExecSpec {
    wit::ExecSpec {
        container: spec.container.clone(),
        container_name: spec.container_name.clone(),
        argv: spec.argv.clone(),
        env: spec.env.clone(),
        working_dir: spec.working_dir.clone(),
        user: spec.user.clone(),
        privileged: spec.privileged,
        tty: spec.tty,
    }
}

fn network_op(op: &NetworkOp) -> wit::NetworkOp {
    wit::NetworkOp {
        action: match op.action {
            NetworkChange::Create => wit::NetworkAction::Create,
            NetworkChange::Remove => wit::NetworkAction::Remove,
            NetworkChange::Connect => wit::NetworkAction::Connect,
            NetworkChange::Disconnect => wit::NetworkAction::Disconnect,
        },
        name: op.name.clone(),
        driver: op.driver.clone(),
        container: op.container.clone(),
        options: op.options.clone(),
    }
}

fn volume_op(op: &VolumeOp) -> wit::VolumeOp {
    wit::VolumeOp {
        action: match op.action {
            VolumeChange::Create => wit::VolumeAction::Create,
            VolumeChange::Remove => wit::VolumeAction::Remove,
        },
        name: op.name.clone(),
        driver: op.driver.clone(),
        labels: op.labels.clone(),
    }
}

fn image_transfer(transfer: &ImageTransfer) -> wit::ImageTransfer {
    wit::ImageTransfer {
        reference: transfer.reference.clone(),
        digest: transfer.digest.map(|digest| digest.to_string()),
        layers: transfer.layers.iter().map(ToString::to_string).collect(),
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
        Action::Git { url, reference, checksum, keep_git_dir } => {
            build_plan::Action::Git(build_plan::GitSource {
                url: url.clone(),
                reference: reference.clone(),
                checksum: checksum.clone(),
                keep_git_dir: *keep_git_dir,
            })
        }
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
        wit::Moment::ImageCommit => Moment::ImageCommit,
        wit::Moment::Container => Moment::Container,
        wit::Moment::Exec => Moment::Exec,
        wit::Moment::Network => Moment::Network,
        wit::Moment::Volume => Moment::Volume,
        wit::Moment::ImagePull => Moment::ImagePull,
        wit::Moment::ImagePush => Moment::ImagePush,
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
            wit::Adjustment::UnsetEnv(key) => Self::UnsetEnv(variable("variable", key)?),
            wit::Adjustment::AddAnnotation((key, value)) => {
                Self::AddAnnotation(name("annotation", key)?, text("annotation", value)?)
            }
            wit::Adjustment::AddLabel((key, value)) => {
                Self::AddLabel(name("label", key)?, text("label", value)?)
            }
            wit::Adjustment::DropCapability(capability) => {
                Self::DropCapability(self::capability(capability)?)
            }
            wit::Adjustment::AddHost((host, address)) => {
                Self::AddHost(host_name(host)?, parse("address", &address)?)
            }
            wit::Adjustment::ProvideFile(raw) => Self::ProvideFile(ProvidedFile {
                target: target(raw.target)?,
                content: raw.content,
                mode: mode(raw.mode)?,
            }),
            wit::Adjustment::Attach(raw) => Self::Attach(Attached {
                name: file_name(raw.name)?,
                media_type: media_type(raw.media_type)?,
                content: raw.content,
            }),
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

/// One word of a line of `/etc/hosts`.
fn host_name(raw: String) -> Checked<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=255).contains(&raw.len()) && raw.bytes().all(plain) {
        return Ok(raw);
    }
    wrong(format!("`{}` is not a host's name", super::shown(raw)))
}

/// An absolute path of plain names.
fn target(raw: String) -> Checked<String> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    let fits = |path: &str| path.len() < 4096 && path.split('/').all(plain);
    if raw.strip_prefix('/').is_some_and(fits) {
        return Ok(raw);
    }
    wrong(format!("`{}` is not an absolute path of plain names", super::shown(raw)))
}

fn file_name(raw: String) -> Checked<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=128).contains(&raw.len()) && !raw.starts_with('.') && raw.bytes().all(plain) {
        return Ok(raw);
    }
    wrong(format!("`{}` is not a plain file name", super::shown(raw)))
}

/// `application/spdx+json`, parameters included.
fn media_type(raw: String) -> Checked<String> {
    let plain = raw.len() <= 255 && raw.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if plain && raw.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty()) {
        return Ok(raw);
    }
    wrong(format!("`{}` is not a media type", super::shown(raw)))
}

/// The adjustments of one hook.
pub(crate) fn adjustments(raw: Vec<wit::Adjustment>) -> Checked<Vec<Adjustment>> {
    super::each("adjustments", raw, TryInto::try_into)
}
