//! Network drivers: networks and containers out, plans in.

use wharf_model::network::{
    Attachment, FirewallRule, Forward, Interface, Namespace, Network, NetworkAction, NetworkInfo,
    NetworkPlan, NetworkStep, Place, Port, Subnet, Traffic,
};
use wharf_model::storage::HostFacts;

use super::{Checked, Nonsense, diagnostics, each, name, option, parse, protocol, shown, text, wrong};
use crate::bindings::network_driver as call;
use crate::bindings::network_plan as wit;

/// A network, as its driver sees it.
pub(crate) fn network(network: &Network) -> call::Network {
    call::Network {
        id: network.id.clone(),
        name: network.name.clone(),
        subnets: network.subnets.iter().map(subnet).collect(),
        internal: network.internal,
        options: network.options.clone(),
    }
}

fn subnet(subnet: &Subnet) -> call::Subnet {
    call::Subnet { cidr: subnet.cidr.to_string(), gateway: subnet.gateway.map(|gateway| gateway.to_string()) }
}

/// A container that joins, as the driver sees it.
pub(crate) fn attachment(attachment: &Attachment) -> call::Attachment {
    let port = |port: &Port| call::Port {
        host_address: port.host_address.to_string(),
        host_port: port.host_port,
        container_port: port.container_port,
        protocol: port.protocol.into(),
    };
    call::Attachment {
        container: attachment.container.clone(),
        network: network(&attachment.network),
        if_name: attachment.if_name.clone(),
        addresses: attachment.addresses.iter().map(ToString::to_string).collect(),
        mac: attachment.mac.clone(),
        ports: attachment.ports.iter().map(port).collect(),
    }
}

/// The part of the facts that network drivers get.
pub(crate) fn network_facts(facts: &HostFacts) -> call::HostFacts {
    call::HostFacts { kernel: facts.kernel.clone(), rootless: facts.rootless, links: facts.links.clone() }
}

impl TryFrom<call::DriverInfo> for NetworkInfo {
    type Error = Nonsense;

    fn try_from(raw: call::DriverInfo) -> Checked<Self> {
        Ok(Self {
            name: name("driver", raw.name)?,
            needs_subnet: raw.needs_subnet,
            can_publish: raw.can_publish,
        })
    }
}

impl TryFrom<wit::Plan> for NetworkPlan {
    type Error = Nonsense;

    fn try_from(raw: wit::Plan) -> Checked<Self> {
        Ok(Self {
            namespace: match raw.namespace {
                wit::Namespace::Own => Namespace::Own,
                wit::Namespace::Host => Namespace::Host,
            },
            steps: each("steps", raw.steps, step)?,
            interfaces: each("interfaces", raw.interfaces, interface)?,
            dns_servers: each("name servers", raw.dns_servers, |server| parse("name server", &server))?,
            dns_search: each("search domains", raw.dns_search, domain)?,
            state: each("state changes", raw.state, TryInto::try_into)?,
            diagnostics: diagnostics(raw.diagnostics),
        })
    }
}

fn step(raw: wit::Step) -> Checked<NetworkStep> {
    Ok(NetworkStep { action: action(raw.action)?, label: shown(raw.label) })
}

fn action(raw: wit::Action) -> Checked<NetworkAction> {
    Ok(match raw {
        wit::Action::Bridge(raw) => {
            NetworkAction::Bridge { name: link(raw.name)?, mtu: option(raw.mtu, mtu)? }
        }
        wit::Action::Veth(raw) => NetworkAction::Veth {
            name: link(raw.name)?,
            peer: link(raw.peer)?,
            bridge: link(raw.bridge)?,
            mac: option(raw.mac, mac)?,
            mtu: option(raw.mtu, mtu)?,
        },
        wit::Action::Address(raw) => NetworkAction::Address {
            place: place(raw.place),
            link: link(raw.link)?,
            cidr: parse("address", &raw.cidr)?,
        },
        wit::Action::Route(raw) => NetworkAction::Route {
            place: place(raw.place),
            dest: parse("destination", &raw.dest)?,
            via: option(raw.via, |via| parse("gateway", &via))?,
            link: option(raw.link, link)?,
        },
        wit::Action::Sysctl(raw) => sysctl(raw)?,
        wit::Action::Rule(raw) => NetworkAction::Rule(rule(raw)?),
        wit::Action::Forward(raw) => NetworkAction::Forward(forward(raw)?),
        wit::Action::Extension(raw) => NetworkAction::Extension(raw.try_into()?),
    })
}

fn place(raw: wit::Place) -> Place {
    match raw {
        wit::Place::Host => Place::Host,
        wit::Place::Container => Place::Container,
    }
}

/// What the kernel takes as a link's name (`dev_valid_name`), and nothing that a rule could
/// stumble over.
fn link(raw: String) -> Checked<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=15).contains(&raw.len()) && raw.bytes().all(plain);
    if fits && raw != "." && raw != ".." {
        Ok(raw)
    } else {
        wrong(format!("`{}` is not a link's name", shown(raw)))
    }
}

fn mtu(raw: u32) -> Checked<u32> {
    if (68..=65535).contains(&raw) { Ok(raw) } else { wrong(format!("{raw} is not an MTU")) }
}

/// Six bytes in hex, for one station.
fn mac(raw: String) -> Checked<String> {
    let byte = |part: &str| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None };
    let bytes: Option<Vec<u8>> = raw.split(':').map(byte).collect();
    match bytes.as_deref() {
        Some([first, _, _, _, _, _]) if first % 2 == 0 => Ok(raw.to_ascii_lowercase()),
        Some(_) | None => wrong(format!("`{}` is not a MAC address", shown(raw))),
    }
}

/// Below `net/` only: the rest of `/proc/sys` is not about networks.
fn sysctl(raw: wit::Sysctl) -> Checked<NetworkAction> {
    let plain = |part: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(letter)
    };
    if !raw.key.starts_with("net/") || !raw.key.split('/').all(plain) {
        return wrong(format!("`{}` is not a kernel setting below net/", shown(raw.key)));
    }
    let value = text("value", raw.value)?;
    if value.len() > 256 || value.contains('\n') {
        return wrong(format!("the value of {} is not one short line", raw.key));
    }
    Ok(NetworkAction::Sysctl { place: place(raw.place), key: raw.key, value })
}

fn rule(raw: wit::FirewallRule) -> Checked<FirewallRule> {
    Ok(match raw {
        wit::FirewallRule::Masquerade(raw) => FirewallRule::Masquerade {
            source: parse("source", &raw.source)?,
            except_link: link(raw.except_link)?,
        },
        wit::FirewallRule::Isolate(bridge) => FirewallRule::Isolate(link(bridge)?),
        wit::FirewallRule::Accept(raw) => FirewallRule::Accept(traffic(raw)?),
        wit::FirewallRule::Drop(raw) => FirewallRule::Drop(traffic(raw)?),
        wit::FirewallRule::PinSource(raw) => FirewallRule::PinSource {
            link: link(raw.link)?,
            mac: mac(raw.mac)?,
            address: parse("address", &raw.address)?,
        },
    })
}

fn traffic(raw: wit::Traffic) -> Checked<Traffic> {
    if let Some((first, last)) = raw.dest_ports
        && first > last
    {
        return wrong(format!("{first}-{last} is not a range of ports"));
    }
    Ok(Traffic {
        in_link: option(raw.in_link, link)?,
        out_link: option(raw.out_link, link)?,
        source: option(raw.source, |source| parse("source", &source))?,
        dest: option(raw.dest, |dest| parse("destination", &dest))?,
        protocol: raw.protocol.map(protocol),
        dest_ports: raw.dest_ports,
    })
}

fn forward(raw: wit::Forward) -> Checked<Forward> {
    if raw.host_port == 0 || raw.container_port == 0 {
        return wrong("port 0 can not be published");
    }
    Ok(Forward {
        host_address: parse("host address", &raw.host_address)?,
        host_port: raw.host_port,
        container_address: parse("container address", &raw.container_address)?,
        container_port: raw.container_port,
        protocol: protocol(raw.protocol),
        bridge: link(raw.bridge)?,
    })
}

fn interface(raw: wit::InterfaceResult) -> Checked<Interface> {
    Ok(Interface {
        name: link(raw.name)?,
        mac: mac(raw.mac)?,
        addresses: each("addresses", raw.addresses, |address| parse("address", &address))?,
        gateway: option(raw.gateway, |gateway| parse("gateway", &gateway))?,
    })
}

/// One word of a `resolv.conf` line.
fn domain(raw: String) -> Checked<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=255).contains(&raw.len()) && raw.bytes().all(plain) {
        return Ok(raw);
    }
    wrong(format!("`{}` is not a domain", shown(raw)))
}
