//! Images: one use case a file.

mod attachment;
mod elsewhere;
mod exchange;
mod filter;
mod history;
mod inspect;
mod layout;
mod line;
mod list;
mod login;
mod manifest;
mod pull;
mod push;
mod remove;
mod search;
mod serve;
mod signature;

pub use attachment::AttachmentError;
pub use elsewhere::{Elsewhere, ElsewhereError, Via};
pub use exchange::{ExchangeError, Form, ImportOptions, Loaded};
pub use filter::{ImageFilter, ImageFilterError};
pub use history::HistoryEntry;
pub(crate) use layout::open_below;
pub use list::{ImageSummary, ImageTree, ImageVariant, TagImageError};
pub use login::{DOCKER, LoginError};
pub use manifest::{Annotation, ManifestError, Proof};
pub use pull::{LayerStage, PullEvent, PullImageError, PullListener, PullPolicy, foreign};
pub use push::{Arrived, PushEvent, PushImageError, PushListener, PushStage};
pub use remove::{RemoveImageError, Removed};
pub use search::{SearchError, SearchFilter};
pub use serve::{Listening, ServeError, TlsFiles};
pub use wharf_store::registry::{Hit, Keeper, Pulled, Pushed};
pub use wharf_store::{Attachment, Image, ResolveError};
