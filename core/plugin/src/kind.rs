//! The four kinds of plugin, as the engine sees them.
//!
//! A plugin gets plain data, may look at more through [`BuildContext`] or [`StateView`], and
//! answers with a plan. By the time a plan leaves a function of these traits it has been
//! validated and every operation of it has been checked against the plugin's grants.

use serde::{Deserialize, Serialize};
use wharf_model::build::Outcome;
use wharf_model::hook::{Adjustment, Event, Moment, Phase, Verdict};
use wharf_model::network::{Attachment, Network as NetworkSpec, NetworkInfo, NetworkPlan};
use wharf_model::remote::{RemoteRequest, RemoteResponse};
use wharf_model::statement::{Invocation, KeywordSpec};
use wharf_model::storage::{HostFacts, Location, Object, StorageInfo, StoragePlan};
use wharf_model::{Digest, Failure, Platform};

use crate::PluginError;

/// One or more Dockerfile keywords.
pub trait Instruction: Send + Sync {
    /// The plugin's name in the config.
    fn name(&self) -> &str;
    /// The digest of its component or library.
    fn digest(&self) -> Digest;
    /// Its keywords, renamed as the config says.
    fn describe(&self) -> &[KeywordSpec];
    /// The first level of the plan cache: the same key and the same answers to what the trace
    /// asks give the same plan. `None` for a native library, which may look at anything.
    fn cache_key(&self, call: &Invocation) -> Option<Digest>;
    /// What the statement means.
    ///
    /// # Errors
    /// When the plugin fails, answers with nonsense or with something it was not granted.
    fn plan(&self, call: &Invocation, context: &mut dyn BuildContext) -> Result<Outcome, PluginError>;
}

/// Everything an instruction may look at. Paths are relative to the root they are looked up in,
/// clean, without `..`; the root itself is the empty path.
pub trait BuildContext {
    /// The platform that is built for.
    fn target_platform(&mut self) -> Platform;
    /// A build argument in scope.
    fn arg(&mut self, name: &str) -> Option<String>;
    /// A variable of the image's environment.
    fn env(&mut self, name: &str) -> Option<String>;
    /// The stage's WORKDIR, `/` when there is none.
    fn working_dir(&mut self) -> String;
    /// The stage's USER, empty when there is none.
    fn user(&mut self) -> String;
    /// The stage's SHELL, `["/bin/sh", "-c"]` when there is none.
    fn shell(&mut self) -> Vec<String>;
    /// One file; `None` when there is nothing.
    ///
    /// # Errors
    /// When it can not be told.
    fn stat(&mut self, root: &Root, path: &str) -> Result<Option<Entry>, Failure>;
    /// The content of a regular file; `None` when there is nothing.
    ///
    /// # Errors
    /// When it is longer than `limit` bytes or not a regular file.
    fn read(&mut self, root: &Root, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure>;
    /// Entries whose path matches one of the patterns, sorted by path.
    ///
    /// # Errors
    /// When there are more than `limit`.
    fn glob(&mut self, root: &Root, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure>;
    /// Looks an image up in the local store.
    ///
    /// # Errors
    /// When there is none.
    fn resolve_image(
        &mut self,
        reference: &str,
        platform: Option<&Platform>,
    ) -> Result<ResolvedImage, Failure>;
}

/// Where a path of a [`BuildContext`] is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Root {
    /// The build context.
    Local,
    /// One given by `--build-context`.
    Named(String),
}

/// What a path of a context is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A socket, a device, ...
    Other,
}

/// One file of a context.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to its root.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// In bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Of a regular file.
    pub content: Option<Digest>,
}

/// What a reference stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResolvedImage {
    /// The image's id.
    pub digest: Digest,
    /// What it runs on.
    pub platform: Platform,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Its USER.
    pub user: String,
    /// Its WORKDIR.
    pub working_dir: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// A look into an image that is about to get its id. Paths are relative to its root, clean, without
/// `..`; the root itself is the empty path. Symbolic links are not followed.
pub trait ImageFiles {
    /// One file; `None` when there is nothing.
    ///
    /// # Errors
    /// When it can not be told.
    fn stat(&mut self, path: &str) -> Result<Option<Entry>, Failure>;
    /// The content of a regular file; `None` when there is nothing.
    ///
    /// # Errors
    /// When it is longer than `limit` bytes or not a regular file.
    fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure>;
    /// Entries whose path matches one of the patterns, sorted by path.
    ///
    /// # Errors
    /// When there are more than `limit`.
    fn glob(&mut self, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure>;
}

/// Something that was found beside an image in its registry, or that the site keeps about it. Nothing of
/// it was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// `referrer`, `tag` or `site`.
    pub origin: &'static str,
    /// What it is.
    pub media_type: String,
    /// What its descriptor says beside that.
    pub annotations: Vec<(String, String)>,
    /// All of it.
    pub content: Vec<u8>,
}

/// What there is about an image that is about to be pulled; see [`with_signatures`](crate::with_signatures).
pub trait ImageSignatures {
    /// When the image was asked for, in seconds since 1970.
    fn asked_at(&mut self) -> u64;
    /// What its name leads to first, its manifest last.
    fn digests(&mut self) -> Vec<Digest>;
    /// What there is about one of these digests.
    ///
    /// # Errors
    /// When the registry does not tell, or there is too much.
    fn about(&mut self, subject: &Digest) -> Result<Vec<Signature>, Failure>;
    /// A file of the site's directory, by its name alone; `None` when it is not there.
    ///
    /// # Errors
    /// When the name leads elsewhere, or the file is too long or not a regular one.
    fn site_file(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure>;
}

/// The way out for plugins that were granted an address.
///
/// By the time a request comes here it has been checked: the address is granted, method, headers
/// and body are in bounds.
pub trait Remote: Send + Sync {
    /// Sends a request with `Idempotency-Key: <token>`, follows no redirect, and waits at most
    /// ten seconds.
    ///
    /// # Errors
    /// [`FailureKind::Transient`](wharf_model::FailureKind::Transient) when the server can not be
    /// reached, takes too long or answers with more than [`BODY`](wharf_model::remote::BODY) bytes.
    fn call(&self, token: &str, request: &RemoteRequest) -> Result<RemoteResponse, Failure>;
}

/// What a driver remembered: reads only, writes are part of its plans.
pub trait StateView {
    /// The value of `key`.
    fn get(&self, key: &str) -> Option<Vec<u8>>;
    /// At most `limit` keys that begin with `prefix`, sorted.
    fn keys(&self, prefix: &str, limit: u32) -> Vec<String>;
}

/// Where the directory trees of layers, containers and volumes live.
///
/// Every `plan_` function fails when the plugin fails, answers with nonsense or with something it
/// was not granted. `token` is the same when a request is repeated.
#[allow(clippy::missing_errors_doc, reason = "said once for all of them above")]
pub trait Storage: Send + Sync {
    /// The plugin's name in the config.
    fn name(&self) -> &str;
    /// The digest of its component or library.
    fn digest(&self) -> Digest;
    /// What it says about itself.
    fn info(&self) -> &StorageInfo;
    /// Where an object's changes are, whether or not it exists yet.
    fn locate(&self, object: &Object) -> Result<Location, PluginError>;
    /// Makes an object.
    fn plan_create(
        &self,
        token: &str,
        object: &Object,
        state: &dyn StateView,
    ) -> Result<StoragePlan, PluginError>;
    /// Turns what a container changed into a layer.
    fn plan_commit(
        &self,
        token: &str,
        container: &Object,
        layer: &Object,
        state: &dyn StateView,
    ) -> Result<StoragePlan, PluginError>;
    /// How an object is mounted.
    fn plan_attach(
        &self,
        token: &str,
        object: &Object,
        read_only: bool,
        state: &dyn StateView,
    ) -> Result<StoragePlan, PluginError>;
    /// What is to be done after the object's mounts are gone.
    fn plan_detach(
        &self,
        token: &str,
        object: &Object,
        state: &dyn StateView,
    ) -> Result<StoragePlan, PluginError>;
    /// Removes an object.
    fn plan_remove(
        &self,
        token: &str,
        object: &Object,
        state: &dyn StateView,
    ) -> Result<StoragePlan, PluginError>;
}

/// How containers are joined to a network. Errors as for [`Storage`].
#[allow(clippy::missing_errors_doc, reason = "said once for all of them at `Storage`")]
pub trait Network: Send + Sync {
    /// The plugin's name in the config.
    fn name(&self) -> &str;
    /// The digest of its component or library.
    fn digest(&self) -> Digest;
    /// What it says about itself.
    fn info(&self) -> &NetworkInfo;
    /// What the network itself needs; every step is repeatable.
    fn plan_network(
        &self,
        token: &str,
        network: &NetworkSpec,
        facts: &HostFacts,
        state: &dyn StateView,
    ) -> Result<NetworkPlan, PluginError>;
    /// What one container needs.
    fn plan_attach(
        &self,
        token: &str,
        attachment: &Attachment,
        facts: &HostFacts,
        state: &dyn StateView,
    ) -> Result<NetworkPlan, PluginError>;
    /// For what the core can not undo by itself; a failure must not block removal.
    fn release(&self, token: &str, attachment: &Attachment, state: &dyn StateView)
    -> Result<(), PluginError>;
}

/// Policy on what the core is about to do.
///
/// A hook is loaded when it is first asked, so a missing or broken one fails there: when
/// [`Hook::required`], that is a deny.
#[allow(clippy::missing_errors_doc, reason = "said above")]
pub trait Hook: Send + Sync {
    /// The plugin's name in the config.
    fn name(&self) -> &str;
    /// The digest of its component or library.
    fn digest(&self) -> Result<Digest, PluginError>;
    /// Missing, trapped or timed out means deny.
    fn required(&self) -> bool;
    /// What it wants to be asked, narrowed by the config.
    fn subscriptions(&self) -> Result<Vec<(Moment, Phase)>, PluginError>;
    /// First: what to change. `image` is there when an image is committed.
    fn adjust(
        &self,
        event: &Event,
        image: Option<&mut dyn ImageFiles>,
    ) -> Result<Vec<Adjustment>, PluginError>;
    /// Second: whether it may be. `image` is there when an image is committed.
    fn judge(&self, event: &Event, image: Option<&mut dyn ImageFiles>) -> Result<Verdict, PluginError>;
    /// Third: told afterwards.
    fn observe(&self, event: &Event) -> Result<(), PluginError>;
}
