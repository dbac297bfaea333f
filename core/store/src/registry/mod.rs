//! Registries: the OCI distribution specification, spoken as a client.
//!
//! | | |
//! |---|---|
//! | `endpoint` | from a name to servers: mirrors, other places, TLS or not |
//! | `tls` | docker's directories of certificates |
//! | `session`, `payload` | one request: redirects, bounds, who asks |
//! | `challenge`, `auth` | what a registry wants to see, and tokens |
//! | `credentials` | logins, in docker's file and the programs that it names |
//! | `retry` | what is tried again |
//! | `search` | which images there are |
//! | `document`, `resolve`, `platforms`, `tags` | manifests and indexes, the way through them, and what there is |
//! | `partial`, `transfer` | blobs on their way, several at once, each from where it was left |
//! | `pull` | an image from a registry |
//! | `gzip`, `pack`, `upload`, `push` | an image to a registry |
//! | `list` | indexes of what registries have already |
//! | `beside` | what others say about an image, in the same repository |
//! | `wasm` | plugins, to and from registries |
//! | `artifact`, `push/artifact` | what has layers and is no image: a build cache |
//! | `serve` | the other side: what is here, for others |
//!
//! **The client is ours, over `reqwest`.** The crate for this, `oci-client`, was read and left: it takes
//! manifests, tokens and errors of any length into memory; it sends a password wherever a server says;
//! it shows no certificate of its own, asks for no new token when one is over, does not wait as long as a
//! busy server says, and fetches layers from addresses that a manifest names. Each of these is a
//! promise here.
//!
//! **What is true.** Nothing that a registry says is believed before its digest was found right, and no
//! text of it becomes a path. A password goes to the registry that it is for, or over TLS to the server of
//! tokens that this one names. Addresses in a manifest (`urls`) are never asked.

mod artifact;
mod auth;
mod beside;
mod challenge;
mod credentials;
mod document;
mod endpoint;
mod error;
mod gzip;
mod list;
mod login;
mod pack;
mod partial;
mod payload;
mod platforms;
mod pull;
mod push;
mod resolve;
mod retry;
#[cfg(test)]
pub(crate) mod sample;
mod search;
mod serve;
mod session;
mod tags;
#[cfg(test)]
mod tests;
mod tls;
mod transfer;
mod upload;
mod wasm;

pub use artifact::Artifact;
pub use auth::{Login, Logins};
pub use beside::{Beside, Kept};
pub use credentials::{ConfigFile, CredentialsError, Keeper};
pub use endpoint::DOCKER;
pub use error::{RegistryError, Tried};
pub use list::{Member, MemberDescriptor, MemberPlatform, inspect, list_text, members, push_list};
pub use login::check_login;
pub use platforms::platforms;
pub use pull::{Found, Judge, LayerStage, PullError, PullEvent, Pulled, Watch, pull};
pub use push::{
    Part, PushError, PushEvent, PushStage, Pushed, Say, Sending, push, push_index, send_artifact,
};
pub use retry::Patience;
pub use search::{Hit, search};
pub use serve::{Layers, Offer, serve, serve_line};
pub use session::{Line, Session};
pub use tags::tags;
pub use tls::Certificates;
pub use upload::Arrived;
pub use wasm::{WasmArtifact, WasmPulled, pull_wasm, push_wasm};
