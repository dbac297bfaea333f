//! Configuration: which plugins there are, and what each may do.
//!
//! ```text
//! built-in defaults  <  /etc/wharf/wharf.toml  <  ~/.config/wharf/wharf.toml  <  ./wharf.toml
//! ```
//!
//! - A file that gives `source` defines a plugin anew: new code starts with the grants of the
//!   file that names it. A file that does not amends the definition key by key.
//! - `required = true` locks a plugin: no later file changes it.
//! - `./wharf.toml` came with a directory, perhaps a cloned repository: it may take grants and
//!   limits away and switch instruction plugins off. Whatever else it says is not done but kept
//!   as a [`Request`], with the lines that would grant it.
//!   The user's own file may hold an [`Approval`]: lines that count while one starts in that
//!   directory and its `wharf.toml` is the one that was looked at.
//! - A file with a `wharf.lock` beside it defines what that lock says, or nothing that is used.
//! - Unknown keys are errors. Every error reads `file:line: key: what`.

mod document;
pub mod edit;
mod merge;
mod read;
mod route;
mod statements;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf_model::grant::Grants;
use wharf_model::hook::{Moment, Phase};
use wharf_model::network::Cidr;
use wharf_model::registry::Route;
use wharf_model::{Digest, Keyword, Reference, Settings};

use crate::lock::{Lock, Mismatch, Pin};

/// Whose words a file holds; later ones come on top of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Compiled into the program.
    Defaults,
    /// The machine's administrator.
    Site,
    /// The user.
    User,
    /// Whoever wrote the directory we are in.
    Project,
}

/// The text of one file.
#[derive(Debug, Clone)]
pub struct Source {
    /// As errors show it.
    pub path: PathBuf,
    /// TOML.
    pub text: String,
    /// Whose words these are.
    pub level: Level,
}

impl Source {
    /// Reads a file; `None` when there is none.
    ///
    /// # Errors
    /// When it is there but can not be read.
    pub fn read(path: &Path, level: Level) -> Result<Option<Self>, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(Self { path: path.into(), text, level })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ConfigError::Read { path: path.into(), source }),
        }
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file.display(), self.line)
    }
}

/// Why the configuration can not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is there but can not be read.
    #[error("cannot read {path}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A key or its value is wrong.
    #[error("{place}: {key}: {what}")]
    Key {
        /// Where.
        place: Place,
        /// The dotted key.
        key: String,
        /// What is wrong.
        what: String,
        /// What to write instead.
        help: Option<String>,
    },
}

impl ConfigError {
    /// What would get the user past this, where it is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Read { .. } | Self::Syntax { .. } => None,
            Self::Key { help, .. } => help.clone(),
        }
    }
}

/// Something that `./wharf.toml` says but has no authority for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where.
    pub place: Place,
    /// The dotted key.
    pub key: String,
    /// The lines that grant it when they stand in the user's own file.
    pub grant: String,
}

impl fmt::Display for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}: not applied: a project's file may only narrow", self.place, self.key)
    }
}

/// Lines of a project's file that the user looked at and wants to hold there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The project's directory, absolute.
    pub project: PathBuf,
    /// What its `wharf.toml` was then.
    pub digest: Digest,
    /// TOML, a key and a value each.
    pub lines: Vec<String>,
    /// Where it is written.
    pub place: Place,
}

/// Which contract a plugin fulfils.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Dockerfile instructions.
    Instruction,
    /// A storage driver.
    Storage,
    /// A network driver.
    Network,
    /// A hook.
    Hook,
}

impl World {
    /// The word in the TOML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instruction => "instruction",
            Self::Storage => "storage",
            Self::Network => "network",
            Self::Hook => "hook",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Where a plugin's code is from: a locator with a scheme, so that others can follow.
///
/// A plugin with a `digest` is taken from the engine's own shelf when that code lies there, and
/// from here when it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// `file:/absolute/path`, or `file:./path` beside the config; a component or a shared library.
    File(PathBuf),
    /// `bundle:/absolute/path`, out of which `wharf plugin add` took it: by its digest only.
    Bundle(PathBuf),
    /// `oci://host/repository:tag` or `...@digest`, a WebAssembly artifact of a registry, out of which
    /// `wharf plugin add` took it: by the digest of its code only.
    Registry(Reference),
    /// `embedded:<name>`, a component in the program itself.
    Embedded(String),
}

/// How a plugin's name in a registry begins.
const REGISTRY: &str = "oci://";

impl PluginSource {
    /// The name behind `oci://`, host included; `None` when the text does not begin so.
    ///
    /// # Errors
    /// Says what is wrong with the name.
    pub fn in_registry(text: &str) -> Option<Result<Reference, String>> {
        let name = text.strip_prefix(REGISTRY)?;
        Some(match name.parse::<Reference>() {
            Ok(reference) if name.starts_with(&format!("{}/", reference.domain())) => Ok(reference),
            Ok(reference) => Err(format!("`{text}` names no registry: write `{REGISTRY}{reference}`")),
            Err(error) => Err(error.to_string()),
        })
    }
}

impl fmt::Display for PluginSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "file:{}", path.display()),
            Self::Bundle(path) => write!(out, "bundle:{}", path.display()),
            Self::Registry(name) => write!(out, "{REGISTRY}{name}"),
            Self::Embedded(name) => write!(out, "embedded:{name}"),
        }
    }
}

/// How a plugin's code is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// As a component that can only ask and answer.
    Sandboxed,
    /// As a shared library in our own process, which can do whatever we can.
    NativeFull,
}

/// What one call of a plugin may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, over all memories.
    pub memory: u64,
    /// WebAssembly instructions, roughly (everything but hooks).
    pub fuel: u64,
    /// Hooks and native libraries: how long an answer may take.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 64 << 20, fuel: 200_000_000, time: Duration::from_secs(1) }
    }
}

/// `[plugin.<name>]`.
#[derive(Debug, Clone)]
pub struct PluginConfig {
    /// Its name.
    pub name: String,
    /// Which contract it fulfils.
    pub world: World,
    /// Where its code is.
    pub source: PluginSource,
    /// What its code must hash to.
    pub digest: Option<Digest>,
    /// The plugin's own keyword to the one it gets here.
    pub keywords: BTreeMap<Keyword, Keyword>,
    /// What it may do.
    pub grants: Grants,
    /// What a call may use up.
    pub limits: Limits,
    /// Its own settings, sorted by key.
    pub settings: Settings,
    /// A hook: missing, trapped or timed out means deny.
    pub required: bool,
    /// A hook: what it is asked about; empty means all it subscribes to.
    pub phases: Vec<(Moment, Phase)>,
    /// How its code is run.
    pub trust: Trust,
    /// Where it is defined.
    pub place: Place,
    /// Whose words define it.
    pub level: Level,
    /// What the lock beside that file says of it.
    pub pin: Option<Pinned>,
}

impl PluginConfig {
    /// A definition that says nothing but what it has to; it grants nothing.
    pub fn fresh(name: &str, world: World, source: PluginSource) -> Self {
        Self {
            name: name.to_owned(),
            world,
            source,
            digest: None,
            keywords: BTreeMap::new(),
            grants: Grants::default(),
            limits: Limits::default(),
            settings: Settings::new(),
            required: false,
            phases: Vec::new(),
            trust: Trust::Sandboxed,
            place: Place { file: "the command line".into(), line: 1 },
            level: Level::User,
            pin: None,
        }
    }
}

/// What a lock says of a plugin.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The lock.
    pub lock: PathBuf,
    /// What it says.
    pub pin: Pin,
    /// Where the definition says something else: then the plugin is not used.
    pub mismatch: Option<Mismatch>,
}

/// `[network.<name>]`.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Its name.
    pub name: String,
    /// The plugin that drives it.
    pub driver: String,
    /// The containers' addresses.
    pub subnet: Option<Cidr>,
    /// The host's address in it.
    pub gateway: Option<IpAddr>,
    /// No way out.
    pub internal: bool,
    /// The driver's own.
    pub options: Vec<(String, String)>,
    /// Where it is defined.
    pub place: Place,
}

/// The whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The storage driver.
    pub storage: String,
    /// The network that containers join unless they say otherwise.
    pub network: String,
    /// Bytes that the build cache may have after a build; without it, it is never emptied by itself.
    pub build_cache: Option<u64>,
    /// Where descriptions of devices are (CDI files), the later directories over the earlier ones; where they are on
    /// every machine without it.
    pub cdi: Option<Vec<PathBuf>>,
    /// Where the site keeps signatures of images, each in a file `sha256-<hex>.NAME`.
    pub signatures: Option<PathBuf>,
    /// How many steps of a build are carried out at a time; the engine's choice without it.
    pub parallelism: Option<usize>,
    /// In the order they are first named, which is the order of hooks.
    pub plugins: Vec<PluginConfig>,
    /// Those that are switched off.
    pub switched_off: Vec<PluginConfig>,
    /// Networks the user defined.
    pub networks: Vec<NetworkConfig>,
    /// Where images come from and go to, where that is not what their names say.
    pub registries: Vec<Route>,
    /// What `./wharf.toml` asks for and does not get.
    pub requests: Vec<Request>,
    /// What the user let projects have.
    pub approvals: Vec<Approval>,
}

impl Config {
    /// Reads and merges files, each on top of those of a lower level.
    ///
    /// # Errors
    /// Names the first wrong key.
    pub fn load(sources: &[Source]) -> Result<Self, ConfigError> {
        Self::load_locked(sources, &[])
    }

    /// The same with the locks that lie beside those files.
    ///
    /// # Errors
    /// As [`Config::load`]; a lock that says something else makes a plugin unusable, which is no
    /// error here.
    pub fn load_locked(sources: &[Source], locks: &[Lock]) -> Result<Self, ConfigError> {
        let mut ordered: Vec<&Source> = sources.iter().collect();
        ordered.sort_by_key(|source| source.level);
        let mut merged = merge::Merged::default();
        for source in ordered {
            merged.add(read::read(source)?, source)?;
        }
        merged.finish(locks)
    }

    /// The plugin of this name.
    pub fn plugin(&self, name: &str) -> Option<&PluginConfig> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }
}

/// What `grants.<key> = ["<value>"]` grants.
pub(crate) fn grant(key: &str, value: &str) -> Result<Grants, ConfigError> {
    read::grant(key, value)
}

#[cfg(test)]
mod tests;
