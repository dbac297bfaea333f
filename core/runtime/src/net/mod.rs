//! Carries out network plans, and takes them back.
//!
//! A [`NetworkPlan`] is a list of steps; [`apply`] is the one place that does them. It first looks
//! for what it cannot do, then makes links, addresses, routes and kernel settings in the plan's
//! order, and changes the firewall last, in one transaction a table. When a step fails, those
//! before it are undone in reverse order. What is there already is fine, so a network's own plan
//! can be carried out again and again.
//!
//! "The host" is the network namespace of the calling thread. Two networks never share a name: the
//! link `wh-<id>` and the tables `wharf-<id>` have the first twelve digits of the network's id.
//!
//! Taking a container off its network ([`undo_attach`]) does not delete its link, because the
//! kernel answers that only after a grace period of some 30 ms. The link goes when the container's
//! namespace does. Should one be left all the same, the next [`apply`] that needs its name deletes
//! it.
//!
//! A plan that publishes a port or masquerades turns on `net/ipv4/ip_forward`, as docker does, and
//! it stays on. Publishing also sets `route_localnet` of the bridge, so that the host reaches the
//! port at 127.0.0.1.
//!
//! IPv6: addresses and routes, masquerading, and accept and drop rules. Ports are published and
//! sources pinned for IPv4 only; a pinned link sends no IPv6 at all.

mod apply;
mod cidr;
mod conntrack;
mod firewall;
mod links;
mod namespace;
mod nft;
mod picture;
mod ports;
mod socket;
mod subnet;
mod sysctl;

use std::io;

use wharf_model::network::{Cidr, NetworkAction, NetworkPlan};

pub use apply::{apply, apply_until, undo_attach, undo_links};
pub use namespace::{Namespace, NamespaceError};
pub use picture::{FRAME, picture, setting};
pub use ports::{PortError, Reserved, reserve};
pub use subnet::{check_addresses, free_subnet};

use firewall::Firewall;
use links::Links;

/// Why a network is not as the plan wants it.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The id does not begin with twelve hex digits.
    #[error("`{0}` is not the id of a network")]
    Id(String),
    /// A namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The kernel gave no socket.
    #[error("cannot open a {which} netlink socket")]
    Socket {
        /// Which protocol.
        which: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A step in a container's namespace, and no container.
    #[error("the step `{label}` needs a container's network namespace")]
    NoContainer {
        /// The step's label.
        label: String,
    },
    /// A bridge was not made.
    #[error("cannot make bridge `{name}`")]
    Bridge {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The name of a bridge belongs to another kind of link.
    #[error("link `{name}` exists and is not a bridge")]
    NotABridge {
        /// The name.
        name: String,
    },
    /// The name of a pair's host end belongs to another kind of link.
    #[error("link `{name}` exists and is not ours")]
    NotOurs {
        /// The name.
        name: String,
    },
    /// A pair of links was not made.
    #[error("cannot join a container to bridge `{bridge}` by link `{peer}`")]
    Veth {
        /// The host's end.
        peer: String,
        /// The bridge.
        bridge: String,
        /// Why.
        source: io::Error,
    },
    /// A link is not there, or could not be changed.
    #[error("cannot use link `{name}`")]
    Link {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A link did not get its address.
    #[error("cannot give link `{link}` the address {cidr}")]
    Address {
        /// The link.
        link: String,
        /// The address.
        cidr: Cidr,
        /// Why.
        source: io::Error,
    },
    /// A route was not made.
    #[error("cannot add a route to {dest}")]
    Route {
        /// To which network.
        dest: Cidr,
        /// Why.
        source: io::Error,
    },
    /// A kernel setting outside of `net/`.
    #[error("`{key}` is not a kernel setting below net/")]
    SysctlName {
        /// The setting.
        key: String,
    },
    /// A kernel setting was not changed.
    #[error("cannot set `{key}` to `{value}`")]
    Sysctl {
        /// The setting.
        key: String,
        /// The value.
        value: String,
        /// Why.
        source: io::Error,
    },
    /// The firewall did not do its part.
    #[error("cannot {what} in the firewall")]
    Firewall {
        /// What was refused.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Not done for IPv6.
    #[error("{what} works with IPv4 addresses only")]
    Ipv6 {
        /// What.
        what: &'static str,
    },
    /// Not six pairs of hex digits.
    #[error("`{text}` is not a MAC address such as 02:42:ac:11:00:02")]
    Mac {
        /// What was written.
        text: String,
    },
    /// An experiment that this core does not know.
    #[error("the network operation `{name}` is not known")]
    Extension {
        /// Its name.
        name: String,
    },
    /// A test of a driver wanted it so.
    #[error("stopped after {steps} steps, as a test asked")]
    Stopped {
        /// How many were done, and undone by now.
        steps: usize,
    },
    /// The host's links and routes could not be listed.
    #[error("cannot list the host's networks")]
    List(#[source] io::Error),
    /// Another link has the same addresses.
    #[error("link `{other}` has {theirs}, which are addresses that link `{link}` is to have ({cidr})")]
    Taken {
        /// The link that is not made.
        link: String,
        /// What it would have.
        cidr: Cidr,
        /// The link that is there.
        other: String,
        /// What it has.
        theirs: Cidr,
    },
    /// No private network is left.
    #[error("every private network is used by the host or by another network")]
    NoSubnet,
}

/// Whether the network that `plan` makes is there: its bridges, up, and its table.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn exists(plan: &NetworkPlan, network_id: &str) -> Result<bool, NetError> {
    let mut links = open_links()?;
    for step in &plan.steps {
        if let NetworkAction::Bridge { name, .. } = &step.action {
            let found = links.find(name).map_err(|source| NetError::Link { name: name.clone(), source })?;
            if !found.is_some_and(|link| link.up) {
                return Ok(false);
            }
        }
    }
    if firewall::changes(plan, "")?.is_empty() {
        return Ok(true);
    }
    Firewall::open(short_id(network_id)?)?.exists()
}

/// Deletes a network's bridge `wh-<id>` and its tables; what is not there is no error.
///
/// # Errors
/// When the kernel refuses. What comes after is still tried.
pub fn remove_network(network_id: &str) -> Result<(), NetError> {
    let short = short_id(network_id)?;
    let tables = Firewall::open(short).and_then(|mut firewall| firewall.remove());
    let link = open_links().and_then(|mut links| apply::delete_link(&mut links, &format!("wh-{short}")));
    tables.and(link)
}

fn open_links() -> Result<Links, NetError> {
    Links::open().map_err(|source| NetError::Socket { which: "route", source })
}

fn short_id(network_id: &str) -> Result<&str, NetError> {
    match network_id.get(..12) {
        Some(short) if short.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(short),
        _ => Err(NetError::Id(network_id.to_owned())),
    }
}

#[cfg(test)]
mod tests;
