//! Images: one use case a file.

mod exchange;
mod history;
mod inspect;
mod list;
mod remove;

pub use exchange::{ExchangeError, ImportOptions, Loaded};
pub use history::HistoryEntry;
pub use list::{ImageSummary, TagImageError};
pub use remove::{RemoveImageError, Removed};
pub use wharf_store::{Image, ResolveError};
