//! Images: one use case a file.

mod attachment;
mod exchange;
mod history;
mod inspect;
mod layout;
mod list;
mod pull;
mod remove;

pub use attachment::AttachmentError;
pub use exchange::{ExchangeError, Form, ImportOptions, Loaded};
pub use history::HistoryEntry;
pub(crate) use layout::open_below;
pub use list::{ImageSummary, TagImageError};
pub use pull::{LayerStage, PullEvent, PullImageError, PullListener, PullPolicy};
pub use remove::{RemoveImageError, Removed};
pub use wharf_store::registry::Pulled;
pub use wharf_store::{Attachment, Image, ResolveError};
