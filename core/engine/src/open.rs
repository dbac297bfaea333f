//! Opening the engine: where its directories are, what its config says.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use wharf_model::storage::HostFacts;
use wharf_model::{Diagnostic, Value};
use wharf_plugin::lock::{Lock, LockError};
use wharf_plugin::{Config, ConfigError, Embedded, Event, Level, Plugins, Source, World};
use wharf_store::Store;

use crate::remote::Web;

/// Where the engine keeps its things, and which plugins it has from the start.
#[derive(Debug, Clone)]
pub struct Options {
    /// What outlives a reboot: `/var/lib/wharf`.
    pub root: PathBuf,
    /// What does not: `/run/wharf`.
    pub run_root: PathBuf,
    /// The default plugins in the user's own syntax.
    pub defaults: &'static str,
    /// Config files, each with its authority, in any order.
    pub config: Vec<(PathBuf, Level)>,
    /// Components that `source = "embedded:..."` names.
    pub embedded: &'static [Embedded],
    /// Where logins and certificates for registries are.
    pub registries: RegistryFiles,
    /// The command that the monitor runs when a container has ended; its id is added.
    pub on_exit: Vec<String>,
}

/// What a person, or the site, keeps for registries.
#[derive(Debug, Clone, Default)]
pub struct RegistryFiles {
    /// Docker's `config.json`.
    pub logins: PathBuf,
    /// Directories with a directory of certificates for each server.
    pub certificates: Vec<PathBuf>,
}

/// Why the engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A config file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The lock beside a config file is wrong.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store can not be opened.
    #[error(transparent)]
    Store(#[from] wharf_store::OpenError),
    /// The config names a driver that no plugin is.
    #[error("[engine] {key} = \"{name}\": no configured plugin is that driver, only {}", .known.join(", "))]
    UnknownDriver {
        /// `storage` or `network`.
        key: &'static str,
        /// As the config says.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The directory for running containers can not be made.
    #[error("cannot make {path}", path = .path.display())]
    RunRoot {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl OpenError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.next_step(),
            Self::Lock(error) => error.next_step(),
            _ => None,
        }
    }
}

/// The composition root: the store, the plugins, and where running containers are kept.
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) plugins: Plugins,
    pub(crate) options: Options,
    listen: Listen,
}

/// Hears what plugins do.
type Listen = Arc<dyn Fn(Event<'_>) + Send + Sync>;

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Engine").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Engine {
    /// Reads the config and opens the store; starts no plugin.
    ///
    /// `listen` hears what plugins do that a person may want to see, such as being compiled.
    ///
    /// # Errors
    /// When a config file is wrong or a directory can not be made.
    pub fn open(
        options: Options,
        listen: impl Fn(Event<'_>) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let listen: Listen = Arc::new(listen);
        let (config, store) = beside_each_other(&options)?;
        make_run_root(&options.run_root)?;
        let plugins = load(&options, config, &listen)?;
        check_drivers(&plugins, &|| wharf_runtime::facts::host(&options.root))?;
        Ok(Self { store, plugins, options, listen })
    }

    /// The same engine with other plugins.
    pub(crate) fn beside(&self, config: Config) -> Result<Self, OpenError> {
        let plugins = load(&self.options, config, &self.listen)?;
        let store = Store::open(&self.options.root)?;
        Ok(Self { store, plugins, options: self.options.clone(), listen: Arc::clone(&self.listen) })
    }

    /// Plugins that share this engine's cache and listener.
    pub(crate) fn plugins_of(&self, config: Config) -> Result<Plugins, ConfigError> {
        load(&self.options, config, &self.listen)
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.options.root
    }

    /// Where running containers are kept.
    pub fn run_root(&self) -> &Path {
        &self.options.run_root
    }

    /// What the plugins' config says.
    pub fn config(&self) -> &Config {
        self.plugins.config()
    }

    /// The plugins.
    pub fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Says something that no answer has a place for.
    pub(crate) fn warn(&self, diagnostic: &Diagnostic) {
        (self.listen)(Event::Diagnostic { plugin: "", diagnostic });
    }

    /// What drivers may know about the host.
    pub(crate) fn facts(&self) -> HostFacts {
        wharf_runtime::facts::host(&self.options.root)
    }
}

/// Reads the config while the store is opened, where there is one: a wrong config makes none.
fn beside_each_other(options: &Options) -> Result<(Config, Store), OpenError> {
    let read =
        || -> Result<Config, OpenError> { Ok(Config::load_locked(&sources(options)?, &locks(options)?)?) };
    let open = || Store::open(&options.root);
    thread::scope(|scope| {
        let opening = Store::is_at(&options.root).then(|| thread::Builder::new().spawn_scoped(scope, open));
        let config = read()?;
        let store = match opening {
            Some(Ok(opening)) => opening.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Some(Err(_)) | None => open(), // also where there can be no more threads
        };
        Ok((config, store?))
    })
}

fn load(options: &Options, mut config: Config, listen: &Listen) -> Result<Plugins, ConfigError> {
    name_roots(&mut config, options);
    let listen = Arc::clone(listen);
    let plugins = Plugins::load(config, &options.plugins(), options.embedded)?;
    Ok(plugins.on_event(move |event| listen(event)).with_remote(Arc::new(Web)))
}

/// What all config files say.
pub(crate) fn sources(options: &Options) -> Result<Vec<Source>, ConfigError> {
    let defaults = Source {
        path: "built-in defaults".into(),
        text: options.defaults.to_owned(),
        level: Level::Defaults,
    };
    let mut sources = vec![defaults];
    for (path, level) in &options.config {
        sources.extend(Source::read(path, *level)?);
    }
    Ok(sources)
}

/// The locks beside them.
pub(crate) fn locks(options: &Options) -> Result<Vec<Lock>, LockError> {
    options.config.iter().filter_map(|(path, _)| Lock::of(path).transpose()).collect()
}

impl Options {
    /// Where the code of plugins is kept, as it came and compiled.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.root.join("plugins")
    }
}

/// In the settings of hooks, `{root}` and `{run-root}` stand for the directories in use, without
/// links, so that a policy protects them wherever they are.
fn name_roots(config: &mut Config, options: &Options) {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let roots = [("{root}", real(&options.root)), ("{run-root}", real(&options.run_root))];
    let hooks = config.plugins.iter_mut().filter(|plugin| plugin.world == World::Hook);
    for (_, value) in hooks.flat_map(|plugin| &mut plugin.settings) {
        let texts = match value {
            Value::Text(text) => std::slice::from_mut(text),
            Value::Texts(texts) => texts.as_mut_slice(),
            _ => continue,
        };
        for (name, root) in &roots {
            texts
                .iter_mut()
                .filter(|text| text == name)
                .for_each(|text| *text = root.to_string_lossy().into());
        }
    }
}

/// A wrong name is found at once, not when the first container needs the driver. A plugin is only
/// asked for its driver's name when none is called so in the config.
fn check_drivers(plugins: &Plugins, facts: &dyn Fn() -> HostFacts) -> Result<(), OpenError> {
    let config = plugins.config();
    let named = |world| {
        let plugins = config.plugins.iter().filter(move |plugin| plugin.world == world);
        plugins.map(|plugin| plugin.name.clone()).collect::<Vec<_>>()
    };
    let mut networks = named(World::Network);
    networks.extend(config.networks.iter().map(|network| network.name.clone()));
    let storages = named(World::Storage);
    let (storage, network) = (&config.storage, &config.network);
    if !storages.contains(storage) && plugins.storage(storage, facts).is_none() {
        return Err(OpenError::UnknownDriver { key: "storage", name: storage.clone(), known: storages });
    }
    if !networks.contains(network) && plugins.network(network, facts).is_none() {
        return Err(OpenError::UnknownDriver { key: "network", name: network.clone(), known: networks });
    }
    Ok(())
}

fn make_run_root(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(path.join("containers"))
        .map_err(|source| OpenError::RunRoot { path: path.to_owned(), source })
}
