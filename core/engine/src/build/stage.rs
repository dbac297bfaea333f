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

/// The argument that holds the name of the stage that is built.
pub(super) const TARGET_STAGE: &str = "TARGETSTAGE";

/// Where values of arguments come from, the same for all stages of a build.
#[derive(Debug, Clone, Default)]
pub(super) struct Arguments {
    /// `--build-arg`.
    pub(super) given: BTreeMap<String, String>,
    /// The platform's, and ARGs from before the first stage.
    pub(super) global: BTreeMap<String, String>,
}

impl Arguments {
    /// The platform's arguments; a given one of that name wins.
    pub(super) fn new(given: &BTreeMap<String, String>, platform: &Platform) -> Self {
        let host = Platform::host();
        let pairs = [
            ("TARGETPLATFORM", platform.to_string()),
            ("TARGETOS", platform.os.clone()),
            ("TARGETOSVERSION", String::new()),
            ("TARGETARCH", platform.architecture.clone()),
            ("TARGETVARIANT", platform.variant.clone().unwrap_or_default()),
            ("BUILDPLATFORM", host.to_string()),
            ("BUILDOS", host.os),
            ("BUILDOSVERSION", String::new()),
            ("BUILDARCH", host.architecture),
            ("BUILDVARIANT", host.variant.unwrap_or_default()),
            (TARGET_STAGE, "default".to_owned()),
        ];
        let mut arguments = Self { given: given.clone(), global: BTreeMap::new() };
        pairs.iter().for_each(|(name, value)| arguments.declare_global(name, Some(value)));
        arguments
    }

    /// The stage that is built, for `ARG TARGETSTAGE`.
    pub(super) fn set_target_stage(&mut self, name: &str) {
        self.declare_global(TARGET_STAGE, Some(name));
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
    /// ARGs declared in this stage or in the one it stands on, with their values.
    pub(super) args: BTreeMap<String, String>,
    /// Those of them that were declared after an ENV of that name: the later one counts.
    over_env: BTreeSet<String>,
    /// The config's WORKDIR without what its text may have too much, such as `..`.
    directory: String,
    /// A CMD was given in this stage, so ENTRYPOINT keeps it.
    own_cmd: bool,
    arguments: Arguments,
}

impl State {
    /// On a base image.
    pub(super) fn new(config: ImageConfig, arguments: Arguments) -> Self {
        let directory = clean(&format!("/{}", config.config.working_dir));
        let (args, over_env) = (BTreeMap::new(), BTreeSet::new());
        Self { config, args, over_env, directory, own_cmd: false, arguments }
    }

    /// Where the statements before the first stage and those that begin one are read: the arguments in scope are
    /// the platform's and those from before the first stage.
    pub(super) fn before_stages(arguments: Arguments) -> Self {
        let args = arguments.global.clone();
        Self { args, ..Self::new(ImageConfig::empty(&Platform::host()), arguments) }
    }

    /// On the state of an earlier stage: with its arguments, as BuildKit has it. Its ENVs are those of an
    /// image to stand on, and count however its ARGs came after them.
    pub(super) fn on_stage(below: Self, arguments: Arguments) -> Self {
        Self { own_cmd: false, over_env: BTreeSet::new(), arguments, ..below }
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
        &self.directory
    }

    pub(super) fn shell(&self) -> Vec<String> {
        let default = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
        self.config.config.shell.clone().unwrap_or_else(default)
    }

    /// What RUN's programs see: ENV and ARG, of two with one name the later.
    pub(super) fn exec_env(&self) -> Vec<String> {
        let env = &self.config.config;
        let hidden = |pair: &&String| self.over_env.contains(pair.split('=').next().unwrap_or_default());
        let kept = env.env.iter().filter(|pair| !hidden(pair)).cloned();
        let is_seen = |name: &String| self.over_env.contains(name) || env.env(name).is_none();
        let visible = self.args.iter().filter(|(name, _)| is_seen(name));
        kept.chain(visible.map(|(name, value)| format!("{name}={value}"))).collect()
    }

    /// Given proxies, which are in RUN's environment and in no key; each in both cases, whichever was
    /// given, as programs look for one or the other.
    pub(super) fn proxies(&self) -> Vec<String> {
        let hidden = |name: &str| self.args.contains_key(name) || self.config.config.env(name).is_some();
        let value = |name: &str| {
            let given = &self.arguments.given;
            given.get(&name.to_lowercase()).or_else(|| given.get(&name.to_uppercase()))
        };
        let names = PROXIES.iter().filter(|name| !hidden(name));
        names.filter_map(|name| value(name).map(|value| format!("{name}={value}"))).collect()
    }

    /// Changes the config as an instruction asked.
    pub(super) fn apply(&mut self, change: &ConfigChange) {
        match change {
            ConfigChange::SetEnv(name, value) => {
                self.over_env.remove(name);
                self.config.config.set_env(name, value);
            }
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
        let Some(value) = self.assigned(name, default) else { return };
        self.args.insert(name.to_owned(), value);
        if self.config.config.env(name).is_some() {
            self.over_env.insert(name.to_owned());
        }
    }

    fn change_directory(&mut self, path: &str) {
        self.config.config.working_dir = match path {
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            relative => clean(&format!("{}/{relative}", self.working_dir())),
        };
        self.directory = clean(&self.config.config.working_dir);
    }

    fn set_entrypoint(&mut self, argv: &[String]) {
        self.config.config.entrypoint = (!argv.is_empty()).then(|| argv.to_vec());
        if !self.own_cmd {
            self.config.config.cmd = None;
        }
    }
}

/// Of an ENV and an ARG with one name the later counts.
impl Scope for State {
    fn get(&self, name: &str) -> Option<String> {
        if self.over_env.contains(name) {
            return self.args.get(name).cloned();
        }
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
    fn the_later_of_env_and_arg_counts() {
        let mut state = state(&[]);
        state.apply(&ConfigChange::SetEnv("A".into(), "env".into()));
        state.apply(&ConfigChange::DeclareArg("A".into(), None));
        assert_eq!(state.get("A"), Some("env".into()), "an ARG without a value says nothing");
        state.apply(&ConfigChange::DeclareArg("A".into(), Some("arg".into())));
        assert_eq!((state.get("A"), state.exec_env()), (Some("arg".into()), vec!["A=arg".to_owned()]));
        assert_eq!(state.config.config.env, ["A=env"], "the image has the ENV");
        state.apply(&ConfigChange::SetEnv("A".into(), "again".into()));
        assert_eq!((state.get("A"), state.exec_env()), (Some("again".into()), vec!["A=again".to_owned()]));
    }

    #[test]
    fn a_stage_on_a_stage_has_its_arguments() {
        let mut below = state(&[]);
        below.apply(&ConfigChange::DeclareArg("A".into(), Some("1".into())));
        below.apply(&ConfigChange::SetEnv("B".into(), "env".into()));
        below.apply(&ConfigChange::DeclareArg("B".into(), Some("arg".into())));
        below.apply(&ConfigChange::Cmd(vec!["inherited".into()]));
        assert_eq!(below.exec_env(), ["A=1", "B=arg"]);
        let mut state = State::on_stage(below, Arguments::default());
        assert_eq!((state.get("A"), state.get("B")), (Some("1".into()), Some("env".into())));
        assert_eq!(state.exec_env(), ["B=env", "A=1"]);
        state.apply(&ConfigChange::Entrypoint(vec!["e".into()]));
        assert_eq!(state.config.config.cmd, None);
    }

    #[test]
    fn a_given_argument_wins_over_the_platform() {
        let given = [("TARGETARCH".to_owned(), "riscv64".to_owned())].into();
        let mut arguments = Arguments::new(&given, &Platform::host());
        assert_eq!(arguments.get("TARGETARCH"), Some("riscv64".into()));
        assert_eq!(arguments.get(TARGET_STAGE), Some("default".into()));
        arguments.set_target_stage("app");
        assert_eq!(arguments.get(TARGET_STAGE), Some("app".into()));
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
        for (path, kept, expected) in [
            ("a", "/a", "/a"),
            ("b/", "/a/b", "/a/b"),
            ("../c", "/a/c", "/a/c"),
            ("/x//y/../w/", "/x//y/../w/", "/x/w"),
            ("z/", "/x/w/z", "/x/w/z"),
        ] {
            state.apply(&ConfigChange::WorkingDir(path.into()));
            assert_eq!((&*state.config.config.working_dir, state.working_dir()), (kept, expected));
        }
    }
}
