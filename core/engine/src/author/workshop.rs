//! A plugin by itself: loaded from a file, with what it requests, and nobody else's business.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use wharf_model::{Digest, Keyword, Settings};
use wharf_plugin::outline::{Form, Outline};
use wharf_plugin::{
    Config, ConfigError, Cost, Event, Fault, Level, PluginConfig, PluginError, Plugins, Source, Trust, World,
    rights,
};

use crate::Options;

/// Where plugins are tried out. Opens no store.
pub struct Workshop {
    options: Options,
    cache: PathBuf,
    listen: Arc<dyn Fn(Event<'_>) + Send + Sync>,
}

/// A plugin that is tried out.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub(crate) config: PluginConfig,
    pub(crate) digest: Digest,
}

impl Candidate {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its contract.
    pub fn world(&self) -> World {
        self.config.world
    }

    /// Its code.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Why a plugin can not be tried out.
#[derive(Debug, thiserror::Error)]
pub enum WorkshopError {
    /// Its file.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is none.
    #[error("{path} is not a plugin", path = .path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: Fault,
    },
    /// It is a shared library, which was not asked for.
    #[error("{path} is a native library, which runs with all rights of this program", path = .path.display())]
    Native {
        /// Which.
        path: PathBuf,
    },
    /// No plugin of that name is configured.
    #[error("no plugin is called `{name}`, and there is no such file")]
    Unknown {
        /// As given.
        name: String,
    },
    /// Its manifest requests what there is not.
    #[error("plugin `{plugin}` requests what there is not")]
    Request {
        /// Which plugin.
        plugin: String,
        /// What it requests.
        source: rights::NotARight,
    },
    /// A configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The plugin can not be loaded.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

impl WorkshopError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Native { .. } => Some("add `--native` if you want it to run with your rights".into()),
            Self::Config(error) => error.next_step(),
            Self::Plugin(error) => error.next_step(),
            Self::Unknown { .. } => Some("name a component's file, or a plugin of the configuration".into()),
            Self::Request { .. } => Some("see `wharf plugin wit` for the words of a request".into()),
            Self::Read { .. } | Self::Foreign { .. } => None,
        }
    }
}

/// What was heard while a plugin was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    denied: BTreeSet<String>,
    costs: Vec<Cost>,
    compiled: Option<std::time::Duration>,
}

impl Heard {
    fn listen(&self, plugin: &str, event: Event<'_>) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Denied { plugin: who, right } if who == plugin => {
                notes.denied.insert(right.to_owned());
            }
            Event::Called { plugin: who, cost, .. } if who == plugin => notes.costs.push(cost),
            Event::Compiled { plugin: who, took } if who == plugin => notes.compiled = Some(took),
            _ => {}
        }
    }

    /// What its calls cost, since the last time.
    pub(crate) fn costs(&self) -> Vec<Cost> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).costs)
    }

    /// How long it took to compile, where that was necessary.
    pub(crate) fn compiled(&self) -> Option<std::time::Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).compiled
    }

    /// What it asked for and was not granted, since the last time.
    pub(crate) fn denied(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).denied)
    }
}

/// Plugins with one among them that is tried out.
pub(crate) struct Stand {
    pub(crate) plugins: Plugins,
    pub(crate) heard: Heard,
}

impl Workshop {
    /// Compiled code is kept where the engine keeps it; for a user who can not write there, in the
    /// user's own cache.
    pub fn new(options: Options, listen: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        let cache = cache(&options.root);
        Self { options, cache, listen: Arc::new(listen) }
    }

    /// The same with another place for compiled code.
    pub(crate) fn with_cache(&self, cache: &Path) -> Self {
        Self { options: self.options.clone(), cache: cache.to_owned(), listen: Arc::clone(&self.listen) }
    }

    /// Bytes of a plugin's file.
    pub(crate) fn size(&self, candidate: &Candidate) -> Result<u64, WorkshopError> {
        let stand = self.alone(candidate, &candidate.config.settings)?;
        Ok(stand.plugins.code(candidate.name())?.len() as u64)
    }

    /// A component's file; a shared library only if `native`, as it runs with all our rights.
    ///
    /// # Errors
    /// When it is no plugin.
    pub fn file(&self, path: &Path, native: bool) -> Result<Candidate, WorkshopError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let bytes =
            std::fs::read(&path).map_err(|source| WorkshopError::Read { path: path.clone(), source })?;
        let digest = Digest::of(&bytes);
        let config = |world| plugin_config(&path, world, digest);
        let foreign = |source| WorkshopError::Foreign { path: path.clone(), source };
        let outline = Outline::of(&bytes).map_err(foreign)?;
        match (outline.form, native) {
            (Form::Component, _) => {
                let world = outline.world().map_err(foreign)?;
                self.requested(Candidate { config: config(world)?, digest })
            }
            (Form::Library, true) => self.native(&path, digest),
            (Form::Library, false) => Err(WorkshopError::Native { path }),
        }
    }

    /// A file, or a plugin of the configuration by its name, which keeps its grants and settings. One that
    /// is switched off can be tried, too, unless it would run with our rights.
    ///
    /// # Errors
    /// When there is neither.
    pub fn named(&self, name: &str, native: bool) -> Result<Candidate, WorkshopError> {
        let mut config = self.config()?;
        let is_it = |plugin: &&PluginConfig| plugin.name == name && plugin.trust != Trust::NativeFull;
        if let Some(off) = config.switched_off.iter().find(is_it) {
            config.plugins.push(off.clone());
        }
        if let Some(plugin) = config.plugin(name) {
            let plugin = plugin.clone();
            let code = Plugins::load(config, &self.cache, self.options.embedded)?;
            let digest = Digest::of(code.code(name)?);
            return Ok(Candidate { config: plugin, digest });
        }
        let path = Path::new(name);
        if path.exists() {
            self.file(path, native)
        } else {
            Err(WorkshopError::Unknown { name: name.to_owned() })
        }
    }

    /// The names of all configured plugins.
    ///
    /// # Errors
    /// When a config file is wrong.
    pub fn names(&self) -> Result<Vec<String>, WorkshopError> {
        let config = self.config()?;
        Ok(config.plugins.into_iter().map(|plugin| plugin.name).collect())
    }

    /// As the engine would have it.
    fn config(&self) -> Result<Config, ConfigError> {
        Config::load(&crate::open::sources(&self.options)?)
    }

    /// A library says which contract it fulfils only by being loaded.
    fn native(&self, path: &Path, digest: Digest) -> Result<Candidate, WorkshopError> {
        let mut last = None;
        for world in [World::Instruction, World::Storage, World::Network, World::Hook] {
            let config = PluginConfig { trust: Trust::NativeFull, ..plugin_config(path, world, digest)? };
            let candidate = Candidate { config, digest };
            match self.introduce(&candidate) {
                Ok(()) => return self.requested(candidate),
                Err(WorkshopError::Plugin(error)) if matches!(error.fault(), Fault::World { .. }) => {
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.map_or_else(
            || WorkshopError::Unknown { name: path.display().to_string() },
            WorkshopError::Plugin,
        ))
    }

    /// Loads it, so that it is known to be one.
    fn introduce(&self, candidate: &Candidate) -> Result<(), WorkshopError> {
        let stand = self.alone(candidate, &candidate.config.settings)?;
        Ok(stand.plugins.introduce(candidate.name())?)
    }

    /// With what it requests.
    fn requested(&self, mut candidate: Candidate) -> Result<Candidate, WorkshopError> {
        let manifest =
            self.alone(&candidate, &candidate.config.settings)?.plugins.manifest(candidate.name())?;
        let grants = rights::parse(manifest.requests.iter().map(|request| &request.right));
        let wrong = |source| WorkshopError::Request { plugin: candidate.name().to_owned(), source };
        candidate.config.grants = grants.map_err(wrong)?;
        Ok(candidate)
    }

    /// The plugin and no other.
    pub(crate) fn alone(&self, candidate: &Candidate, settings: &Settings) -> Result<Stand, WorkshopError> {
        let mut config = Config::load(&[])?;
        config.plugins = vec![PluginConfig { settings: settings.clone(), ..candidate.config.clone() }];
        self.stand(config, candidate)
    }

    /// The plugin among the default ones, of which those with a keyword of its own step aside.
    pub(crate) fn among_defaults(
        &self,
        candidate: &Candidate,
        settings: &Settings,
    ) -> Result<Stand, WorkshopError> {
        let own: BTreeSet<Keyword> = self
            .alone(candidate, settings)?
            .plugins
            .keywords()?
            .into_iter()
            .map(|(spec, _)| spec.keyword)
            .collect();
        let mut config = Config::load(&[self.defaults()])?;
        let others = Plugins::load(config.clone(), &self.cache, self.options.embedded)?.on_event({
            let listen = Arc::clone(&self.listen);
            move |event| listen(event)
        });
        let clashing: BTreeSet<String> = others
            .keywords()?
            .into_iter()
            .filter(|(spec, _)| own.contains(&spec.keyword))
            .map(|(_, plugin)| plugin)
            .collect();
        config.plugins.retain(|plugin| !clashing.contains(&plugin.name) && plugin.name != candidate.name());
        config.plugins.push(PluginConfig { settings: settings.clone(), ..candidate.config.clone() });
        self.stand(config, candidate)
    }

    fn stand(&self, config: Config, candidate: &Candidate) -> Result<Stand, WorkshopError> {
        let heard = Heard::default();
        let (name, notes, listen) = (candidate.name().to_owned(), heard.clone(), Arc::clone(&self.listen));
        let plugins = Plugins::load(config, &self.cache, self.options.embedded)?.on_event(move |event| {
            notes.listen(&name, event);
            listen(event);
        });
        Ok(Stand { plugins, heard })
    }

    fn defaults(&self) -> Source {
        Source {
            path: "built-in defaults".into(),
            text: self.options.defaults.to_owned(),
            level: Level::Defaults,
        }
    }

    /// What drivers may know of the host.
    pub(crate) fn facts(&self) -> wharf_model::storage::HostFacts {
        let existing = self.options.root.ancestors().find(|path| path.exists());
        wharf_runtime::facts::host(existing.unwrap_or(Path::new("/")))
    }
}

impl std::fmt::Debug for Workshop {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Workshop").field("cache", &self.cache).finish_non_exhaustive()
    }
}

fn cache(root: &Path) -> PathBuf {
    let engines = root.join("plugins");
    // With the modes that the store and the cache give them.
    let make = |path: &Path, mode| DirBuilder::new().recursive(true).mode(mode).create(path);
    if make(root, 0o711).is_ok()
        && make(&engines, 0o700).is_ok()
        && rustix::fs::access(&engines, rustix::fs::Access::WRITE_OK).is_ok()
    {
        return engines;
    }
    let of_user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let of_home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    of_user.or_else(of_home).unwrap_or_else(std::env::temp_dir).join("wharf/plugins")
}

/// `[plugin.<file's name>]` as a user would write it.
fn plugin_config(path: &Path, world: World, digest: Digest) -> Result<PluginConfig, ConfigError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = stem.trim_start_matches("lib").chars().map(plain).collect();
    let name = if name.trim_matches('-').is_empty() { "plugin".to_owned() } else { name };
    let text = format!(
        "[plugin.{name}]\nworld = \"{world}\"\nsource = {:?}\ndigest = \"{digest}\"\n",
        format!("file:{}", path.display())
    );
    let source = Source { path: path.to_owned(), text, level: Level::User };
    let mut config = Config::load(&[source])?;
    Ok(config.plugins.remove(0))
}
