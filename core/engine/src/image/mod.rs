//! Images: one use case a file.

mod attachment;
mod exchange;
mod history;
mod inspect;
mod list;
mod remove;

pub use attachment::AttachmentError;
pub use exchange::{ExchangeError, ImportOptions, Loaded};
pub use history::HistoryEntry;
pub use list::{ImageSummary, TagImageError};
pub use remove::{RemoveImageError, Removed};
pub use wharf_store::{Attachment, Image, ResolveError};
