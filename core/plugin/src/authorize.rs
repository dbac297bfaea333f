//! Whether a plugin may have what its plan asks for.
//!
//! One exhaustive `match` per kind of plan: an operation that is added to the contract does not
//! compile until somebody has said here which right it takes. A plan is allowed or refused whole.
//! Reading another stage, image or context by name takes the right `image`.

use url::Url;
use wharf_model::ExtensionOp;
use wharf_model::build::{Action, Exec, Input, Mount, NetAccess, Outcome, Plan, Security};
use wharf_model::grant::{Grants, NetGrant, Right};
use wharf_model::hook::{Adjustment, Phase};
use wharf_model::network::{Namespace, NetworkAction, NetworkPlan};
use wharf_model::storage::{StorageAction, StorageMount, StoragePlan};

/// Experimental operations that this version can carry out.
pub const FEATURES: &[&str] = &[];

/// A right is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.what())]
pub struct Denied {
    /// Which plugin.
    pub plugin: String,
    /// What it lacks, as `ops:exec` or `net:host`.
    pub right: String,
    /// The TOML that would grant it.
    pub toml: String,
    /// Its manifest asks for it, so that it can be granted.
    pub requested: bool,
}

impl Denied {
    fn what(&self) -> String {
        let right = &self.right;
        if self.requested {
            format!("was not granted `{right}`")
        } else {
            format!("needs `{right}`, and its manifest does not request it")
        }
    }

    /// How to grant it, if that is what it takes.
    pub fn next_step(&self) -> String {
        let Self { plugin, right, toml, requested } = self;
        if !requested {
            return format!(
                "this is a mistake in the plugin `{plugin}`, and no grant helps: tell its author, or use another"
            );
        }
        format!("to allow it, run `wharf plugin grant {plugin} {right}`, or write:\n{toml}")
    }
}

/// What `read` grants let a plugin look at.
#[derive(Debug)]
pub struct Reads {
    everything: bool,
    patterns: Vec<glob::Pattern>,
}

impl Reads {
    /// Of the words in the TOML.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a String>) -> Self {
        let mut reads = Self { everything: false, patterns: Vec::new() };
        for word in words {
            reads.everything |= word == "context";
            let pattern = word.strip_prefix("context:").and_then(|word| glob::Pattern::new(word).ok());
            reads.patterns.extend(pattern);
        }
        reads
    }

    /// Whether it may look at a path of a build context.
    pub fn may(&self, path: &str) -> bool {
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        self.everything
            || self.patterns.iter().any(|pattern| {
                let directory = pattern.as_str().strip_suffix("/**");
                pattern.matches_with(path, options) || directory == Some(path)
            })
    }
}

/// Checks what an instruction answered.
///
/// # Errors
/// Names the first missing grant.
pub fn build(plugin: &str, grants: &Grants, outcome: &Outcome) -> Result<(), Denied> {
    let check = Check { plugin, grants };
    match outcome {
        Outcome::Plan(plan) => check.plan(plan),
        Outcome::Stage(_) => check.right(Right::Stage),
        Outcome::Expand(_) => check.right(Right::Expand),
    }
}

/// Checks one operation of a build, as it is about to be carried out.
///
/// # Errors
/// Names the first missing grant.
pub fn operation(plugin: &str, grants: &Grants, action: &Action) -> Result<(), Denied> {
    Check { plugin, grants }.action(action)
}

/// Checks what a storage driver answered.
///
/// # Errors
/// Names the first missing grant.
pub fn storage(plugin: &str, grants: &Grants, plan: &StoragePlan) -> Result<(), Denied> {
    let check = Check { plugin, grants };
    for step in &plan.steps {
        match &step.action {
            StorageAction::Mkdir { .. } | StorageAction::Rename { .. } | StorageAction::CloneTree { .. } => {
                check.right(Right::Directory)?;
            }
            StorageAction::MakeFile { .. }
            | StorageAction::Format { .. }
            | StorageAction::CloneFile { .. } => check.right(Right::File)?,
            StorageAction::RemoveTree(_) => check.right(Right::RemoveTree)?,
            StorageAction::Extension(op) => check.extension(op)?,
        }
    }
    for mount in &plan.mounts {
        match mount {
            StorageMount::Overlay { .. } => check.right(Right::MountOverlay)?,
            StorageMount::Bind { .. } => check.right(Right::MountDirectory)?,
            StorageMount::Image { .. } => check.right(Right::MountImage)?,
        }
    }
    Ok(())
}

/// Checks what a network driver answered.
///
/// # Errors
/// Names the first missing grant.
pub fn network(plugin: &str, grants: &Grants, plan: &NetworkPlan) -> Result<(), Denied> {
    let check = Check { plugin, grants };
    match plan.namespace {
        Namespace::Own => {}
        Namespace::Host => check.right(Right::HostNetwork)?,
    }
    for step in &plan.steps {
        match &step.action {
            NetworkAction::Bridge { .. } | NetworkAction::Veth { .. } => check.right(Right::Link)?,
            NetworkAction::Address { .. } | NetworkAction::Route { .. } => check.right(Right::Address)?,
            NetworkAction::Sysctl { .. } => check.right(Right::Sysctl)?,
            NetworkAction::Rule(_) => check.right(Right::Firewall)?,
            NetworkAction::Forward(_) => check.right(Right::Publish)?,
            NetworkAction::Extension(op) => check.extension(op)?,
        }
    }
    Ok(())
}

/// Checks what an adjusting hook answered.
///
/// # Errors
/// When it may not adjust.
pub fn adjustments(plugin: &str, grants: &Grants, adjustments: &[Adjustment]) -> Result<(), Denied> {
    let check = Check { plugin, grants };
    for adjustment in adjustments {
        match adjustment {
            Adjustment::SetEnv(..)
            | Adjustment::UnsetEnv(_)
            | Adjustment::AddAnnotation(..)
            | Adjustment::AddLabel(..)
            | Adjustment::DropCapability(_)
            | Adjustment::AddHost(..)
            | Adjustment::ProvideFile(_)
            | Adjustment::Attach(_) => check.right(Right::Adjust)?,
        }
    }
    Ok(())
}

/// Checks whether a hook may be asked at all.
///
/// # Errors
/// When it may not.
pub fn phase(plugin: &str, grants: &Grants, phase: Phase) -> Result<(), Denied> {
    let check = Check { plugin, grants };
    match phase {
        Phase::Adjust => check.right(Right::Adjust),
        Phase::Judge => check.right(Right::Judge),
        Phase::Observe => check.right(Right::Observe),
    }
}

/// A refused call of something outside of `grants.remote`.
pub(crate) fn uncovered(plugin: &str, grants: &Grants, mut url: Url) -> Denied {
    url.set_query(None);
    let toml = lines(plugin, "remote", grants.remote.iter().cloned(), url.as_str());
    Denied { plugin: plugin.into(), right: format!("remote:{url}"), toml, requested: true }
}

/// A component that imports `remote` without any grant; `wanted` is what its manifest asks for.
pub(crate) fn unlinked_remote(plugin: &str, wanted: &[&str]) -> Denied {
    let named = wanted.iter().filter(|address| **address != "*");
    let mut wanted: Vec<String> = named.map(|address| (*address).to_owned()).collect();
    let last = wanted.pop().unwrap_or_else(|| "https://host.example/path/".into());
    let toml = lines(plugin, "remote", wanted.into_iter(), &last);
    Denied { plugin: plugin.into(), right: format!("remote:{last}"), toml, requested: true }
}

/// A refused look at something outside of `grants.read`.
pub(crate) fn unreadable(plugin: &str, grants: &Grants, wanted: &str) -> Denied {
    let toml = lines(plugin, "read", grants.read.iter().cloned(), wanted);
    Denied { plugin: plugin.into(), right: format!("read:{wanted}"), toml, requested: true }
}

struct Check<'a> {
    plugin: &'a str,
    grants: &'a Grants,
}

impl Check<'_> {
    fn plan(&self, plan: &Plan) -> Result<(), Denied> {
        self.input(&plan.rootfs)?;
        for op in &plan.ops {
            self.action(&op.action)?;
        }
        if plan.config.is_empty() { Ok(()) } else { self.right(Right::Config) }
    }

    fn action(&self, action: &Action) -> Result<(), Denied> {
        match action {
            Action::Exec(exec) => self.exec(exec),
            Action::Copy(copy) => {
                self.right(Right::Copy)?;
                self.input(&copy.base)?;
                self.input(&copy.source)
            }
            Action::Write { base, .. } | Action::Mkdir { base, .. } | Action::Symlink { base, .. } => {
                self.right(Right::Write)?;
                self.input(base)
            }
            Action::Remove { base, .. } => {
                self.right(Right::Remove)?;
                self.input(base)
            }
            Action::Image { .. } => self.right(Right::Image),
            Action::Http { .. } => self.right(Right::Http),
            Action::Git { .. } => self.right(Right::Git),
            Action::Extension(op) => self.extension(op),
        }
    }

    fn exec(&self, exec: &Exec) -> Result<(), Denied> {
        self.right(Right::Exec)?;
        self.input(&exec.base)?;
        match exec.security {
            Security::Sandbox => {}
            Security::Insecure => self.right(Right::ExecInsecure)?,
        }
        if !exec.devices.is_empty() {
            self.right(Right::ExecDevice)?;
        }
        match exec.net {
            NetAccess::None => {}
            NetAccess::Sandbox => self.net(NetGrant::Sandbox)?,
            NetAccess::Host => self.net(NetGrant::Host)?,
        }
        exec.mounts.iter().try_for_each(|mount| self.mount(mount))
    }

    fn mount(&self, mount: &Mount) -> Result<(), Denied> {
        match mount {
            Mount::Bind { source, .. } => {
                self.right(Right::MountBind)?;
                self.input(source)
            }
            Mount::Cache { source, .. } => {
                self.right(Right::MountCache)?;
                self.input(source)
            }
            Mount::Secret { .. } | Mount::Ssh { .. } => self.right(Right::MountSecret),
            Mount::Tmpfs { .. } => Ok(()),
        }
    }

    fn input(&self, input: &Input) -> Result<(), Denied> {
        match input {
            Input::Stage | Input::Op(_) | Input::Local | Input::Scratch => Ok(()),
            Input::Named(_) => self.right(Right::Image),
        }
    }

    fn right(&self, right: Right) -> Result<(), Denied> {
        if self.grants.ops.contains(&right) {
            return Ok(());
        }
        Err(self.denied("ops", self.grants.ops.iter().map(|granted| word(*granted)), &word(right)))
    }

    fn net(&self, net: NetGrant) -> Result<(), Denied> {
        if self.grants.net.contains(&net) {
            return Ok(());
        }
        Err(self.denied("net", self.grants.net.iter().map(|granted| net_word(*granted)), &net_word(net)))
    }

    fn extension(&self, op: &ExtensionOp) -> Result<(), Denied> {
        if self.grants.extensions.contains(&op.name) && FEATURES.contains(&op.name.as_str()) {
            return Ok(());
        }
        Err(self.denied("extensions", self.grants.extensions.iter().cloned(), &op.name))
    }

    fn denied(&self, key: &str, granted: impl Iterator<Item = String>, missing: &str) -> Denied {
        let toml = lines(self.plugin, key, granted, missing);
        Denied { plugin: self.plugin.into(), right: format!("{key}:{missing}"), toml, requested: true }
    }
}

fn lines(plugin: &str, key: &str, granted: impl Iterator<Item = String>, missing: &str) -> String {
    let mut words: Vec<String> = granted.map(|word| format!("{word:?}")).collect();
    let missing = format!("{missing:?}");
    if !words.contains(&missing) {
        words.push(missing);
    }
    format!("[plugin.{plugin}]\ngrants.{key} = [{}]", words.join(", "))
}

/// The word of the TOML, which is the one serde writes.
pub(crate) fn word(right: Right) -> String {
    kebab(&format!("{right:?}"))
}

pub(crate) fn net_word(net: NetGrant) -> String {
    kebab(&format!("{net:?}"))
}

fn kebab(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_model::build::{Command, ConfigChange, Device, Op, StageStart};

    fn exec(net: NetAccess, security: Security, mounts: Vec<Mount>) -> Action {
        let command = Command::Shell("true".into());
        Action::Exec(Exec {
            base: Input::Stage,
            command,
            env: vec![],
            cwd: None,
            user: None,
            mounts,
            net,
            security,
            devices: vec![],
        })
    }

    fn with_device(action: Action) -> Action {
        let Action::Exec(exec) = action else { return action };
        let devices = vec![Device { name: "vendor.com/class=a".into(), required: false }];
        Action::Exec(Exec { devices, ..exec })
    }

    fn plan(action: Action) -> Outcome {
        let ops = vec![Op { action, label: String::new() }];
        Outcome::Plan(Plan { ops, rootfs: Input::Op(0), config: vec![], diagnostics: vec![] })
    }

    fn grants(ops: &[Right], net: &[NetGrant]) -> Grants {
        Grants { ops: ops.iter().copied().collect(), net: net.iter().copied().collect(), ..Grants::default() }
    }

    #[test]
    fn every_missing_right_is_named() {
        let secret = Mount::Secret {
            id: "a".into(),
            target: None,
            env: None,
            required: true,
            mode: 0,
            uid: 0,
            gid: 0,
        };
        let bind = Mount::Bind {
            source: Input::Named("x".into()),
            source_path: "/".into(),
            target: "/x".into(),
            writable: false,
        };
        let all = [Right::Exec, Right::MountBind];
        for (granted, action, missing) in [
            (grants(&[], &[]), exec(NetAccess::None, Security::Sandbox, vec![]), "ops:exec"),
            (grants(&all, &[]), exec(NetAccess::Sandbox, Security::Sandbox, vec![]), "net:sandbox"),
            (
                grants(&all, &[NetGrant::Sandbox]),
                exec(NetAccess::Host, Security::Sandbox, vec![]),
                "net:host",
            ),
            (grants(&all, &[]), exec(NetAccess::None, Security::Insecure, vec![]), "ops:exec-insecure"),
            (
                grants(&all, &[]),
                with_device(exec(NetAccess::None, Security::Sandbox, vec![])),
                "ops:exec-device",
            ),
            (grants(&all, &[]), exec(NetAccess::None, Security::Sandbox, vec![secret]), "ops:mount-secret"),
            (grants(&all, &[]), exec(NetAccess::None, Security::Sandbox, vec![bind]), "ops:image"),
            (
                grants(&all, &[]),
                Action::Extension(ExtensionOp { name: "x".into(), payload: vec![] }),
                "extensions:x",
            ),
        ] {
            let denied = build("p", &granted, &plan(action)).unwrap_err();
            assert_eq!(denied.right, missing);
        }
    }

    #[test]
    fn what_is_granted_passes() {
        let granted = grants(&[Right::Exec], &[NetGrant::Sandbox]);
        assert_eq!(build("p", &granted, &plan(exec(NetAccess::Sandbox, Security::Sandbox, vec![]))), Ok(()));
    }

    #[test]
    fn stages_lines_and_config_take_rights_too() {
        let stage = Outcome::Stage(StageStart {
            base: Input::Scratch,
            name: None,
            platform: None,
            diagnostics: vec![],
        });
        let config = Outcome::Plan(Plan {
            ops: vec![],
            rootfs: Input::Stage,
            config: vec![ConfigChange::User("a".into())],
            diagnostics: vec![],
        });
        for (outcome, missing) in
            [(stage, "ops:stage"), (Outcome::Expand(vec![]), "ops:expand"), (config, "ops:config")]
        {
            assert_eq!(build("p", &Grants::default(), &outcome).unwrap_err().right, missing);
        }
    }

    #[test]
    fn the_error_holds_the_lines_that_would_grant_it() {
        let granted = grants(&[Right::Exec, Right::Copy], &[]);
        let denied = build("apt", &granted, &plan(exec(NetAccess::None, Security::Insecure, vec![])));
        assert_eq!(
            denied.unwrap_err().toml,
            "[plugin.apt]\ngrants.ops = [\"exec\", \"copy\", \"exec-insecure\"]"
        );
    }

    #[test]
    fn words_are_those_of_the_config() {
        for right in
            [Right::Stage, Right::ExecInsecure, Right::ExecDevice, Right::RemoveTree, Right::HostNetwork]
        {
            assert_eq!(serde_json::to_value(right).unwrap(), word(right));
        }
    }
}
