//! Instructions: statements out, plans in.

use wharf_model::Keyword;
use wharf_model::build::{
    Action, CacheSharing, Command, ConfigChange, Copy, Exec, Input, ModeChange, Mount, NetAccess, Op,
    Outcome, Owner, Plan, Security, StageStart,
};
use wharf_model::image::Healthcheck;
use wharf_model::statement::{Body, BodyKind, FlagSpec, Heredoc, Invocation, KeywordSpec};

use super::{
    Checked, Nonsense, diagnostics, each, mode, name, option, parse, text, texts, variable, variables, wrong,
};
use crate::bindings::build_plan as wit;
use crate::bindings::instructions as call;

impl TryFrom<call::KeywordSpec> for KeywordSpec {
    type Error = Nonsense;

    fn try_from(raw: call::KeywordSpec) -> Checked<Self> {
        Ok(Self {
            keyword: parse("keyword", &raw.keyword)?,
            summary: text("summary", raw.summary)?,
            body: match raw.body {
                call::BodyKind::Words => BodyKind::Words,
                call::BodyKind::Pairs => BodyKind::Pairs,
                call::BodyKind::Assignments => BodyKind::Assignments,
                call::BodyKind::JsonOrWords => BodyKind::JsonOrWords,
                call::BodyKind::JsonOrText => BodyKind::JsonOrText,
                call::BodyKind::Text => BodyKind::Text,
            },
            expands_variables: raw.expands_variables,
            heredocs: raw.heredocs,
            flags: each("flags", raw.flags, flag)?,
            before_from: raw.before_from,
            starts_stage: raw.starts_stage,
        })
    }
}

fn flag(raw: call::FlagSpec) -> Checked<FlagSpec> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !raw.name.bytes().all(plain) {
        return wrong(format!("`{}` is not a flag's name", raw.name));
    }
    Ok(FlagSpec {
        name: name("flag", raw.name)?,
        takes_value: raw.takes_value,
        repeatable: raw.repeatable,
        expands_variables: raw.expands_variables,
        doc: text("doc", raw.doc)?,
    })
}

/// The keywords of a plugin: at least one, none twice.
pub(crate) fn keywords(raw: Vec<call::KeywordSpec>) -> Checked<Vec<KeywordSpec>> {
    let specs = each("keywords", raw, KeywordSpec::try_from)?;
    let mut seen: Vec<&Keyword> = specs.iter().map(|spec| &spec.keyword).collect();
    seen.sort();
    if let Some([twice, _]) = seen.array_windows().find(|[left, right]| left == right) {
        return wrong(format!("describes `{twice}` twice"));
    }
    if specs.is_empty() { wrong("describes no keyword") } else { Ok(specs) }
}

/// A statement, under the plugin's own keyword.
pub(crate) fn invocation(invocation: &Invocation, keyword: &Keyword) -> call::Invocation {
    call::Invocation {
        keyword: keyword.to_string(),
        flags: invocation.flags.clone(),
        body: body(&invocation.body),
        heredocs: invocation.heredocs.iter().map(heredoc).collect(),
        span: invocation.span.clone().into(),
        stage: invocation.stage.clone(),
    }
}

fn body(body: &Body) -> call::Body {
    match body {
        Body::Words(words) => call::Body::Words(words.clone()),
        Body::Json(words) => call::Body::Json(words.clone()),
        Body::Pairs { items, legacy } => {
            call::Body::Pairs(call::Pairs { items: items.clone(), legacy: *legacy })
        }
        Body::Assignments(items) => call::Body::Assignments(items.clone()),
        Body::Text(text) => call::Body::Text(text.clone()),
    }
}

fn heredoc(heredoc: &Heredoc) -> call::Heredoc {
    call::Heredoc {
        name: heredoc.name.clone(),
        expand: heredoc.expand,
        chomp: heredoc.chomp,
        content: heredoc.content.clone(),
    }
}

impl TryFrom<call::Outcome> for Outcome {
    type Error = Nonsense;

    fn try_from(raw: call::Outcome) -> Checked<Self> {
        Ok(match raw {
            call::Outcome::Plan(plan) => Self::Plan(plan.try_into()?),
            call::Outcome::Stage(stage) => Self::Stage(StageStart {
                base: input(stage.base, 0)?,
                name: option(stage.name, |stage| name("stage name", stage))?,
                platform: option(stage.platform, TryInto::try_into)?,
                diagnostics: Vec::new(),
            }),
            call::Outcome::Expand(lines) => Self::Expand(texts("lines", lines)?),
        })
    }
}

impl TryFrom<wit::Plan> for Plan {
    type Error = Nonsense;

    fn try_from(raw: wit::Plan) -> Checked<Self> {
        let mut earlier = 0;
        let ops = each("ops", raw.ops, |raw| {
            let converted = op(raw, earlier)?;
            earlier += 1;
            Ok(converted)
        })?;
        Ok(Self {
            ops,
            rootfs: input(raw.rootfs, earlier)?,
            config: each("config changes", raw.config, config_change)?,
            diagnostics: diagnostics(raw.diagnostics),
        })
    }
}

fn op(raw: wit::Op, earlier: u32) -> Checked<Op> {
    Ok(Op { action: action(raw.action, earlier)?, label: super::shown(text("label", raw.label)?) })
}

fn input(raw: wit::Input, earlier: u32) -> Checked<Input> {
    Ok(match raw {
        wit::Input::Stage => Input::Stage,
        wit::Input::Op(index) if index < earlier => Input::Op(index),
        wit::Input::Op(index) => return wrong(format!("op {index} is not an earlier op (of {earlier})")),
        wit::Input::Local => Input::Local,
        wit::Input::Named(input) => Input::Named(name("input", input)?),
        wit::Input::Scratch => Input::Scratch,
    })
}

fn action(raw: wit::Action, earlier: u32) -> Checked<Action> {
    Ok(match raw {
        wit::Action::Exec(raw) => Action::Exec(exec(raw, earlier)?),
        wit::Action::Copy(raw) => Action::Copy(copy(raw, earlier)?),
        wit::Action::Write(raw) => Action::Write {
            base: input(raw.base, earlier)?,
            path: name("path", raw.path)?,
            content: raw.content,
            owner: option(raw.owner, owner)?,
            mode: mode(raw.mode)?,
        },
        wit::Action::Mkdir(raw) => Action::Mkdir {
            base: input(raw.base, earlier)?,
            path: name("path", raw.path)?,
            owner: option(raw.owner, owner)?,
            mode: mode(raw.mode)?,
        },
        wit::Action::Remove(raw) => Action::Remove {
            base: input(raw.base, earlier)?,
            path: name("path", raw.path)?,
            missing_ok: raw.missing_ok,
        },
        wit::Action::Symlink(raw) => Action::Symlink {
            base: input(raw.base, earlier)?,
            target: name("target", raw.target)?,
            path: name("path", raw.path)?,
        },
        wit::Action::Image(raw) => Action::Image {
            reference: name("image", raw.reference)?,
            platform: option(raw.platform, TryInto::try_into)?,
        },
        wit::Action::Http(raw) => http(raw)?,
        wit::Action::Git(raw) => git(raw)?,
        wit::Action::Extension(raw) => Action::Extension(raw.try_into()?),
    })
}

fn http(raw: wit::HttpSource) -> Checked<Action> {
    let scheme = raw.url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        return wrong(format!("`{}` is not an http address", super::shown(raw.url)));
    }
    if raw.filename.contains('/') || matches!(raw.filename.as_str(), "." | "..") {
        return wrong(format!("`{}` is not a file name", super::shown(raw.filename)));
    }
    Ok(Action::Http {
        url: text("url", raw.url)?,
        checksum: option(raw.checksum, |digest| parse("checksum", &digest))?,
        filename: name("file name", raw.filename)?,
    })
}

fn git(raw: wit::GitSource) -> Checked<Action> {
    let plain = |letter: char| !letter.is_whitespace() && !letter.is_control();
    let word = |what: &str, text: String| {
        let word = name(what, text)?;
        // `git` would take it for an option.
        if (what == "repository" && word.starts_with('-')) || !word.chars().all(plain) {
            return wrong(format!("{what} `{}` is not one word", super::shown(word)));
        }
        Ok(word)
    };
    let url = word("repository", raw.url)?;
    let known = ["https://", "http://", "git://", "ssh://"].iter().any(|scheme| url.starts_with(scheme));
    let scp = url.split_once(':').is_some_and(|(host, path)| host.contains('@') && !path.starts_with("//"));
    if !known && !scp {
        return wrong(format!("`{}` is not the address of a repository", super::shown(url)));
    }
    Ok(Action::Git {
        url,
        reference: option(raw.reference, |reference| word("reference", reference))?,
        checksum: option(raw.checksum, commit)?,
        keep_git_dir: raw.keep_git_dir,
    })
}

/// The name of a commit, or its beginning.
fn commit(raw: String) -> Checked<String> {
    if (4..=64).contains(&raw.len()) && raw.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(raw.to_ascii_lowercase());
    }
    wrong(format!("checksum `{}` is not the name of a commit", super::shown(raw)))
}

/// A group alone leaves the user out, as in `--chown=:group`.
fn owner(raw: wit::Owner) -> Checked<Owner> {
    let group = option(raw.group, |group| name("group", group))?;
    let user = if raw.user.is_empty() && group.is_some() { raw.user } else { name("owner", raw.user)? };
    Ok(Owner { user, group })
}

fn exec(raw: wit::Exec, earlier: u32) -> Checked<Exec> {
    Ok(Exec {
        base: input(raw.base, earlier)?,
        command: match raw.command {
            wit::Command::Shell(line) => Command::Shell(text("command", line)?),
            wit::Command::Argv(argv) if argv.is_empty() => return wrong("an exec has no program"),
            wit::Command::Argv(argv) => Command::Argv(texts("arguments", argv)?),
            wit::Command::Script(script) => Command::Script(text("script", script)?),
        },
        env: variables(raw.env)?,
        cwd: option(raw.cwd, |cwd| name("directory", cwd))?,
        user: option(raw.user, |user| name("user", user))?,
        mounts: each("mounts", raw.mounts, |raw| mount(raw, earlier))?,
        net: match raw.net {
            wit::NetAccess::None => NetAccess::None,
            wit::NetAccess::Sandbox => NetAccess::Sandbox,
            wit::NetAccess::Host => NetAccess::Host,
        },
        security: match raw.security {
            wit::Security::Sandbox => Security::Sandbox,
            wit::Security::Insecure => Security::Insecure,
        },
        devices: Vec::new(), // they come by another way
    })
}

fn mount(raw: wit::Mount, earlier: u32) -> Checked<Mount> {
    Ok(match raw {
        wit::Mount::Bind(raw) => Mount::Bind {
            source: input(raw.source, earlier)?,
            source_path: text("mount source", raw.source_path)?,
            target: name("mount target", raw.target)?,
            writable: raw.writable,
        },
        wit::Mount::Cache(raw) => cache(raw, earlier)?,
        wit::Mount::Secret(raw) => Mount::Secret {
            id: name("secret", raw.id)?,
            target: option(raw.target, |target| name("mount target", target))?,
            env: option(raw.env, |env| variable("variable", env))?,
            required: raw.required,
            mode: mode(raw.mode)?,
            uid: raw.uid,
            gid: raw.gid,
        },
        wit::Mount::Ssh(raw) => Mount::Ssh {
            id: name("agent", raw.id)?,
            target: option(raw.target, |target| name("mount target", target))?,
            required: raw.required,
            mode: mode(raw.mode)?,
            uid: raw.uid,
            gid: raw.gid,
        },
        wit::Mount::Tmpfs(raw) => Mount::Tmpfs { target: name("mount target", raw.target)?, size: raw.size },
    })
}

fn cache(raw: wit::CacheMount, earlier: u32) -> Checked<Mount> {
    Ok(Mount::Cache {
        id: name("cache", raw.id)?,
        target: name("mount target", raw.target)?,
        sharing: match raw.sharing {
            wit::CacheSharing::Shared => CacheSharing::Shared,
            wit::CacheSharing::Private => CacheSharing::Private,
            wit::CacheSharing::Locked => CacheSharing::Locked,
        },
        read_only: raw.read_only,
        source: input(raw.source, earlier)?,
        source_path: text("mount source", raw.source_path)?,
        mode: mode(raw.mode)?,
        uid: raw.uid,
        gid: raw.gid,
    })
}

fn copy(raw: wit::CopyFiles, earlier: u32) -> Checked<Copy> {
    Ok(Copy {
        base: input(raw.base, earlier)?,
        source: input(raw.source, earlier)?,
        paths: each("paths", raw.paths, |path| name("path", path))?,
        excludes: texts("excludes", raw.excludes)?,
        dest: name("destination", raw.dest)?,
        owner: option(raw.owner, owner)?,
        mode: option(raw.mode, |change| {
            Ok(match change {
                wit::ModeChange::Bits(bits) => ModeChange::Bits(mode(bits)?),
                wit::ModeChange::Symbolic(change) => ModeChange::Symbolic(name("mode", change)?),
            })
        })?,
        unpack: raw.unpack,
        parents: raw.parents,
        link: raw.link,
    })
}

fn config_change(raw: wit::ConfigChange) -> Checked<ConfigChange> {
    use wit::ConfigChange as Raw;
    Ok(match raw {
        Raw::SetEnv((key, value)) => ConfigChange::SetEnv(variable("variable", key)?, text("value", value)?),
        Raw::UnsetEnv(key) => ConfigChange::UnsetEnv(variable("variable", key)?),
        Raw::DeclareArg((key, value)) => {
            ConfigChange::DeclareArg(variable("argument", key)?, option(value, |value| text("value", value))?)
        }
        Raw::WorkingDir(path) => ConfigChange::WorkingDir(name("directory", path)?),
        Raw::User(user) => ConfigChange::User(text("user", user)?),
        Raw::Entrypoint(argv) => ConfigChange::Entrypoint(texts("arguments", argv)?),
        Raw::Cmd(argv) => ConfigChange::Cmd(texts("arguments", argv)?),
        Raw::Shell(argv) => ConfigChange::Shell(texts("arguments", argv)?),
        Raw::Label((key, value)) => ConfigChange::Label(name("label", key)?, text("label", value)?),
        Raw::Unlabel(key) => ConfigChange::Unlabel(name("label", key)?),
        Raw::Expose(port) => ConfigChange::Expose(name("port", port)?),
        Raw::Unexpose(port) => ConfigChange::Unexpose(name("port", port)?),
        Raw::Volume(path) => ConfigChange::Volume(name("volume", path)?),
        Raw::Unvolume(path) => ConfigChange::Unvolume(name("volume", path)?),
        Raw::StopSignal(signal) => ConfigChange::StopSignal(name("signal", signal)?),
        Raw::Healthcheck(raw) => ConfigChange::Healthcheck(Healthcheck {
            test: texts("arguments", raw.test)?,
            interval: raw.interval,
            timeout: raw.timeout,
            start_period: raw.start_period,
            start_interval: raw.start_interval,
            retries: raw.retries,
        }),
        Raw::OnBuild(line) => ConfigChange::OnBuild(name("trigger", line)?),
        Raw::Author(author) => ConfigChange::Author(text("author", author)?),
    })
}
