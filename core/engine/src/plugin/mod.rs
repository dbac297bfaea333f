//! Plugins as a person works with them: what there is, what each wants and may, adding, locking,
//! approving and updating.
//!
//! Every change is tried out before it is written: the config as it would be is loaded, the new
//! plugin is compiled and asked who it is, and only then are `wharf.toml` and `wharf.lock` replaced,
//! together. A plugin that is added is copied to the engine's own shelf by its digest (see
//! `wharf_plugin::shelf`); `source` in the TOML goes on saying where it came from.

mod add;
mod approve;
mod bundle;
mod error;
mod file;
mod grant;
mod inspect;
mod list;
mod lock;
mod registry;
mod remove;
mod update;

pub use add::{AddPlugin, Added};
pub use approve::{Ask, Asked};
pub use error::ChangeError;
pub use file::Whose;
pub use grant::{GrantChange, Regrant};
pub use inspect::{KeywordDetails, PluginDetails};
pub use list::{PluginState, PluginSummary};
pub use registry::Origin;
pub use update::{PlanChange, PluginUpdate, Prepared, StatementChange, dockerfiles_in};
pub use wharf_model::manifest::Manifest;
pub use wharf_model::{Digest, Keyword};
pub use wharf_plugin::outline::Form;
pub use wharf_plugin::rights::{RightState, Standing};
pub use wharf_plugin::{Approval, World};
