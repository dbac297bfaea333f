//! Several files, one configuration: who may say what.

use std::collections::BTreeSet;
use std::path::PathBuf;

use wharf_model::registry::Route;
use wharf_model::{Digest, Settings, Value};

use super::read::{Asked, Layer, Partial, Said};
use super::{Approval, Config, ConfigError, Level, NetworkConfig, Pinned, Place, PluginConfig, PluginSource};
use super::{Request, Source, Trust, World};
use crate::lock::Lock;

/// What the files so far say.
#[derive(Debug, Default)]
pub(super) struct Merged {
    storage: Option<String>,
    network: Option<String>,
    build_cache: Option<u64>,
    signatures: Option<PathBuf>,
    cdi: Option<Vec<PathBuf>>,
    parallelism: Option<usize>,
    plugins: Vec<Slot>,
    networks: Vec<NetworkConfig>,
    registries: Vec<Route>,
    requests: Vec<Request>,
    approvals: Vec<Approval>,
}

#[derive(Debug)]
struct Slot {
    plugin: PluginConfig,
    /// As the file that names the source has it, which is what its lock is about; kept where another
    /// file changes it.
    defined: Option<Box<PluginConfig>>,
    enabled: bool,
    /// Of the file that had its say last.
    level: Level,
    holder: Place,
}

impl Slot {
    /// Before another file than the one that names the source has its say.
    fn keep_definition(&mut self) {
        self.defined.get_or_insert_with(|| Box::new(self.plugin.clone()));
    }
}

impl Merged {
    /// Puts a file on top.
    pub(super) fn add(&mut self, layer: Layer, source: &Source) -> Result<(), ConfigError> {
        if source.level != Level::Project {
            return self.authority(layer, source.level);
        }
        if let Some(asked) = layer.approvals.first().and_then(|said| said.asked.as_ref()) {
            return Err(ConfigError::Key {
                place: asked.place.clone(),
                key: asked.key.clone(),
                what: "a project can not approve of itself".into(),
                help: Some("remove the lines; `wharf plugin approve` writes them into your own file".into()),
            });
        }
        self.narrow(layer);
        self.approved(source)
    }

    /// Applies what the user approved of this very file, as far as it still asks for it.
    fn approved(&mut self, source: &Source) -> Result<(), ConfigError> {
        let directory = source.path.parent();
        let digest = Digest::of(&source.text);
        let fits = |approval: &&Approval| Some(&*approval.project) == directory && approval.digest == digest;
        let Some(approval) = self.approvals.iter().rev().find(fits) else { return Ok(()) };
        let approved = |request: &mut Request| approval.lines.contains(&request.grant);
        let mut granted: Vec<Request> = self.requests.extract_if(.., approved).collect();
        granted.sort_by_key(|request| request.place.line);
        // Each line stands where the project has it, so that errors name the right place.
        let mut text = String::new();
        for request in granted {
            let here = text.lines().count();
            text += &"\n".repeat(request.place.line.saturating_sub(here + 1));
            text += &format!("{}\n", request.grant);
        }
        let lines = Source { path: source.path.clone(), text, level: Level::User };
        self.authority(super::read::read(&lines)?, Level::User)
    }

    /// What the machine's administrator or the user says, counts.
    fn authority(&mut self, layer: Layer, level: Level) -> Result<(), ConfigError> {
        self.approvals.extend(layer.approvals.into_iter().map(|said| said.value));
        self.storage = layer.storage.map(|said| said.value).or(self.storage.take());
        self.network = layer.network.map(|said| said.value).or(self.network.take());
        self.build_cache = layer.build_cache.map(|said| said.value).or(self.build_cache);
        self.signatures = layer.signatures.map(|said| said.value).or(self.signatures.take());
        self.cdi = layer.cdi.map(|said| said.value).or(self.cdi.take());
        self.parallelism = layer.parallelism.map(|said| said.value).or(self.parallelism);
        for partial in layer.plugins {
            self.plugin(partial, level)?;
        }
        for said in layer.networks {
            self.networks.retain(|network| network.name != said.value.name);
            self.networks.push(said.value);
        }
        for said in layer.registries {
            self.registries.retain(|route| route.prefix != said.value.prefix);
            self.registries.push(said.value);
        }
        Ok(())
    }

    /// The whole; what is switched off may be wrong as a whole.
    pub(super) fn finish(self, locks: &[Lock]) -> Result<Config, ConfigError> {
        let (on, off): (Vec<Slot>, Vec<Slot>) = self.plugins.into_iter().partition(|slot| slot.enabled);
        let plugins: Vec<PluginConfig> = on.into_iter().map(|slot| pin(slot, locks)).collect();
        for plugin in &plugins {
            check(plugin)?;
        }
        Ok(Config {
            storage: self.storage.unwrap_or_else(|| "overlay".into()),
            network: self.network.unwrap_or_else(|| "bridge".into()),
            build_cache: self.build_cache,
            signatures: self.signatures,
            cdi: self.cdi,
            parallelism: self.parallelism,
            plugins,
            switched_off: off.into_iter().map(|slot| pin(slot, locks)).collect(),
            networks: self.networks,
            registries: self.registries,
            requests: self.requests,
            approvals: self.approvals,
        })
    }

    fn plugin(&mut self, partial: Partial, level: Level) -> Result<(), ConfigError> {
        let known = self.plugins.iter().position(|slot| slot.plugin.name == partial.name);
        if let Some(slot) = known.and_then(|index| self.plugins.get(index)) {
            refuse_locked(slot, &partial, level)?;
        }
        match known.and_then(|index| self.plugins.get_mut(index)) {
            Some(slot) if partial.source.is_none() => {
                slot.keep_definition();
                amend(slot, partial, level);
            }
            Some(slot) => {
                let world = slot.plugin.world;
                *slot = define(partial, Some(world), level)?;
            }
            None => self.plugins.push(define(partial, None, level)?),
        }
        Ok(())
    }

    /// Takes from `./wharf.toml` what takes away, and keeps the rest as requests.
    fn narrow(&mut self, layer: Layer) {
        ask(&mut self.requests, layer.storage);
        ask(&mut self.requests, layer.network);
        ask(&mut self.requests, layer.build_cache);
        ask(&mut self.requests, layer.signatures);
        ask(&mut self.requests, layer.cdi);
        ask(&mut self.requests, layer.parallelism);
        for said in layer.networks {
            ask(&mut self.requests, Some(said));
        }
        for said in layer.registries {
            ask(&mut self.requests, Some(said));
        }
        for partial in layer.plugins {
            match self.plugins.iter_mut().find(|slot| slot.plugin.name == partial.name) {
                Some(slot) if partial.source.is_none() => narrow(slot, partial, &mut self.requests),
                Some(_) | None => self.requests.extend(whole(partial)),
            }
        }
    }
}

/// Holds a definition against the lock beside its file. A lock gives the digest where the file has
/// none.
fn pin(slot: Slot, locks: &[Lock]) -> PluginConfig {
    let Slot { mut plugin, defined, .. } = slot;
    if locks.is_empty() {
        return plugin;
    }
    let path = Lock::beside(&defined.as_ref().map_or(&plugin.place, |defined| &defined.place).file);
    let Some(lock) = locks.iter().find(|lock| lock.path == path) else { return plugin };
    let Some(pin) = lock.pins.get(&plugin.name) else { return plugin };
    let defined = defined.unwrap_or_else(|| Box::new(plugin.clone()));
    plugin.digest = plugin.digest.or(Some(pin.digest));
    let mismatch = pin.against(&path, &defined);
    plugin.pin = Some(Pinned { lock: path, pin: pin.clone(), mismatch });
    plugin
}

/// A required plugin belongs to the file that requires it, unless that file has switched it off.
fn refuse_locked(slot: &Slot, partial: &Partial, level: Level) -> Result<(), ConfigError> {
    if !slot.plugin.required || !slot.enabled || slot.level == level {
        return Ok(());
    }
    Err(ConfigError::Key {
        place: partial.place.clone(),
        key: format!("plugin.{}", partial.name),
        what: format!("is required by {}", slot.holder),
        help: Some("only that file can change it".into()),
    })
}

fn define(partial: Partial, world: Option<World>, level: Level) -> Result<Slot, ConfigError> {
    let missing = |what: &str, help: &str| ConfigError::Key {
        place: partial.place.clone(),
        key: format!("plugin.{}", partial.name),
        what: format!("`{what}` is missing"),
        help: Some(help.into()),
    };
    let source = partial.source.as_ref().map(|said| said.value.clone()).ok_or_else(|| {
        missing("source", "write `source = \"file:/absolute/path.wasm\"`, or correct the plugin's name")
    })?;
    let world = partial.world.as_ref().map(|said| said.value).or(world).ok_or_else(|| {
        missing("world", "write `world = \"instruction\"`, `\"storage\"`, `\"network\"` or `\"hook\"`")
    })?;
    let mut plugin = PluginConfig::fresh(&partial.name, world, source);
    plugin.place = partial.place.clone();
    plugin.level = level;
    let holder = partial.place.clone();
    let mut slot = Slot { defined: None, plugin, enabled: true, level, holder };
    amend(&mut slot, partial, level);
    Ok(slot)
}

fn amend(slot: &mut Slot, partial: Partial, level: Level) {
    let plugin = &mut slot.plugin;
    set(&mut plugin.world, partial.world);
    set(&mut plugin.keywords, partial.keywords);
    set(&mut plugin.grants.ops, partial.ops);
    set(&mut plugin.grants.net, partial.net);
    set(&mut plugin.grants.read, partial.read);
    set(&mut plugin.grants.remote, partial.remote);
    set(&mut plugin.grants.extensions, partial.extensions);
    set(&mut plugin.limits.memory, partial.memory);
    set(&mut plugin.limits.fuel, partial.fuel);
    set(&mut plugin.limits.time, partial.time);
    set(&mut plugin.required, partial.required);
    set(&mut plugin.phases, partial.phases);
    set(&mut plugin.trust, partial.trust);
    set(&mut slot.enabled, partial.enabled);
    plugin.digest = partial.digest.map(|said| said.value).or(plugin.digest);
    let lists: BTreeSet<String> = partial.settings.iter().filter_map(|(name, _)| list_of(name)).collect();
    plugin.settings.retain(|(name, _)| list_of(name).is_none_or(|list| !lists.contains(&list)));
    for (name, said) in partial.settings {
        put(&mut plugin.settings, name, said.value);
    }
    slot.level = level;
    slot.holder = partial.place;
}

fn set<T>(field: &mut T, said: Option<Said<T>>) {
    if let Some(said) = said {
        *field = said.value;
    }
}

/// `rule.0.prefix` belongs to the list `rule`, which a later file replaces whole.
fn list_of(name: &str) -> Option<String> {
    let mut above = String::new();
    for part in name.split('.') {
        if !above.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(above);
        }
        above = if above.is_empty() { part.to_owned() } else { format!("{above}.{part}") };
    }
    None
}

fn put(settings: &mut Settings, name: String, value: Value) {
    settings.retain(|(key, _)| *key != name);
    settings.push((name, value));
    settings.sort_by(|left, right| left.0.cmp(&right.0));
}

fn narrow(slot: &mut Slot, partial: Partial, requests: &mut Vec<Request>) {
    slot.keep_definition();
    let plugin = &mut slot.plugin;
    intersect(&mut plugin.grants.ops, partial.ops, requests);
    intersect(&mut plugin.grants.net, partial.net, requests);
    intersect(&mut plugin.grants.read, partial.read, requests);
    intersect(&mut plugin.grants.remote, partial.remote, requests);
    intersect(&mut plugin.grants.extensions, partial.extensions, requests);
    lower(&mut plugin.limits.memory, partial.memory, requests);
    lower(&mut plugin.limits.fuel, partial.fuel, requests);
    lower(&mut plugin.limits.time, partial.time, requests);
    plugin.required |= partial.required.as_ref().is_some_and(|said| said.value);
    ask(requests, partial.required.filter(|said| !said.value && plugin.required));
    let may_go = plugin.world == World::Instruction && !plugin.required;
    match partial.enabled {
        Some(said) if !said.value && may_go => slot.enabled = false,
        enabled => ask(requests, enabled.filter(|said| said.value != slot.enabled)),
    }
    ask(requests, partial.world);
    ask(requests, partial.digest);
    ask(requests, partial.keywords);
    ask(requests, partial.phases);
    ask(requests, partial.trust);
    for (_, said) in partial.settings {
        ask(requests, Some(said));
    }
}

/// Keeps what both have; what only the project has is a request.
fn intersect<T: Ord + Clone>(
    granted: &mut BTreeSet<T>,
    said: Option<Said<BTreeSet<T>>>,
    requests: &mut Vec<Request>,
) {
    let Some(said) = said else { return };
    let more = !said.value.is_subset(granted);
    granted.retain(|right| said.value.contains(right));
    ask(requests, more.then_some(said));
}

/// Takes the lower limit; a higher one is a request.
fn lower<T: Ord + Copy>(limit: &mut T, said: Option<Said<T>>, requests: &mut Vec<Request>) {
    let Some(said) = said else { return };
    let more = said.value > *limit;
    *limit = (*limit).min(said.value);
    ask(requests, more.then_some(said));
}

fn ask<T>(requests: &mut Vec<Request>, said: Option<Said<T>>) {
    if let Some(asked) = said.and_then(|said| said.asked) {
        let Asked { place, key, toml } = *asked;
        let grant = format!("{key} = {toml}");
        requests.push(Request { place, key, grant });
    }
}

/// Code that the project brings: the definition as it would stand in the user's own file.
fn whole(partial: Partial) -> Option<Request> {
    let Asked { place, key, toml } = *partial.asked?;
    let grant = format!("{key} = {toml}");
    Some(Request { place, key, grant })
}

/// What holds for a finished definition.
fn check(plugin: &PluginConfig) -> Result<(), ConfigError> {
    let wrong = |place: &Place, key: &str, what: &str, help: &str| {
        Err(ConfigError::Key {
            place: place.clone(),
            key: format!("plugin.{}.{key}", plugin.name),
            what: what.into(),
            help: Some(help.into()),
        })
    };
    if plugin.trust == Trust::NativeFull && plugin.digest.is_none() {
        return wrong(
            &plugin.place,
            "digest",
            "a native library is loaded by its digest only",
            "write `digest = \"sha256:...\"` with what `sha256sum` prints",
        );
    }
    if matches!(plugin.source, PluginSource::Bundle(_)) && plugin.digest.is_none() {
        let help = "add the bundle with `wharf plugin add`, which writes all that is needed";
        return wrong(&plugin.place, "digest", "what came from a bundle is found by its digest only", help);
    }
    if matches!(plugin.source, PluginSource::Registry(_)) && plugin.digest.is_none() {
        let help = "add it with `wharf plugin add`, which writes all that is needed";
        return wrong(&plugin.place, "digest", "what came from a registry is found by its digest only", help);
    }
    if plugin.world != World::Hook && (plugin.required || !plugin.phases.is_empty()) {
        let key = if plugin.required { "required" } else { "phases" };
        return wrong(&plugin.place, key, "is for hooks only", "remove the line");
    }
    if plugin.world != World::Instruction && !plugin.keywords.is_empty() {
        return wrong(&plugin.place, "keywords", "is for instructions only", "remove the line");
    }
    Ok(())
}
