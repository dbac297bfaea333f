//! Which plugin answers to which name; each is loaded when it is first needed.
//!
//! A driver is found by its name in the config, else by the name it gives itself. A keyword has
//! one owner: two plugins that claim the same one are an error that names both.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use wharf_model::build::Action;
use wharf_model::grant::Grants;
use wharf_model::hook::{Moment, Phase};
use wharf_model::manifest::Manifest;
use wharf_model::network::NetworkPlan;
use wharf_model::statement::KeywordSpec;
use wharf_model::storage::{HostFacts, StoragePlan};
use wharf_model::{Digest, Keyword};

use crate::aot::{About, Description};
use crate::config::{Config, ConfigError, PluginConfig, PluginSource, World};
use crate::hook::{HookPlugin, LazyHook};
use crate::imports::{self, Contract};
use crate::instruction::InstructionPlugin;
use crate::kind::{Hook, Instruction, Network, Remote, Storage};
use crate::loaded::{Host, Introduce, Loaded};
use crate::lock::Mismatch;
use crate::network::NetworkPlugin;
use crate::session::Subject;
use crate::storage::StoragePlugin;
use crate::{Event, Fault, PluginError, authorize, rights};

/// A component that is part of the program.
#[derive(Debug, Clone, Copy)]
pub struct Embedded {
    /// `embedded:<name>`.
    pub name: &'static str,
    /// The component.
    pub bytes: &'static [u8],
    /// Its digest, where the build computed it.
    pub digest: Option<&'static str>,
    /// What it says of itself, as [`Plugins::description`] gives it; without it, it is asked.
    pub description: Option<&'static str>,
}

/// All plugins of the configuration.
pub struct Plugins {
    config: Config,
    host: Arc<Host>,
    /// One for each plugin of the configuration, made when somebody asks for that plugin.
    slots: Vec<OnceLock<Arc<Slot>>>,
    owners: OnceLock<Result<BTreeMap<Keyword, usize>, PluginError>>,
}

/// What a plugin is.
#[derive(Debug, Clone)]
pub struct Portrait {
    /// Its code.
    pub digest: Digest,
    /// What it says of itself, and what it asks for.
    pub manifest: Manifest,
    /// What it does here.
    pub role: Role,
}

/// What a plugin does here.
#[derive(Debug, Clone)]
pub enum Role {
    /// Keywords as they are called here, and the plugin's own.
    Instruction(Vec<KeywordSpec>, Vec<Keyword>),
    /// A driver of this name.
    Driver(String),
    /// What it wants to be asked.
    Hook(Vec<(Moment, Phase)>),
}

impl Portrait {
    /// An instruction's keywords as they are called here.
    pub fn keywords(&self) -> impl Iterator<Item = &KeywordSpec> {
        match &self.role {
            Role::Instruction(specs, _) => specs.iter(),
            Role::Driver(_) | Role::Hook(_) => [].iter(),
        }
    }

    /// An instruction's keywords as it calls them itself.
    pub fn own_keywords(&self) -> Vec<Keyword> {
        match &self.role {
            Role::Instruction(_, own) => own.clone(),
            Role::Driver(_) | Role::Hook(_) => Vec::new(),
        }
    }

    /// Keywords, the driver's name, or what the hook is asked about.
    pub fn names(&self) -> Vec<String> {
        let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        match &self.role {
            Role::Instruction(specs, _) => specs.iter().map(|spec| spec.keyword.to_string()).collect(),
            Role::Driver(name) => vec![name.clone()],
            Role::Hook(subscriptions) => {
                let pair = |(moment, phase): &(Moment, Phase)| {
                    let moment = serde_json::to_value(moment).map(word).unwrap_or_default();
                    format!("{moment}:{}", serde_json::to_value(phase).map(word).unwrap_or_default())
                };
                subscriptions.iter().map(pair).collect()
            }
        }
    }
}

/// A plugin's place: empty until it is needed.
pub(crate) struct Slot {
    pub(crate) config: PluginConfig,
    host: Arc<Host>,
    subject: Arc<Subject>,
    instruction: OnceLock<Result<Arc<InstructionPlugin>, PluginError>>,
    storage: OnceLock<Result<Arc<StoragePlugin>, PluginError>>,
    network: OnceLock<Result<Arc<NetworkPlugin>, PluginError>>,
    hook: OnceLock<Result<HookPlugin, PluginError>>,
}

impl Plugins {
    /// Takes a configuration; opens no file and starts no plugin.
    ///
    /// # Errors
    /// When the configuration names an embedded component that there is not.
    pub fn load(config: Config, cache: &Path, embedded: &'static [Embedded]) -> Result<Self, ConfigError> {
        for plugin in &config.plugins {
            check_embedded(plugin, embedded)?;
        }
        let host = Arc::new(Host::new(cache, embedded));
        let slots = config.plugins.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { config, host, slots, owners: OnceLock::new() })
    }

    /// Calls `listen` with what happens: compiling, logs, diagnostics.
    #[must_use]
    pub fn on_event(self, listen: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        self.host.listener.set(Box::new(listen));
        self
    }

    /// What carries out the calls of plugins that were granted an address. Without it such a call
    /// fails as unsupported.
    #[must_use]
    pub fn with_remote(self, remote: Arc<dyn Remote>) -> Self {
        self.host.outside.set(remote);
        self
    }

    /// What a plugin says of itself and asks for.
    ///
    /// # Errors
    /// When there is no such plugin, or it can not be loaded.
    pub fn manifest(&self, plugin: &str) -> Result<Manifest, PluginError> {
        let slot = self.slot(plugin)?;
        Ok(match slot.config.world {
            World::Instruction => slot.instruction()?.manifest(),
            World::Storage => slot.storage()?.manifest(),
            World::Network => slot.network()?.manifest(),
            World::Hook => slot.hook()?.manifest(),
        })
    }

    /// What a plugin is, by its own words and by its code.
    ///
    /// # Errors
    /// When there is no such plugin, or it can not be loaded.
    pub fn portrait(&self, plugin: &str) -> Result<Portrait, PluginError> {
        let manifest = self.manifest(plugin)?;
        let slot = self.slot(plugin)?;
        let (digest, role) = match slot.config.world {
            World::Instruction => {
                let plugin = slot.instruction()?;
                (plugin.digest(), Role::Instruction(plugin.describe().to_vec(), plugin.own_keywords()))
            }
            World::Storage => {
                let plugin = slot.storage()?;
                (plugin.digest(), Role::Driver(plugin.info().name.clone()))
            }
            World::Network => {
                let plugin = slot.network()?;
                (plugin.digest(), Role::Driver(plugin.info().name.clone()))
            }
            World::Hook => {
                let plugin = slot.hook()?;
                (plugin.digest(), Role::Hook(plugin.subscriptions().to_vec()))
            }
        };
        Ok(Portrait { digest, manifest, role })
    }

    /// What a plugin says of itself, as JSON for [`Embedded::description`].
    ///
    /// # Errors
    /// When there is no such plugin, it can not be loaded, or an instruction or a hook does not like
    /// the settings that it has here.
    pub fn description(&self, plugin: &str) -> Result<String, PluginError> {
        let slot = self.slot(plugin)?;
        let manifest = self.manifest(plugin)?;
        let about = match slot.config.world {
            World::Instruction => {
                slot.instruction()?.validate()?;
                slot.open::<imports::Instruction>()?.1
            }
            World::Hook => {
                slot.hook()?.validate()?;
                slot.open::<imports::Hook>()?.1
            }
            World::Storage => slot.open::<imports::Storage>()?.1,
            World::Network => slot.open::<imports::Network>()?.1,
        };
        Ok(serde_json::to_string(&Description { about, manifest }).unwrap_or_default())
    }

    /// The bytes of a plugin's component or library.
    ///
    /// # Errors
    /// When there is no such plugin, or its code is not what the config wants.
    pub fn code(&self, plugin: &str) -> Result<Cow<'static, [u8]>, PluginError> {
        let slot = self.slot(plugin)?;
        let fetched = self.host.fetch(&slot.config).map(|(bytes, _)| bytes);
        fetched.map_err(|fault| PluginError::new(plugin, None, fault))
    }

    /// The compiled code of a component and its size, if it was compiled before.
    pub fn compiled(&self, digest: Digest) -> Option<(PathBuf, u64)> {
        self.host.compiled(digest)
    }

    fn slot(&self, plugin: &str) -> Result<&Arc<Slot>, PluginError> {
        self.named(plugin).ok_or_else(|| PluginError::new(plugin, None, Fault::Unknown))
    }

    fn named(&self, name: &str) -> Option<&Arc<Slot>> {
        self.place(self.config.plugins.iter().position(|plugin| plugin.name == name)?)
    }

    fn place(&self, index: usize) -> Option<&Arc<Slot>> {
        let (slot, plugin) = (self.slots.get(index)?, self.config.plugins.get(index)?);
        Some(slot.get_or_init(|| Arc::new(Slot::new(plugin, &self.host))))
    }

    /// The plugins of a world, in the order of the configuration.
    fn of_world(&self, world: World) -> impl Iterator<Item = (usize, &Arc<Slot>)> + Clone {
        let plugins = self.config.plugins.iter().enumerate();
        let plugins = plugins.filter(move |(_, plugin)| plugin.world == world);
        plugins.filter_map(|(index, _)| Some((index, self.place(index)?)))
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What a plugin may do: what is granted and its manifest requests.
    ///
    /// # Errors
    /// When there is no such plugin, or it can not be loaded.
    pub fn grants(&self, plugin: &str) -> Result<Grants, PluginError> {
        let slot = self.slot(plugin)?;
        Ok(match slot.config.world {
            World::Instruction => slot.instruction()?.grants().clone(),
            World::Storage => slot.storage()?.grants().clone(),
            World::Network => slot.network()?.grants().clone(),
            World::Hook => slot.hook()?.grants().clone(),
        })
    }

    /// Looks at an operation once more, right before it is carried out.
    ///
    /// # Errors
    /// When the plugin has no right to it.
    pub fn permit_operation(&self, plugin: &str, action: &Action) -> Result<(), PluginError> {
        let grants = self.grants(plugin)?;
        authorize::operation(plugin, &grants, action).map_err(|denied| self.forbidden(plugin, denied))
    }

    /// The same for a storage driver's plan.
    ///
    /// # Errors
    /// When the plugin has no right to it.
    pub fn permit_storage(&self, plugin: &str, plan: &StoragePlan) -> Result<(), PluginError> {
        let grants = self.grants(plugin)?;
        authorize::storage(plugin, &grants, plan).map_err(|denied| self.forbidden(plugin, denied))
    }

    /// The same for a network driver's plan.
    ///
    /// # Errors
    /// When the plugin has no right to it.
    pub fn permit_network(&self, plugin: &str, plan: &NetworkPlan) -> Result<(), PluginError> {
        let grants = self.grants(plugin)?;
        authorize::network(plugin, &grants, plan).map_err(|denied| self.forbidden(plugin, denied))
    }

    fn forbidden(&self, plugin: &str, mut denied: authorize::Denied) -> PluginError {
        let requests = self.manifest(plugin).map(|manifest| manifest.requests).unwrap_or_default();
        denied.requested = requests.iter().any(|request| rights::covers(&request.right, &denied.right));
        PluginError::new(plugin, None, Fault::Denied(denied))
    }

    /// Loads one plugin and learns what it says of itself, whatever its world.
    ///
    /// # Errors
    /// When it can not be loaded, or is of another world than the configuration says.
    pub fn introduce(&self, name: &str) -> Result<(), PluginError> {
        let Some(slot) = self.named(name) else { return Ok(()) };
        match slot.config.world {
            World::Instruction => slot.instruction().map(drop),
            World::Storage => slot.storage().map(drop),
            World::Network => slot.network().map(drop),
            World::Hook => slot.hook().map(drop),
        }
    }

    /// Asks a plugin again what it says of itself, and compares.
    ///
    /// # Errors
    /// When it can not be loaded or asked.
    pub fn describes_the_same(&self, name: &str) -> Result<bool, PluginError> {
        let Some(slot) = self.named(name) else { return Ok(true) };
        match slot.config.world {
            World::Instruction => slot.describes_the_same::<imports::Instruction>(),
            World::Storage => slot.describes_the_same::<imports::Storage>(),
            World::Network => slot.describes_the_same::<imports::Network>(),
            World::Hook => slot.describes_the_same::<imports::Hook>(),
        }
    }

    /// Has a plugin check its settings, unless it did so before.
    ///
    /// # Errors
    /// When it can not be loaded or does not like them.
    pub fn validate(&self, name: &str, facts: &dyn Fn() -> HostFacts) -> Result<(), PluginError> {
        let Some(slot) = self.named(name) else { return Ok(()) };
        match slot.config.world {
            World::Instruction => slot.instruction()?.validate(),
            World::Storage => slot.storage()?.validate(facts),
            World::Network => slot.network()?.validate(facts),
            World::Hook => slot.hook()?.validate(),
        }
    }

    /// All keywords as they are called here, sorted, with their plugins.
    ///
    /// # Errors
    /// When an instruction plugin can not be loaded, or two claim the same keyword.
    pub fn keywords(&self) -> Result<Vec<(KeywordSpec, String)>, PluginError> {
        let mut keywords = Vec::new();
        for (keyword, index) in self.owners()? {
            let Some(slot) = self.place(*index) else { continue };
            let plugin = slot.instruction()?;
            if let Some(spec) = plugin.describe().iter().find(|spec| spec.keyword == *keyword) {
                keywords.push((spec.clone(), slot.config.name.clone()));
            }
        }
        Ok(keywords)
    }

    /// The plugin of a keyword; `None` when nobody claims it.
    pub fn instruction(&self, keyword: &Keyword) -> Option<Result<Arc<dyn Instruction>, PluginError>> {
        let owners = match self.owners() {
            Ok(owners) => owners,
            Err(error) => return Some(Err(error)),
        };
        let slot = owners.get(keyword).and_then(|index| self.place(*index))?;
        Some(slot.instruction().and_then(|plugin| {
            plugin.validate()?;
            let plugin: Arc<dyn Instruction> = plugin;
            Ok(plugin)
        }))
    }

    /// A storage driver; `facts` are asked for on the first use with these settings.
    pub fn storage(
        &self,
        name: &str,
        facts: &dyn Fn() -> HostFacts,
    ) -> Option<Result<Arc<dyn Storage>, PluginError>> {
        let by_info = |slot: &Slot| slot.storage().is_ok_and(|plugin| plugin.info().name == name);
        let slot = self.find(World::Storage, name, by_info)?;
        Some(slot.storage().and_then(|plugin| {
            plugin.validate(facts)?;
            let plugin: Arc<dyn Storage> = plugin;
            Ok(plugin)
        }))
    }

    /// A network driver; `facts` are asked for on the first use with these settings.
    pub fn network(
        &self,
        name: &str,
        facts: &dyn Fn() -> HostFacts,
    ) -> Option<Result<Arc<dyn Network>, PluginError>> {
        let by_info = |slot: &Slot| slot.network().is_ok_and(|plugin| plugin.info().name == name);
        let slot = self.find(World::Network, name, by_info)?;
        Some(slot.network().and_then(|plugin| {
            plugin.validate(facts)?;
            let plugin: Arc<dyn Network> = plugin;
            Ok(plugin)
        }))
    }

    /// The hooks to ask, in order. One that can not be loaded is among them and fails when asked.
    pub fn hooks(&self, moment: Moment, phase: Phase) -> Vec<Arc<dyn Hook>> {
        let asked = self.of_world(World::Hook).filter(|(_, slot)| slot.is_asked(moment, phase));
        asked.map(|(_, slot)| Arc::new(LazyHook(Arc::clone(slot))) as Arc<dyn Hook>).collect()
    }

    fn find(&self, world: World, name: &str, by_info: impl Fn(&Slot) -> bool) -> Option<&Arc<Slot>> {
        let mut slots = self.of_world(world).map(|(_, slot)| slot);
        let named = slots.clone().find(|slot| slot.config.name == name);
        named.or_else(|| slots.find(|slot| by_info(slot)))
    }

    fn owners(&self) -> Result<&BTreeMap<Keyword, usize>, PluginError> {
        self.owners.get_or_init(|| self.find_owners()).as_ref().map_err(Clone::clone)
    }

    fn find_owners(&self) -> Result<BTreeMap<Keyword, usize>, PluginError> {
        let mut owners: BTreeMap<Keyword, usize> = BTreeMap::new();
        for (index, slot) in self.of_world(World::Instruction) {
            for spec in slot.instruction()?.describe() {
                let Some(before) = owners.insert(spec.keyword.clone(), index) else { continue };
                let other = self.place(before).map(|slot| slot.config.name.clone()).unwrap_or_default();
                let clash = Fault::Clash { keyword: spec.keyword.clone(), other };
                return Err(PluginError::new(&slot.config.name, None, clash));
            }
        }
        Ok(owners)
    }
}

fn check_embedded(plugin: &PluginConfig, embedded: &[Embedded]) -> Result<(), ConfigError> {
    let PluginSource::Embedded(name) = &plugin.source else { return Ok(()) };
    if embedded.iter().any(|embedded| embedded.name == name) {
        return Ok(());
    }
    let names: Vec<&str> = embedded.iter().map(|embedded| embedded.name).collect();
    Err(ConfigError::Key {
        place: plugin.place.clone(),
        key: format!("plugin.{}.source", plugin.name),
        what: format!("no component `{name}` is embedded in this version"),
        help: Some(format!("known here: {}", names.join(", "))),
    })
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Plugins").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Slot {
    fn new(config: &PluginConfig, host: &Arc<Host>) -> Self {
        Self {
            config: config.clone(),
            host: Arc::clone(host),
            subject: Arc::new(Subject::new(config, host.listener.clone(), host.outside.clone())),
            instruction: OnceLock::new(),
            storage: OnceLock::new(),
            network: OnceLock::new(),
            hook: OnceLock::new(),
        }
    }

    fn instruction(&self) -> Result<Arc<InstructionPlugin>, PluginError> {
        let load = || {
            let (plugin, about) = self.open::<imports::Instruction>()?;
            match about {
                About::Instruction(specs) => {
                    let plugin = InstructionPlugin::new(plugin, specs, &self.config.keywords);
                    self.check_locked_keywords(&plugin)?;
                    Ok(Arc::new(plugin))
                }
                About::Storage(_) | About::Network(_) | About::Hook(_) => Err(self.another_world(&about)),
            }
        };
        self.instruction.get_or_init(load).clone()
    }

    fn storage(&self) -> Result<Arc<StoragePlugin>, PluginError> {
        let load = || {
            let (plugin, about) = self.open::<imports::Storage>()?;
            match about {
                About::Storage(info) => Ok(Arc::new(StoragePlugin::new(plugin, info))),
                About::Instruction(_) | About::Network(_) | About::Hook(_) => Err(self.another_world(&about)),
            }
        };
        self.storage.get_or_init(load).clone()
    }

    fn network(&self) -> Result<Arc<NetworkPlugin>, PluginError> {
        let load = || {
            let (plugin, about) = self.open::<imports::Network>()?;
            match about {
                About::Network(info) => Ok(Arc::new(NetworkPlugin::new(plugin, info))),
                About::Instruction(_) | About::Storage(_) | About::Hook(_) => Err(self.another_world(&about)),
            }
        };
        self.network.get_or_init(load).clone()
    }

    /// The hook, loaded now if it was not.
    pub(crate) fn hook(&self) -> Result<&HookPlugin, PluginError> {
        let load = || {
            let (plugin, about) = self.open::<imports::Hook>()?;
            match about {
                About::Hook(subscriptions) => Ok(HookPlugin::new(plugin, subscriptions)),
                About::Instruction(_) | About::Storage(_) | About::Network(_) => {
                    Err(self.another_world(&about))
                }
            }
        };
        self.hook.get_or_init(load).as_ref().map_err(Clone::clone)
    }

    /// Asked when the config says so; else when it subscribes and may. A required one that may
    /// not, or can not be loaded, is asked too, so that it fails aloud.
    fn is_asked(&self, moment: Moment, phase: Phase) -> bool {
        if !self.config.phases.is_empty() {
            return self.config.phases.contains(&(moment, phase));
        }
        match self.hook() {
            Ok(plugin) => {
                let may = authorize::phase(&self.config.name, plugin.grants(), phase).is_ok();
                plugin.subscriptions().contains(&(moment, phase)) && (may || self.config.required)
            }
            Err(_) => true,
        }
    }

    fn describes_the_same<W: Introduce>(&self) -> Result<bool, PluginError> {
        let (plugin, about) = self.open::<W>()?;
        Ok(W::describe(&plugin)? == about)
    }

    fn open<W: Introduce>(&self) -> Result<(Loaded<W>, About), PluginError> {
        self.check_lock(self.config.pin.as_ref().and_then(|pinned| pinned.mismatch.clone()))?;
        Loaded::open(&self.host, &self.config, &self.subject)
    }

    fn check_lock(&self, mismatch: Option<Mismatch>) -> Result<(), PluginError> {
        mismatch.map_or(Ok(()), |mismatch| {
            Err(PluginError::new(&self.config.name, None, Fault::Locked(mismatch)))
        })
    }

    /// The keywords are known when the code is.
    fn check_locked_keywords(&self, plugin: &InstructionPlugin) -> Result<(), PluginError> {
        let Some(pinned) = &self.config.pin else { return Ok(()) };
        let keywords = plugin.describe().iter().map(|spec| &spec.keyword);
        self.check_lock(pinned.pin.against_keywords(&pinned.lock, &self.config.place, keywords))
    }

    fn another_world(&self, about: &About) -> PluginError {
        let exports = vec![format!("wharf:plugin/{}", about.interface())];
        let fault = Fault::World { expected: self.config.world, exports };
        PluginError::new(&self.config.name, None, fault)
    }
}

impl About {
    /// The interface that a plugin with this description exports.
    fn interface(&self) -> &'static str {
        match self {
            Self::Instruction(_) => imports::Instruction::EXPORT,
            Self::Storage(_) => imports::Storage::EXPORT,
            Self::Network(_) => imports::Network::EXPORT,
            Self::Hook(_) => imports::Hook::EXPORT,
        }
    }
}
