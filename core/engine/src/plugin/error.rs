//! Why a plugin can not be looked at or changed.

use std::io;
use std::path::PathBuf;

use wharf_model::Digest;
use wharf_plugin::config::edit::EditError;
use wharf_plugin::lock::LockError;
use wharf_plugin::rights::NotARight;
use wharf_plugin::{ConfigError, Fault, Place, PluginError};

use crate::OpenError;
use crate::build::BuildFailure;
use crate::image::{PullImageError, PushImageError};

/// Why a plugin can not be looked at or changed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The config, as it is or as it would be, is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The lock is wrong.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A config file can not be changed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The plugin does not answer.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A word that is no right.
    #[error(transparent)]
    Right(#[from] NotARight),
    /// An engine with other plugins can not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A Dockerfile can not be planned.
    #[error(transparent)]
    Plan(#[from] BuildFailure),
    /// A file can not be used as a plugin.
    #[error("{path} can not be used as a plugin", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Fault,
    },
    /// A file can not be read or written.
    #[error("cannot {what} {path}", path = .path.display())]
    Io {
        /// `read`, `write`, ...
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing is called so.
    #[error("no plugin is called `{name}`")]
    Unknown {
        /// As given.
        name: String,
        /// The nearest name there is.
        nearest: Option<String>,
    },
    /// The name is taken.
    #[error("there is a plugin `{name}` already: {place}")]
    Exists {
        /// The name.
        name: String,
        /// Where it is defined.
        place: Place,
        /// It is part of the program.
        embedded: bool,
    },
    /// It is part of the program.
    #[error("the plugin `{name}` is part of wharf")]
    Embedded {
        /// Its name.
        name: String,
    },
    /// It is defined where this command does not write.
    #[error("the plugin `{name}` is defined in {place}")]
    Elsewhere {
        /// Its name.
        name: String,
        /// Where.
        place: Place,
    },
    /// A right that the plugin does not ask for.
    #[error("the plugin `{name}` does not request `{right}`, so granting it has no effect")]
    NotRequested {
        /// Its name.
        name: String,
        /// The right.
        right: String,
        /// What it requests.
        requested: Vec<String>,
    },
    /// A later config file decides.
    #[error("the grants of `{name}` would not change: another config file has the last word")]
    Overruled {
        /// Its name.
        name: String,
        /// The file that would have been changed.
        file: PathBuf,
    },
    /// A native library without the words that allow it.
    #[error("{path} is a native library: it can do whatever wharf can", path = .path.display())]
    Native {
        /// The file.
        path: PathBuf,
        /// What it hashes to.
        digest: Digest,
    },
    /// It has become a plugin of another kind.
    #[error("the plugin `{name}` is a plugin of the world `{was}`, and {path} one of `{is}`", path = .path.display())]
    World {
        /// Its name.
        name: String,
        /// In the config.
        was: wharf_plugin::World,
        /// The file.
        path: PathBuf,
        /// What that is.
        is: wharf_plugin::World,
    },
    /// `--as` names a keyword that the plugin does not have.
    #[error("the plugin `{name}` has no keyword {keyword}")]
    NoKeyword {
        /// Its name.
        name: String,
        /// As given.
        keyword: String,
        /// What it has.
        known: Vec<String>,
    },
    /// There is no file of that kind to write to.
    #[error("there is no {0} config file here")]
    NoFile(&'static str),
    /// A bundle is not one.
    #[error("{path} is not a bundle of plugins: {what}", path = .path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A directory without a `wharf.toml`.
    #[error("{directory} has no wharf.toml", directory = .directory.display())]
    NoProject {
        /// The directory.
        directory: PathBuf,
    },
    /// A project's plugin that could be replaced after it was approved.
    #[error(
        "{place}: the plugin `{name}` has no `digest`, so approving it would approve whatever comes to lie there"
    )]
    NoDigest {
        /// Its name.
        name: String,
        /// Where the project defines it.
        place: Place,
        /// What its file hashes to now.
        digest: Option<Digest>,
    },
    /// It can not be fetched from a registry, or a hook refuses it.
    #[error(transparent)]
    Pull(#[from] PullImageError),
    /// It can not be sent to a registry, or a hook refuses that.
    #[error(transparent)]
    Push(#[from] PushImageError),
    /// Native libraries, and what is compiled here, stay where they are.
    #[error("{what} is machine code, which neither goes to a registry nor comes from one")]
    MachineCode {
        /// What.
        what: String,
    },
    /// It does not say where a plugin is.
    #[error("{what}")]
    Locator {
        /// What is wrong with it.
        what: String,
    },
    /// Nothing is approved for a directory.
    #[error("nothing is approved for {directory}", directory = .directory.display())]
    NotApproved {
        /// The directory.
        directory: PathBuf,
    },
}

impl ChangeError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.next_step(),
            Self::Lock(error) => error.next_step(),
            Self::Edit(error) => error.next_step(),
            Self::Plugin(error) => match error.fault() {
                Fault::Clash { keyword, .. } => {
                    Some(format!("give it another keyword here: `--as {keyword}=MY_{keyword}`"))
                }
                _ => error.next_step(),
            },
            Self::Right(error) => error.help.clone(),
            Self::Open(error) => error.next_step(),
            Self::Plan(error) => error.hint(),
            Self::File { source, .. } => source.next_step_for_file(),
            Self::Unknown { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::Unknown { nearest: None, .. } => Some("`wharf plugin ls` lists what there is".into()),
            Self::Exists { embedded: true, .. } => Some("choose another name with `--name`".into()),
            Self::Exists { name, .. } => Some(format!(
                "choose another name with `--name`, or replace it with `wharf plugin update {name} FILE`"
            )),
            Self::Embedded { name } => Some(format!(
                "switch it off or replace it in your wharf.toml:\n[plugin.{name}]\nenabled = false"
            )),
            Self::Elsewhere { place, .. } => Some(format!("change {} by hand", place.file.display())),
            Self::NotRequested { requested, .. } if requested.is_empty() => {
                Some("it requests nothing".into())
            }
            Self::NotRequested { requested, .. } => Some(format!("it requests: {}", requested.join(", "))),
            Self::Overruled { file, .. } => {
                Some(format!("look for the plugin in the files that come after {}", file.display()))
            }
            Self::Native { digest, .. } => Some(format!(
                "if you trust the code with the digest {digest} as much as wharf itself, add `--trust native-full`"
            )),
            Self::World { name, .. } => {
                Some(format!("remove it with `wharf plugin remove {name}` and add the other one"))
            }
            Self::NoKeyword { known, .. } => Some(format!("it has: {}", known.join(", "))),
            Self::NoFile(_) => Some("leave `--site` and `--user` out when a config file is given".into()),
            Self::NoDigest { name, digest: Some(digest), .. } => {
                Some(format!("write into it:\n[plugin.{name}]\ndigest = \"{digest}\""))
            }
            Self::NoProject { .. } => {
                Some("name the directory of a project: `wharf plugin approve DIR`".into())
            }
            Self::NotApproved { .. } => Some("`wharf plugin approve --list` shows what is".into()),
            Self::Pull(error) => error.next_step(),
            Self::Push(error) => error.next_step(),
            Self::MachineCode { .. } => {
                Some("a plugin travels as a component: build it for wasm32-unknown-unknown".into())
            }
            Self::Io { .. }
            | Self::Bundle { .. }
            | Self::Locator { .. }
            | Self::NoDigest { digest: None, .. } => None,
        }
    }
}
