//! Networks: how a container is joined to one, and taken off it.
//!
//! A network driver answers with two plans: what the network itself needs, carried out once, and
//! what each container needs. The second is written to `network.json` in the container's run
//! directory before it is carried out, so that whoever finds a container that ended, after any
//! crash, can undo it without the driver.
//!
//! Every configured network driver has one network of its own name (`bridge`, `host`, `none`);
//! it gets its record, and its subnet if it needs one, when it is first used.

mod files;
mod join;
mod leave;
mod manage;
mod port;
mod record;

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use wharf_model::network::{Interface, Namespace};
use wharf_plugin::PluginError;
use wharf_runtime::net::{NamespaceError, NetError, PortError as BindError};
use wharf_store::RecordError;

use crate::hook::HookError;

pub(crate) use files::{Files, write as write_files};
pub(crate) use join::Join;
pub use manage::{NetworkOptions, NetworkSummary};
pub use port::{PortError, PortSpec};
pub use wharf_model::network::{Port, Protocol};

/// What a container got when it was joined to its network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The network's name.
    pub network: String,
    /// The plugin that drives it.
    #[serde(default)]
    pub driver: String,
    /// The network's id.
    pub network_id: String,
    /// Whose network namespace it lives in.
    pub namespace: Namespace,
    /// Its links.
    pub interfaces: Vec<Interface>,
    /// Published ports, with the host's ports that were chosen.
    pub ports: Vec<Port>,
    /// Name servers of the network; empty is the host's.
    pub dns_servers: Vec<IpAddr>,
    /// Search domains of the network; empty is the host's.
    pub dns_search: Vec<String>,
}

impl Joined {
    /// It has a network namespace of its own.
    pub fn is_own(&self) -> bool {
        self.namespace == Namespace::Own
    }

    /// The container's first address.
    pub fn address(&self) -> Option<IpAddr> {
        self.interfaces.iter().flat_map(|interface| &interface.addresses).map(|cidr| cidr.address).next()
    }
}

/// A joined container's descriptors, to be handed to its monitor.
pub(crate) struct Handles {
    /// Its network namespace; `None` is the host's.
    pub(crate) namespace: Option<OwnedFd>,
    /// Keep the published ports from being taken by others.
    pub(crate) ports: Vec<OwnedFd>,
}

/// Why a container could not be joined to its network. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No such network.
    #[error("network `{0}` not found")]
    Unknown(String),
    /// The name is not one.
    #[error("`{0}` is not a name for a network: use letters, digits, `_`, `.` and `-`")]
    Name(String),
    /// The name is taken.
    #[error("network with name {0} already exists")]
    Exists(String),
    /// The config has it.
    #[error("{0} is a pre-defined network and cannot be removed")]
    Predefined(String),
    /// Somebody is on it.
    #[error("error while removing network: network {name} id {id} has active endpoints")]
    InUse {
        /// Which network.
        name: String,
        /// Its id.
        id: String,
    },
    /// The addresses are another network's.
    #[error("subnet {subnet} overlaps with that of network `{other}`")]
    Overlap {
        /// As asked for.
        subnet: wharf_model::network::Cidr,
        /// Whose.
        other: String,
    },
    /// The host's address is none of the network's.
    #[error("gateway {gateway} is not in subnet {subnet}")]
    Gateway {
        /// As asked for.
        gateway: IpAddr,
        /// As asked for.
        subnet: wharf_model::network::Cidr,
    },
    /// The network's driver is not configured.
    #[error("network `{network}` needs the driver `{driver}`, which no configured plugin provides")]
    NoDriver {
        /// Which network.
        network: String,
        /// Which driver.
        driver: String,
    },
    /// The driver can not publish ports.
    #[error("network `{0}` can not publish ports")]
    NoPorts(String),
    /// The driver refused or failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A hook refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// A port is in use.
    #[error(transparent)]
    Port(#[from] BindError),
    /// The kernel refused.
    #[error("cannot set up network `{network}`")]
    Kernel {
        /// Which network.
        network: String,
        /// Why not.
        source: NetError,
    },
    /// No network namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// No address is free.
    #[error("cannot lease an address on network `{network}`")]
    Lease {
        /// Which network.
        network: String,
        /// Why not.
        source: wharf_store::LeaseError,
    },
    /// The record can not be kept.
    #[error("cannot keep the record of network `{network}`")]
    Record {
        /// Which network.
        network: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl NetworkError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Plugin(error) => error.next_step(),
            Self::Kernel { source: NetError::Taken { other, .. }, .. } => Some(format!(
                "delete it with `ip link delete {other}` if nobody needs it, or make a network with other addresses: \
                 `wharf network create --subnet SUBNET NAME`"
            )),
            _ => None,
        }
    }
}

fn record_error(network: &str, source: RecordError) -> NetworkError {
    NetworkError::Record { network: network.to_owned(), source: source.into() }
}
