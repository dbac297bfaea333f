//! A bridge on the host, and a pair of links from it into each container.
//!
//! ```text
//! host       wh-<12 of network id>  gateway address     masquerade, isolate
//!              | port
//!            wv<11 of container id>                     only this container's MAC and address leave here
//!              | pair
//! container  eth0  address from the engine's leases     default route by the gateway
//! ```
//!
//! An internal network has neither masquerade nor default route. The MAC follows from the IPv4
//! address (`02:42` and the four bytes), so a neighbour's cache stays right when an address moves
//! to another container.

use std::net::{IpAddr, Ipv4Addr};

use wharf_sdk::network::{
    Action, Address, Attachment, Bridge, DriverInfo, FirewallRule, Forward, HostFacts, InterfaceResult,
    Masquerade, Network, PinSource, Place, Plan, Port, Route, Sysctl, Veth,
};
use wharf_sdk::state::View;
use wharf_sdk::{Diagnostic, Failure, FailureKind, NetworkDriver, Protocol, Request, refuse};

struct BridgeDriver;

wharf_sdk::export_network!(BridgeDriver, "a bridge on the host and a pair of links into each container");

impl NetworkDriver for BridgeDriver {
    fn describe() -> DriverInfo {
        DriverInfo { name: "bridge".into(), needs_subnet: true, can_publish: true }
    }

    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:link", "makes the bridge, and a pair of links for each container"),
            Request::new("ops:address", "gives them addresses and routes"),
            Request::new("ops:sysctl", "forwards packets"),
            Request::new("ops:firewall", "masquerades, and keeps networks apart"),
            Request::new("ops:publish", "publishes ports"),
        ]
    }

    fn plan_network(_: &str, network: &Network, _: &HostFacts, _: &dyn View) -> Result<Plan, Failure> {
        let options = Options::read(network)?;
        let (subnet, gateway) = subnet(network)?;
        let bridge = options.bridge;
        let sysctl = |key: String| Action::Sysctl(Sysctl { place: Place::Host, key, value: "1".into() });
        let address =
            Address { place: Place::Host, link: bridge.clone(), cidr: format!("{gateway}/{}", subnet.1) };
        let plan = Plan::default()
            .step(
                format!("bridge {bridge}"),
                Action::Bridge(Bridge { name: bridge.clone(), mtu: options.mtu }),
            )
            .step(format!("gateway {gateway}"), Action::Address(address))
            .step(
                "let ports on 127.0.0.1 reach containers",
                sysctl(format!("net/ipv4/conf/{bridge}/route_localnet")),
            )
            .step("keep other links out", Action::Rule(FirewallRule::Isolate(bridge.clone())));
        if network.internal {
            return Ok(plan);
        }
        let plan = plan.step("forward packets", sysctl("net/ipv4/ip_forward".into()));
        if !options.masquerade {
            return Ok(plan);
        }
        let masquerade = Masquerade { source: format!("{}/{}", subnet.0, subnet.1), except_link: bridge };
        Ok(plan.step("masquerade", Action::Rule(FirewallRule::Masquerade(masquerade))))
    }

    fn plan_attach(_: &str, attachment: &Attachment, _: &HostFacts, _: &dyn View) -> Result<Plan, Failure> {
        let network = &attachment.network;
        let options = Options::read(network)?;
        let (_, gateway) = subnet(network)?;
        let cidr = attachment.addresses.iter().find(|address| is_ipv4(address)).ok_or_else(|| {
            refuse(format!("no address for a container on network {}", network.name)).kind(FailureKind::Other)
        })?;
        let (address, _) = parse_cidr(cidr)?;
        let mac = attachment.mac.clone().unwrap_or_else(|| mac_of(address));
        let link = Link { name: &attachment.if_name, peer: peer(attachment), mac, address, cidr };
        let gateway = (!network.internal).then_some(gateway);
        let plan = link.join(Plan::default(), &options, gateway);
        if network.internal && !attachment.ports.is_empty() {
            let message = format!("ports are not published: network {} is internal", network.name);
            return Ok(Plan { diagnostics: vec![Diagnostic::warning("PortsDiscarded", message)], ..plan });
        }
        Ok(attachment.ports.iter().fold(plan, |plan, port| publish(plan, port, address, &options.bridge)))
    }
}

/// One container's end of the network.
struct Link<'a> {
    name: &'a str,
    peer: String,
    mac: String,
    address: Ipv4Addr,
    cidr: &'a str,
}

impl Link<'_> {
    fn join(&self, plan: Plan, options: &Options, gateway: Option<Ipv4Addr>) -> Plan {
        let veth = Veth {
            name: self.name.into(),
            peer: self.peer.clone(),
            bridge: options.bridge.clone(),
            mac: Some(self.mac.clone()),
            mtu: options.mtu,
        };
        let address = Address { place: Place::Container, link: self.name.into(), cidr: self.cidr.into() };
        let pin =
            PinSource { link: self.peer.clone(), mac: self.mac.clone(), address: self.address.to_string() };
        let mut plan = plan
            .step(format!("link {} to {}", self.name, options.bridge), Action::Veth(veth))
            .step(format!("address {}", self.cidr), Action::Address(address));
        if let Some(gateway) = gateway {
            let route = Route {
                place: Place::Container,
                dest: "0.0.0.0/0".into(),
                via: Some(gateway.to_string()),
                link: Some(self.name.into()),
            };
            plan = plan.step(format!("default route by {gateway}"), Action::Route(route));
        }
        plan = plan.step("no other sender", Action::Rule(FirewallRule::PinSource(pin)));
        plan.interfaces.push(InterfaceResult {
            name: self.name.into(),
            mac: self.mac.clone(),
            addresses: vec![self.cidr.into()],
            gateway: gateway.map(|gateway| gateway.to_string()),
        });
        plan
    }
}

fn publish(plan: Plan, port: &Port, address: Ipv4Addr, bridge: &str) -> Plan {
    let forward = Forward {
        host_address: port.host_address.clone(),
        host_port: port.host_port,
        container_address: address.to_string(),
        container_port: port.container_port,
        protocol: port.protocol,
        bridge: bridge.into(),
    };
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    let label = format!("publish {} as {}/{protocol}", port.container_port, port.host_port);
    plan.step(label, Action::Forward(forward))
}

/// What the user may say about a network.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    bridge: String,
    mtu: Option<u32>,
    masquerade: bool,
}

impl Options {
    /// Knows `bridge`, `mtu` and `masquerade`, also under docker's names.
    fn read(network: &Network) -> Result<Self, Failure> {
        let id: String = network.id.chars().take(12).collect();
        let mut options = Self { bridge: format!("wh-{id}"), mtu: None, masquerade: true };
        for (key, value) in &network.options {
            match key.as_str() {
                "bridge" | "com.docker.network.bridge.name" => options.bridge = link_name(value)?,
                "mtu" | "com.docker.network.driver.mtu" => options.mtu = Some(mtu(value)?),
                "masquerade" | "com.docker.network.bridge.enable_ip_masquerade" => {
                    options.masquerade = value.parse().map_err(|_| {
                        refuse(format!("network option {key}={value}: expected true or false"))
                    })?;
                }
                _ => {
                    let message = format!("a bridge network has no option `{key}`");
                    return Err(refuse(message).help("known options: bridge, mtu, masquerade"));
                }
            }
        }
        Ok(options)
    }
}

/// What the kernel takes as a link's name, and a path of sysctls can hold.
fn link_name(text: &str) -> Result<String, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fine = (1..=15).contains(&text.len()) && text.bytes().all(plain) && !matches!(text, "." | "..");
    if fine {
        return Ok(text.into());
    }
    Err(refuse(format!("`{text}` is not a bridge's name"))
        .help("use at most 15 letters, digits, `-`, `_` and `.`"))
}

fn mtu(text: &str) -> Result<u32, Failure> {
    let number = text.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
    number.ok_or_else(|| refuse(format!("network option mtu={text}: expected 68 to 65535")))
}

/// The network's address with its prefix length, and the gateway in it.
fn subnet(network: &Network) -> Result<((Ipv4Addr, u8), Ipv4Addr), Failure> {
    let subnet = network.subnets.iter().find(|subnet| is_ipv4(&subnet.cidr)).ok_or_else(|| {
        let what =
            format!("network {} has no IPv4 subnet, and the bridge driver knows IPv4 only", network.name);
        refuse(what).help("write `subnet = \"172.30.0.0/16\"`")
    })?;
    let (address, prefix) = parse_cidr(&subnet.cidr)?;
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    let first = Ipv4Addr::from(address.to_bits() & mask);
    let gateway = match subnet.gateway.as_deref() {
        Some(gateway) => ipv4(gateway)?,
        None => Ipv4Addr::from(first.to_bits().saturating_add(1)),
    };
    if gateway.to_bits() & mask != first.to_bits() {
        return Err(refuse(format!("gateway {gateway} is not in {first}/{prefix}")));
    }
    Ok(((first, prefix), gateway))
}

fn is_ipv4(text: &str) -> bool {
    !text.contains(':')
}

fn parse_cidr(text: &str) -> Result<(Ipv4Addr, u8), Failure> {
    let wrong = || refuse(format!("`{text}` is not an address with a prefix length"));
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(wrong)?;
    Ok((ipv4(address)?, prefix))
}

fn ipv4(text: &str) -> Result<Ipv4Addr, Failure> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => Ok(address),
        Ok(IpAddr::V6(_)) => {
            Err(refuse(format!("{text}: the bridge driver knows IPv4 only")).kind(FailureKind::Unsupported))
        }
        Err(_) => Err(refuse(format!("`{text}` is not an address"))),
    }
}

/// `02:42` and the bytes of the address, as docker does.
fn mac_of(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The host's end: `wv` and the container, and for a second network the number of its link.
fn peer(attachment: &Attachment) -> String {
    let id: String = attachment.container.chars().take(11).collect();
    let number = attachment.if_name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    match number {
        "" | "0" => format!("wv{id}"),
        number => format!("wv{id}{number}").chars().take(15).collect(),
    }
}

#[cfg(test)]
#[path = "bridge/tests.rs"]
mod tests;
