//! Options of every command, and the engine they open.

use std::path::{Path, PathBuf};

use wharf_engine::author::Workshop;
use wharf_engine::{Engine, Level, OpenError, Options, PluginEvent, RegistryFiles};

use crate::embedded;
use crate::output;
use crate::report::Report;

/// Where things are kept and configured.
#[derive(Debug, clap::Args)]
pub(crate) struct Globals {
    /// Keep images, volumes and containers here
    #[arg(long, global = true, env = "WHARF_ROOT", value_name = "DIR", default_value = "/var/lib/wharf")]
    #[arg(hide_short_help = true, hide_env_values = true)]
    root: PathBuf,
    /// Keep the state of running containers here
    #[arg(long, global = true, env = "WHARF_RUN_ROOT", value_name = "DIR", default_value = "/run/wharf")]
    #[arg(hide_short_help = true, hide_env_values = true)]
    run_root: PathBuf,
    /// Read this config instead of the site's and the user's
    #[arg(long, global = true, env = "WHARF_CONFIG", value_name = "FILE")]
    #[arg(hide_short_help = true, hide_env_values = true)]
    config: Option<PathBuf>,
}

impl Globals {
    /// Opens the engine, for as long as the program runs: taking it apart just before the end would only
    /// take time.
    pub(crate) fn engine(&self) -> Result<&'static Engine, Report> {
        open(self.options())
    }

    /// Opens the engine for a project's directory, whose `wharf.toml` may narrow what plugins may
    /// do and ask for more; what it asked for and did not get is said.
    pub(crate) fn engine_for(&self, project: &Path) -> Result<&'static Engine, Report> {
        let engine = self.engine_in(project)?;
        for request in &engine.config().requests {
            output::say(&format!("note: {request}"));
            output::say(&request.grant);
        }
        if !engine.config().requests.is_empty() {
            output::say(&format!(
                "note: to look at it and allow it: wharf plugin approve {}",
                project.display()
            ));
        }
        Ok(engine)
    }

    /// The same without a word.
    pub(crate) fn engine_in(&self, project: &Path) -> Result<&'static Engine, Report> {
        let mut options = self.options();
        if project.is_dir() {
            let project = project.canonicalize().unwrap_or_else(|_| absolute(project));
            let file = project.join("wharf.toml");
            if options.config.iter().all(|(known, _)| *known != file) {
                options.config.push((file, Level::Project));
            }
        }
        open(options)
    }

    /// Where plugins are tried out, without the engine's store.
    pub(crate) fn workshop(&self) -> Workshop {
        Workshop::new(self.options(), listen)
    }

    fn options(&self) -> Options {
        Options {
            on_exit: self.itself("container-ended"),
            root: absolute(&self.root),
            run_root: absolute(&self.run_root),
            defaults: embedded::DEFAULTS,
            config: self.config_files(),
            embedded: embedded::PLUGINS,
            registries: registries(),
        }
    }

    fn config_files(&self) -> Vec<(PathBuf, Level)> {
        if let Some(path) = &self.config {
            return vec![(absolute(path), Level::Site)];
        }
        let mut files = vec![(PathBuf::from("/etc/wharf/wharf.toml"), Level::Site)];
        files.extend(user_directory().map(|dir| (dir.join("wharf/wharf.toml"), Level::User)));
        files
    }

    /// From now on a signal that asks this process to end takes away what it is making first.
    pub(crate) fn clean_up_when_interrupted(&self) {
        wharf_engine::when_interrupted(&self.itself("interrupted"));
    }

    /// This program with these options and another command.
    fn itself(&self, command: &str) -> Vec<String> {
        let (root, run_root) = (absolute(&self.root), absolute(&self.run_root));
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("wharf"));
        let mut argv = vec![program, "--root".into(), root, "--run-root".into(), run_root];
        if let Some(config) = &self.config {
            argv.extend(["--config".into(), absolute(config)]);
        }
        argv.push(command.into());
        argv.into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }
}

/// The user's directory of configuration.
fn user_directory() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".config"));
    std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)
}

/// Docker's files, so that a login and a certificate count for both; and wharf's own.
fn registries() -> RegistryFiles {
    let docker = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker"));
    let logins = docker.filter(|dir| !dir.as_os_str().is_empty()).or_else(home).unwrap_or_default();
    let mut certificates: Vec<PathBuf> = vec!["/etc/docker/certs.d".into(), "/etc/wharf/certs.d".into()];
    certificates.extend(user_directory().map(|dir| dir.join("wharf/certs.d")));
    RegistryFiles { logins: logins.join("config.json"), certificates }
}

fn open(options: Options) -> Result<&'static Engine, Report> {
    let engine = Engine::open(options, listen).map_err(unopened)?;
    Ok(Box::leak(Box::new(engine)))
}

fn unopened(error: OpenError) -> Report {
    let hint = error.next_step();
    let report = Report::engine(error);
    match hint {
        Some(hint) => report.hint(hint),
        None => report,
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Compiling a plugin takes a while and happens once, so it is said.
fn listen(event: PluginEvent<'_>) {
    match event {
        PluginEvent::Compiling { plugin, .. } => {
            output::say(&format!("compiling plugin {plugin} (once)"));
        }
        PluginEvent::Diagnostic { diagnostic, .. } => {
            output::say(&format!("warning: {}", diagnostic.message));
        }
        PluginEvent::Compiled { .. }
        | PluginEvent::Denied { .. }
        | PluginEvent::Called { .. }
        | PluginEvent::Log { .. } => {}
    }
}
