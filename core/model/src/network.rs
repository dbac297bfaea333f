//! What a network driver asks the core to do.
//!
//! Every action has an inverse that the core knows, so a network is taken down without its plugin.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Diagnostic, ExtensionOp, StateChange};

/// Whose network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The host's (or the rootless user's).
    Host,
    /// The container's.
    Container,
}

/// An address with its prefix length: `172.18.0.2/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// At most 32, or 128 for IPv6.
    pub prefix: u8,
}

/// Why a text is not an address with a prefix length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address with a prefix length such as 172.18.0.2/16")]
pub struct CidrError(String);

impl std::str::FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let wrong = || CidrError(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if prefix <= most { Ok(Self { address, prefix }) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;

    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

/// The transport of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// What a rule speaks about; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Traffic {
    /// The link it comes in by.
    pub in_link: Option<String>,
    /// The link it leaves by.
    pub out_link: Option<String>,
    /// From this network.
    pub source: Option<Cidr>,
    /// To this network.
    pub dest: Option<Cidr>,
    /// Of this transport.
    pub protocol: Option<Protocol>,
    /// To these ports, both ends included.
    pub dest_ports: Option<(u16, u16)>,
}

/// A rule of the core's own nftables table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FirewallRule {
    /// Traffic from `source` that leaves by another link gets the host's address.
    Masquerade {
        /// The containers' network.
        source: Cidr,
        /// The link that stays inside.
        except_link: String,
    },
    /// Other links may not open connections into this bridge; forwards are let through.
    Isolate(String),
    /// Let it pass.
    Accept(Traffic),
    /// Drop it.
    Drop(Traffic),
    /// Only this address with this MAC may leave through the host's link.
    PinSource {
        /// The host's end.
        link: String,
        /// `02:42:ac:11:00:02`.
        mac: String,
        /// The container's address.
        address: IpAddr,
    },
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Forward {
    /// Unspecified (`0.0.0.0`) is every address of the host.
    pub host_address: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The container's address.
    pub container_address: IpAddr,
    /// The container's port.
    pub container_port: u16,
    /// The transport.
    pub protocol: Protocol,
    /// The bridge the container is on.
    pub bridge: String,
}

/// One operation of a network plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NetworkAction {
    /// A bridge on the host, up.
    Bridge {
        /// Its name, at most 15 bytes.
        name: String,
        /// Bytes.
        mtu: Option<u32>,
    },
    /// A pair of links, both up.
    Veth {
        /// The end in the container.
        name: String,
        /// The end on the host.
        peer: String,
        /// The bridge that `peer` is a port of.
        bridge: String,
        /// Of the container's end.
        mac: Option<String>,
        /// Bytes.
        mtu: Option<u32>,
    },
    /// An address of a link.
    Address {
        /// Where the link is.
        place: Place,
        /// The link.
        link: String,
        /// The address.
        cidr: Cidr,
    },
    /// A route.
    Route {
        /// Where.
        place: Place,
        /// To which network; `0.0.0.0/0` is the default route.
        dest: Cidr,
        /// Through which gateway.
        via: Option<IpAddr>,
        /// By which link.
        link: Option<String>,
    },
    /// A kernel setting.
    Sysctl {
        /// Where.
        place: Place,
        /// As below `/proc/sys`, with slashes; only below `net/`.
        key: String,
        /// The value.
        value: String,
    },
    /// A rule of the firewall.
    Rule(FirewallRule),
    /// A published port.
    Forward(Forward),
    /// An experiment.
    Extension(ExtensionOp),
}

/// One step of a network plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkStep {
    /// What to do.
    pub action: NetworkAction,
    /// What a log shows.
    pub label: String,
}

/// Whose network namespace a container lives in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// Its own.
    #[default]
    Own,
    /// The host's.
    Host,
}

/// What a link of the container looks like afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interface {
    /// Its name in the container.
    pub name: String,
    /// Its MAC address.
    pub mac: String,
    /// Its addresses.
    pub addresses: Vec<Cidr>,
    /// Its gateway.
    pub gateway: Option<IpAddr>,
}

/// What a network driver answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Whose namespace the container lives in.
    pub namespace: Namespace,
    /// In order.
    pub steps: Vec<NetworkStep>,
    /// For `inspect`.
    pub interfaces: Vec<Interface>,
    /// Empty: the host's.
    pub dns_servers: Vec<IpAddr>,
    /// Empty: the host's.
    pub dns_search: Vec<String>,
    /// Committed together with the steps.
    pub state: Vec<StateChange>,
    /// What to tell the person.
    pub diagnostics: Vec<Diagnostic>,
}

/// Addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subnet {
    /// All of them.
    pub cidr: Cidr,
    /// The host's address in it.
    pub gateway: Option<IpAddr>,
}

/// A network as the core keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Network {
    /// 64 hex digits.
    pub id: String,
    /// The name people use.
    pub name: String,
    /// The plugin that drives it.
    pub driver: String,
    /// The containers' addresses; at most one subnet for each family.
    pub subnets: Vec<Subnet>,
    /// No way out.
    pub internal: bool,
    /// The driver's own.
    pub options: Vec<(String, String)>,
}

/// A port that the user published.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Port {
    /// Unspecified (`0.0.0.0`) is every address of the host.
    pub host_address: IpAddr,
    /// The host's port; chosen by then.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
    /// The transport.
    pub protocol: Protocol,
}

/// A container that joins a network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attachment {
    /// The container's id.
    pub container: String,
    /// The network.
    pub network: Network,
    /// The link's name in the container.
    pub if_name: String,
    /// From the core's leases, one for each subnet.
    pub addresses: Vec<Cidr>,
    /// Chosen by the user.
    pub mac: Option<String>,
    /// Published ports.
    pub ports: Vec<Port>,
}

/// What a network driver says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkInfo {
    /// The name `[engine] network` and `--network` use.
    pub name: String,
    /// Its networks have a subnet, and containers leases in it.
    pub needs_subnet: bool,
    /// Ports can be published.
    pub can_publish: bool,
}
