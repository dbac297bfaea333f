//! Why a plugin's answer could not be had.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wharf_model::{Digest, Failure, Keyword, Severity};

use crate::authorize::Denied;
use crate::config::{PluginSource, World};
use crate::lock::Mismatch;

/// A plugin was asked and there is no answer that can be used.
#[derive(Debug, Clone)]
pub struct PluginError {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    plugin: String,
    function: Option<&'static str>,
    fault: Fault,
    last_log: Option<String>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The plugin itself says so.
    #[error("{}", first_error(.0))]
    Failed(Failure),
    /// It answered with something, or asked for something, that it was not granted.
    #[error(transparent)]
    Denied(Denied),
    /// Its code stopped: a panic, a failed assertion, a wild access, endless recursion.
    #[error("stopped: {reason}{}", in_functions(.functions))]
    Trap {
        /// As the machine says it.
        reason: String,
        /// The innermost functions, as far as the component names them.
        functions: Vec<String>,
    },
    /// It computed for too long.
    #[error("ran out of fuel ({fuel})")]
    Fuel {
        /// Its limit.
        fuel: u64,
    },
    /// It wanted too much memory.
    #[error("wanted {wanted} bytes of memory, and {limit} are allowed")]
    Memory {
        /// In all.
        wanted: u64,
        /// Its limit.
        limit: u64,
    },
    /// It took too long.
    #[error("took longer than {} ms", .limit.as_millis())]
    Time {
        /// Its limit.
        limit: Duration,
    },
    /// Its answer is larger than any plan can be.
    #[error("the answer is too large: {what}")]
    TooLarge {
        /// Which part.
        what: String,
    },
    /// Its answer makes no sense.
    #[error("the answer makes no sense: {what}")]
    Answer {
        /// Which part, and why.
        what: String,
    },
    /// Its file can not be read.
    #[error("cannot read {path}", path = .path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was added from a bundle or a registry, and the engine's own copy is gone.
    #[error("its code, which came from {from}, is not on this machine")]
    NotKept {
        /// Where it came from.
        from: PluginSource,
    },
    /// No component of this name is part of the program.
    #[error("no component `{name}` is embedded")]
    NotEmbedded {
        /// Its name.
        name: String,
    },
    /// Its code is not what the config pins.
    #[error("its code is {actual}, and the config wants {expected}")]
    Digest {
        /// From the config.
        expected: Digest,
        /// Of what is there.
        actual: Digest,
    },
    /// Its file is not a component.
    #[error("not a component: {reason}")]
    NotAComponent {
        /// As the decoder says it.
        reason: String,
    },
    /// It fulfils another contract than the config says.
    #[error("does not fulfil the contract `{expected}`: it exports {}", list(.exports))]
    World {
        /// From the config.
        expected: World,
        /// What it exports.
        exports: Vec<String>,
    },
    /// Its interfaces have the right names but other types.
    #[error("does not fit the contract: {reason}")]
    Contract {
        /// As the machine says it.
        reason: String,
    },
    /// Nothing in the configuration has this name.
    #[error("is not configured")]
    Unknown,
    /// It fulfils no contract of ours at all.
    #[error("fulfils none of the contracts: it exports {}", list(.exports))]
    NoContract {
        /// What it exports.
        exports: Vec<String>,
    },
    /// It is not what the lock says.
    #[error(transparent)]
    Locked(Mismatch),
    /// It was built for another version of the contract.
    #[error("was built for version {found} of the contract, and this is version {ours}")]
    Version {
        /// Its version.
        found: String,
        /// The one this program has.
        ours: String,
    },
    /// It wants something from the host that there is not.
    #[error("wants imports that a plugin does not get: {}", list(.imports))]
    Imports {
        /// Which.
        imports: Vec<String>,
    },
    /// The place for compiled components can not be used.
    #[error("cannot use the cache of compiled plugins at {path}: {reason}", path = .path.display())]
    Cache {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Two plugins want the same name.
    #[error("`{keyword}` is claimed by the plugin `{other}` too")]
    Clash {
        /// The keyword.
        keyword: Keyword,
        /// The other plugin.
        other: String,
    },
    /// A native library can not be used.
    #[error("the library can not be used: {reason}")]
    Native {
        /// Why.
        reason: String,
    },
    /// A shared library without the words that allow it.
    #[error("is a native library, which needs `trust = \"native-full\"` and a `digest`")]
    Untrusted {
        /// What it hashes to.
        digest: Digest,
    },
    /// The sandbox could not be set up.
    #[error("the sandbox could not be set up: {reason}")]
    Sandbox {
        /// Why.
        reason: String,
    },
}

impl PluginError {
    pub(crate) fn new(plugin: &str, function: Option<&'static str>, fault: Fault) -> Self {
        Self { inner: Arc::new(Inner { plugin: plugin.into(), function, fault, last_log: None }) }
    }

    pub(crate) fn logged(
        plugin: &str,
        function: &'static str,
        fault: Fault,
        last_log: Option<String>,
    ) -> Self {
        Self { inner: Arc::new(Inner { plugin: plugin.into(), function: Some(function), fault, last_log }) }
    }

    /// The plugin's name in the config.
    pub fn plugin(&self) -> &str {
        &self.inner.plugin
    }

    /// Which function of the contract was called, if any.
    pub fn function(&self) -> Option<&str> {
        self.inner.function
    }

    /// What went wrong.
    pub fn fault(&self) -> &Fault {
        &self.inner.fault
    }

    /// The plugin's own words, when it refused by itself.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.inner.fault {
            Fault::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// The missing grant, when that is what is wrong.
    pub fn denied(&self) -> Option<&Denied> {
        match &self.inner.fault {
            Fault::Denied(denied) => Some(denied),
            _ => None,
        }
    }

    /// The last line the plugin logged before it stopped.
    pub fn last_log(&self) -> Option<&str> {
        self.inner.last_log.as_deref()
    }

    /// What would get the user past this, where it is known.
    pub fn next_step(&self) -> Option<String> {
        let plugin = &self.inner.plugin;
        let raise = |limit: String| Some(format!("raise the limit:\n[plugin.{plugin}]\nlimits.{limit}"));
        match &self.inner.fault {
            Fault::Failed(failure) => failure.diagnostics.iter().find_map(|said| said.help.clone()),
            Fault::Denied(denied) => Some(denied.next_step()),
            Fault::Fuel { fuel } => raise(format!("fuel = {}", fuel.saturating_mul(4))),
            Fault::Memory { wanted, .. } => raise(format!("memory = {}", wanted.saturating_mul(2))),
            Fault::Time { limit } => raise(format!("time_ms = {}", limit.as_millis().saturating_mul(4))),
            Fault::Trap { .. } | Fault::TooLarge { .. } | Fault::Answer { .. } => {
                Some(format!("this is a mistake in the plugin `{plugin}`: tell its author, or use another"))
            }
            Fault::Source { .. } | Fault::NotEmbedded { .. } => {
                Some(format!("correct `plugin.{plugin}.source`"))
            }
            Fault::Digest { actual, .. } => Some(format!(
                "if you trust the new code, run `wharf plugin update {plugin}`, or write:\n\
                 [plugin.{plugin}]\ndigest = \"{actual}\""
            )),
            Fault::NotKept { from: PluginSource::Bundle(bundle) } => Some(format!(
                "run `wharf plugin remove {plugin}` and `wharf plugin add {}` again",
                bundle.display()
            )),
            Fault::NotKept { .. } => Some(format!("bring it again: `wharf plugin update {plugin}`")),
            Fault::NotAComponent { .. } => Some(AS_COMPONENT.into()),
            Fault::World { expected, exports } => Some(world_hint(*expected, exports)),
            Fault::NoContract { .. } => Some(FOR_A_WORLD.into()),
            Fault::Locked(mismatch) => Some(locked_hint(plugin, mismatch)),
            Fault::Version { .. } | Fault::Contract { .. } => Some(
                "build the plugin against this version's contract, which `wharf plugin wit` prints".into(),
            ),
            Fault::Unknown => Some("`wharf plugin ls` lists what is configured".into()),
            Fault::Imports { imports } => Some(imports_hint(imports)),
            Fault::Cache { path, .. } => {
                Some(format!("remove {}; it is made again when needed", path.display()))
            }
            Fault::Clash { keyword, .. } => {
                Some(format!("rename one:\n[plugin.{plugin}]\nkeywords = {{ {keyword} = \"MY_{keyword}\" }}"))
            }
            Fault::Native { .. } => Some("build it against this version's SDK, or use a component".into()),
            Fault::Untrusted { digest } => Some(format!(
                "if you trust it with everything wharf can do, write:\n\
                 [plugin.{plugin}]\ntrust = \"native-full\"\ndigest = \"{digest}\""
            )),
            Fault::Sandbox { .. } => None,
        }
    }
}

/// WASI has answers for most; what speaks to others has none.
fn imports_hint(imports: &[String]) -> String {
    if imports.iter().any(|name| name.starts_with("wasi:http/")) {
        return "build it without HTTP: for JavaScript, `componentize-js --disable http fetch-event`".into();
    }
    "build it without them; a plugin gets the imports of its world, and answers to WASI 0.2 that say nothing"
        .into()
}

impl Fault {
    /// What would help with a file that is no plugin yet.
    pub fn next_step_for_file(&self) -> Option<String> {
        match self {
            Self::NotAComponent { .. } => Some(AS_COMPONENT.into()),
            Self::NoContract { .. } => Some(FOR_A_WORLD.into()),
            _ => None,
        }
    }
}

const AS_COMPONENT: &str =
    "build it as a component: a core module is turned into one by `wasm-tools component new`";
const FOR_A_WORLD: &str = "build it for one of the worlds that `wharf plugin wit` prints";

fn locked_hint(plugin: &str, mismatch: &Mismatch) -> String {
    let config = mismatch.place.file.display();
    format!("if the change in {config} is meant, look at it and lock it: `wharf plugin update {plugin}`")
}

fn world_hint(expected: World, exports: &[String]) -> String {
    let found = [World::Instruction, World::Storage, World::Network, World::Hook]
        .into_iter()
        .find(|world| exports.iter().any(|name| name.contains(&format!("/{}", world.as_str()))));
    match found {
        Some(world) if world == expected => {
            "build it for the whole world: it has to export `wharf:plugin/about`, too".into()
        }
        Some(world) => format!("write `world = \"{world}\"`"),
        None => "build it for one of the worlds that `wharf plugin wit` prints".into(),
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "plugin `{}`: ", self.inner.plugin)?;
        if let Some(function) = self.inner.function {
            write!(out, "{function}: ")?;
        }
        write!(out, "{}", self.inner.fault)?;
        match &self.inner.last_log {
            Some(line) => write!(out, " (last log line: {line})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PluginError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.inner.fault)
    }
}

fn first_error(failure: &Failure) -> &str {
    let loudest = failure.diagnostics.iter().min_by_key(|said| match said.severity {
        Severity::Error => 0,
        Severity::Warning => 1,
        Severity::Info | Severity::Hint => 2,
    });
    loudest.map_or("failed without saying why", |said| &said.message)
}

fn in_functions(functions: &[String]) -> String {
    if functions.is_empty() { String::new() } else { format!(" in {}", functions.join(" < ")) }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}
