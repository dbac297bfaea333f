//! A stage while it is planned and built: its config, and the arguments in scope.

use std::collections::{BTreeMap, BTreeSet};

use wharf_model::Platform;
use wharf_model::build::ConfigChange;
use wharf_model::image::{Empty, ImageConfig};

use super::words::Scope;
use crate::container::DEFAULT_PATH;
use crate::volume::clean;

/// Given by the caller or by the platform; in scope without an ARG for RUN only.
pub(super) const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Where values of arguments come from, the same for all stages of a build.
#[derive(Debug, Clone, Default)]
pub(super) struct Arguments {
    /// `--build-arg`.
    pub(super) given: BTreeMap<String, String>,
    /// The platform's, and ARGs from before the first stage.
    pub(super) global: BTreeMap<String, String>,
}

impl Arguments {
    pub(super) fn new(given: &BTreeMap<String, String>, platform: &Platform) -> Self {
        let host = Platform::host();
        let pairs = [
            ("TARGETPLATFORM", platform.to_string()),
            ("TARGETOS", platform.os.clone()),
            ("TARGETARCH", platform.architecture.clone()),
            ("TARGETVARIANT", platform.variant.clone().unwrap_or_default()),
            ("BUILDPLATFORM", host.to_string()),
            ("BUILDOS", host.os),
            ("BUILDARCH", host.architecture),
            ("BUILDVARIANT", host.variant.unwrap_or_default()),
        ];
        let global = pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { given: given.clone(), global }
    }

    /// An ARG from before the first stage.
    pub(super) fn declare_global(&mut self, name: &str, default: Option<&str>) {
        if let Some(value) = self.given.get(name).map(String::as_str).or(default) {
            self.global.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Names before the first stage see global arguments only.
impl Scope for Arguments {
    fn get(&self, name: &str) -> Option<String> {
        self.global.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.global.keys().cloned().collect()
    }

    fn assigned(&self, name: &str, default: Option<&str>) -> Option<String> {
        self.given.get(name).cloned().or_else(|| default.map(str::to_owned))
    }
}

/// One stage's state after some of its statements.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) config: ImageConfig,
    /// ARGs declared in this stage, with their values.
    pub(super) args: BTreeMap<String, String>,
    /// A CMD was given in this stage, so ENTRYPOINT keeps it.
    own_cmd: bool,
    arguments: Arguments,
}

impl State {
    /// On a base image, or on the state of an earlier stage, whose arguments are not inherited.
    pub(super) fn new(config: ImageConfig, arguments: Arguments) -> Self {
        Self { config, args: BTreeMap::new(), own_cmd: false, arguments }
    }

    /// The same with a PATH, so that `ENV PATH=$PATH:/x` means something on any base.
    pub(super) fn with_path(mut self) -> Self {
        if self.config.config.env("PATH").is_none() {
            self.config.config.env.push(DEFAULT_PATH.to_owned());
        }
        self
    }

    /// `/` when there is no WORKDIR.
    pub(super) fn working_dir(&self) -> &str {
        match self.config.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }

    pub(super) fn shell(&self) -> Vec<String> {
        let default = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
        self.config.config.shell.clone().unwrap_or_else(default)
    }

    /// What RUN's programs see: ENV, then ARGs that ENV does not hide.
    pub(super) fn exec_env(&self) -> Vec<String> {
        let env = &self.config.config;
        let visible = self.args.iter().filter(|(name, _)| env.env(name).is_none());
        let args = visible.map(|(name, value)| format!("{name}={value}"));
        env.env.iter().cloned().chain(args).collect()
    }

    /// Given proxies, which are in RUN's environment and in no key.
    pub(super) fn proxies(&self) -> Vec<String> {
        let given = PROXIES.iter().filter(|name| !self.args.contains_key(**name));
        given
            .filter_map(|name| self.arguments.given.get(*name).map(|value| format!("{name}={value}")))
            .collect()
    }

    /// Changes the config as an instruction asked.
    pub(super) fn apply(&mut self, change: &ConfigChange) {
        match change {
            ConfigChange::SetEnv(name, value) => self.config.config.set_env(name, value),
            ConfigChange::UnsetEnv(name) => {
                self.config.config.env.retain(|pair| pair.split('=').next() != Some(name));
            }
            ConfigChange::DeclareArg(name, default) => self.declare(name, default.as_deref()),
            ConfigChange::WorkingDir(path) => self.change_directory(path),
            ConfigChange::User(user) => self.config.config.user.clone_from(user),
            ConfigChange::Entrypoint(argv) => self.set_entrypoint(argv),
            ConfigChange::Cmd(argv) => {
                self.config.config.cmd = Some(argv.clone());
                self.own_cmd = true;
            }
            ConfigChange::Shell(argv) => self.config.config.shell = Some(argv.clone()),
            ConfigChange::StopSignal(signal) => self.config.config.stop_signal = Some(signal.clone()),
            ConfigChange::Healthcheck(check) => self.config.config.healthcheck = Some(check.clone()),
            ConfigChange::OnBuild(line) => self.config.config.on_build.push(line.clone()),
            ConfigChange::Author(author) => self.config.author = Some(author.clone()),
            ConfigChange::Label(..)
            | ConfigChange::Unlabel(_)
            | ConfigChange::Expose(_)
            | ConfigChange::Unexpose(_)
            | ConfigChange::Volume(_)
            | ConfigChange::Unvolume(_) => self.apply_to_sets(change),
        }
    }

    fn apply_to_sets(&mut self, change: &ConfigChange) {
        let config = &mut self.config.config;
        match change {
            ConfigChange::Label(name, value) => drop(config.labels.insert(name.clone(), value.clone())),
            ConfigChange::Unlabel(name) => drop(config.labels.remove(name)),
            ConfigChange::Expose(port) => drop(config.exposed_ports.insert(port.clone(), Empty {})),
            ConfigChange::Unexpose(port) => drop(config.exposed_ports.remove(port)),
            ConfigChange::Volume(path) => drop(config.volumes.insert(path.clone(), Empty {})),
            ConfigChange::Unvolume(path) => drop(config.volumes.remove(path)),
            _ => {}
        }
    }

    /// The caller's value, else the default, else the one from before the first stage.
    fn declare(&mut self, name: &str, default: Option<&str>) {
        if let Some(value) = self.assigned(name, default) {
            self.args.insert(name.to_owned(), value);
        }
    }

    fn change_directory(&mut self, path: &str) {
        self.config.config.working_dir = match path {
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            relative => clean(&format!("{}/{relative}", self.working_dir())),
        };
    }

    fn set_entrypoint(&mut self, argv: &[String]) {
        self.config.config.entrypoint = (!argv.is_empty()).then(|| argv.to_vec());
        if !self.own_cmd {
            self.config.config.cmd = None;
        }
    }
}

/// ENV hides an ARG of the same name.
impl Scope for State {
    fn get(&self, name: &str) -> Option<String> {
        self.config.config.env(name).map(str::to_owned).or_else(|| self.args.get(name).cloned())
    }

    fn names(&self) -> Vec<String> {
        let env = self.config.config.env.iter().filter_map(|pair| pair.split('=').next());
        let names: BTreeSet<String> = env.map(str::to_owned).chain(self.args.keys().cloned()).collect();
        names.into_iter().collect()
    }

    fn assigned(&self, name: &str, default: Option<&str>) -> Option<String> {
        let given = self.arguments.given.get(name).map(String::as_str);
        let global = || self.arguments.global.get(name).map(String::as_str);
        given.or(default).or_else(global).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(given: &[(&str, &str)]) -> State {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut arguments = Arguments::new(&given, &Platform::host());
        arguments.declare_global("VERSION", Some("1"));
        State::new(ImageConfig::empty(&Platform::host()), arguments)
    }

    #[test]
    fn env_hides_arg_and_arg_needs_declaring() {
        let mut state = state(&[("A", "given")]);
        assert_eq!(state.get("A"), None);
        state.apply(&ConfigChange::DeclareArg("A".into(), Some("default".into())));
        state.apply(&ConfigChange::DeclareArg("VERSION".into(), None));
        assert_eq!((state.get("A"), state.get("VERSION")), (Some("given".into()), Some("1".into())));
        state.apply(&ConfigChange::SetEnv("A".into(), "env".into()));
        assert_eq!(state.get("A"), Some("env".into()));
        assert_eq!(state.exec_env(), ["A=env", "VERSION=1"]);
    }

    #[test]
    fn a_path_is_kept_and_a_missing_one_set() {
        assert_eq!(state(&[]).with_path().config.config.env, [DEFAULT_PATH]);
        let mut config = ImageConfig::empty(&Platform::host());
        config.config.env = vec!["A=1".into(), "PATH=/x".into()];
        let state = State::new(config, Arguments::default()).with_path();
        assert_eq!(state.config.config.env, ["A=1", "PATH=/x"]);
    }

    #[test]
    fn entrypoint_forgets_an_inherited_cmd_only() {
        let mut state = state(&[]);
        state.config.config.cmd = Some(vec!["inherited".into()]);
        state.apply(&ConfigChange::Entrypoint(vec!["e".into()]));
        assert_eq!(state.config.config.cmd, None);
        state.apply(&ConfigChange::Cmd(vec!["own".into()]));
        state.apply(&ConfigChange::Entrypoint(vec!["f".into()]));
        assert_eq!(state.config.config.cmd, Some(vec!["own".to_owned()]));
    }

    #[test]
    fn working_dirs_are_joined() {
        let mut state = state(&[]);
        for (path, expected) in
            [("a", "/a"), ("b/", "/a/b"), ("../c", "/a/c"), ("/x//y/", "/x//y/"), ("z/", "/x/y/z")]
        {
            state.apply(&ConfigChange::WorkingDir(path.into()));
            assert_eq!(state.working_dir(), expected);
        }
    }
}
