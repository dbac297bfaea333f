//! What the user's TOML lets a plugin do.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The right to one kind of operation. A plan that needs one the plugin lacks is refused whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Start a stage.
    Stage,
    /// Return Dockerfile lines.
    Expand,
    /// Run programs in the build.
    Exec,
    /// Run programs in the build without confinement.
    ExecInsecure,
    /// Run programs in the build that see devices.
    ExecDevice,
    /// Copy files into the image.
    Copy,
    /// Write, link and make directories in the image.
    Write,
    /// Remove files of the image.
    Remove,
    /// Use another image.
    Image,
    /// Fetch from the web.
    Http,
    /// Fetch a git repository.
    Git,
    /// Change the image's config.
    Config,
    /// Mount caches.
    MountCache,
    /// Mount secrets and ssh agents.
    MountSecret,
    /// Mount other file systems.
    MountBind,
    /// Storage: make, move and clone directories below its areas.
    Directory,
    /// Storage: make, format and clone files below its areas.
    File,
    /// Storage: remove trees below its areas.
    RemoveTree,
    /// Storage: mount overlays.
    MountOverlay,
    /// Storage: bind its directories.
    MountDirectory,
    /// Storage: mount file systems in its files.
    MountImage,
    /// Network: make links.
    Link,
    /// Network: set addresses and routes.
    Address,
    /// Network: set kernel settings below `net/`.
    Sysctl,
    /// Network: firewall rules.
    Firewall,
    /// Network: publish ports.
    Publish,
    /// Network: live in the host's namespace.
    HostNetwork,
    /// Hook: change subjects.
    Adjust,
    /// Hook: refuse subjects.
    Judge,
    /// Hook: be told.
    Observe,
}

/// Which network a plugin's commands may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetGrant {
    /// The build's own.
    Sandbox,
    /// The host's.
    Host,
}

/// Everything one plugin may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Kinds of operations.
    pub ops: BTreeSet<Right>,
    /// Networks for its commands.
    pub net: BTreeSet<NetGrant>,
    /// What it may read while planning: `context`, `context:<pattern>`, `image`.
    pub read: BTreeSet<String>,
    /// Addresses that it may call: scheme, host, port and the beginning of the path.
    pub remote: BTreeSet<String>,
    /// Names of experimental operations.
    pub extensions: BTreeSet<String>,
}
