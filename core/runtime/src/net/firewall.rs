//! The firewall's part of a network: two tables that nobody else writes to.
//!
//! ```text
//! table inet wharf-<first 12 digits of the network's id>
//!   map ports      transport . port            : address . port     published on every address of the host
//!   map ports-at   transport . address . port  : address . port     published on one address
//!   raw            drops what comes for 127.0.0.0/8 by another link than lo
//!   prerouting, output     ports-at, then ports for what goes to this host
//!   postrouting    what leaves from 127.0.0.0/8, and what the plan masquerades
//!   forward        jumps to rules, then to isolate
//!   input          jumps to rules
//!   rules          the plan's accept and drop        isolate   the plan's isolated bridges
//! table bridge wharf-<...>                           only when a plan pins sources
//!   set pinned     link                              set pins  link . MAC . address
//!   prerouting     what a pinned link sends is dropped unless Ethernet, IPv4 and ARP senders fit
//! ```
//!
//! A port is one element, so publishing costs the same however many there are. The first rule of
//! `raw` is what keeps a port that is published on 127.0.0.1 from being reached by a neighbour that
//! sends to 127.0.0.1 directly: the destination is changed before the kernel would drop it as
//! martian, and the bridge accepts such addresses (`route_localnet`).
//!
//! A rule that a plan asked for carries a comment that names it, by which it is found again. An
//! `accept` ends only our own table: a chain of somebody else that drops what is forwarded
//! (`iptables -P FORWARD DROP`, as docker sets it) still drops it, because nftables lets a packet
//! pass only when all base chains do.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use wharf_model::network::{
    Cidr, FirewallRule, Forward, NetworkAction, NetworkPlan, NetworkStep, Protocol, Traffic,
};
use wharf_model::{Digest, Hasher};

use super::NetError;
use super::links::Mac;
use super::nft::{self, Batch, BatchError, Family, Field, Hook, Part, Rule, Set, Table, link_name};
use super::socket::Socket;

const PORTS: Set =
    Set { name: "ports", key: &[Field::Protocol, Field::Port], data: &[Field::Ipv4, Field::Port] };
const PORTS_AT: Set = Set {
    name: "ports-at",
    key: &[Field::Protocol, Field::Ipv4, Field::Port],
    data: &[Field::Ipv4, Field::Port],
};
const PINNED: Set = Set { name: "pinned", key: &[Field::Link], data: &[] };
const PINS: Set = Set { name: "pins", key: &[Field::Link, Field::Mac, Field::Ipv4], data: &[] };

const LOOPBACK: Cidr = Cidr { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };
const ETHER_IPV4: u16 = 0x0800;
const ETHER_ARP: u16 = 0x0806;

/// One thing that a plan wants of the firewall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// An element of a table's set or map.
    Element { family: Family, set: &'static str, key: Vec<u8>, data: Vec<u8> },
    /// A rule at the end of a chain.
    Rule { chain: &'static str, rule: Rule, comment: String },
}

/// What a plan's steps want of the firewall, in order.
///
/// `owner` tells rules apart that two plans have in common.
pub(super) fn changes(plan: &NetworkPlan, owner: &str) -> Result<Vec<Change>, NetError> {
    let mut changes = Vec::new();
    for step in &plan.steps {
        match &step.action {
            NetworkAction::Forward(forward) => changes.push(port(forward)?),
            NetworkAction::Rule(rule) => changes.extend(of_rule(rule, owner)?),
            NetworkAction::Bridge { .. }
            | NetworkAction::Veth { .. }
            | NetworkAction::Address { .. }
            | NetworkAction::Route { .. }
            | NetworkAction::Sysctl { .. }
            | NetworkAction::Extension(_) => {}
        }
    }
    Ok(changes)
}

/// What tells the rules of a container's plan from those of another's; a network's own plan is the
/// owner "" and finds its rules again however often it is carried out.
pub(super) fn owner(steps: &[NetworkStep]) -> String {
    let mut hasher = Hasher::new();
    for step in steps {
        hasher.field(format!("{:?}", step.action));
    }
    hasher.finish().short()
}

fn port(forward: &Forward) -> Result<Change, NetError> {
    let (IpAddr::V4(host), IpAddr::V4(container)) = (forward.host_address, forward.container_address) else {
        return Err(NetError::Ipv6 { what: "a published port" });
    };
    let mut key = padded(&[number(forward.protocol)]);
    let set = if host.is_unspecified() { PORTS.name } else { PORTS_AT.name };
    if !host.is_unspecified() {
        key.extend(host.octets());
    }
    key.extend(padded(&forward.host_port.to_be_bytes()));
    let mut data = container.octets().to_vec();
    data.extend(padded(&forward.container_port.to_be_bytes()));
    Ok(Change::Element { family: Family::Inet, set, key, data })
}

fn of_rule(rule: &FirewallRule, owner: &str) -> Result<Vec<Change>, NetError> {
    let named = |chain: &'static str, rules: Vec<Rule>| {
        let change = |rule: Rule| {
            let digest = Digest::of([owner.as_bytes(), b"\0", rule.as_bytes()].concat());
            Change::Rule { chain, comment: format!("wharf {}", digest.short()), rule }
        };
        rules.into_iter().map(change).collect()
    };
    Ok(match rule {
        FirewallRule::Masquerade { source, except_link } => {
            named("postrouting", masquerade(*source, except_link))
        }
        FirewallRule::Isolate(bridge) => named("isolate", isolate(bridge)),
        FirewallRule::Accept(traffic) => {
            named("rules", speak_of(traffic).into_iter().map(Rule::accept).collect())
        }
        FirewallRule::Drop(traffic) => {
            named("rules", speak_of(traffic).into_iter().map(Rule::drop).collect())
        }
        FirewallRule::PinSource { link, mac, address } => pin(link, mac, *address)?,
    })
}

/// The second rule is for containers that reach each other by a published port: the answer must
/// come back through the host, which changed the destination.
fn masquerade(source: Cidr, except_link: &str) -> Vec<Rule> {
    vec![
        Rule::new().source(source).not_out_link(except_link).masquerade(),
        Rule::new().source(source).out_link(except_link).forwarded().masquerade(),
    ]
}

fn isolate(bridge: &str) -> Vec<Rule> {
    vec![
        Rule::new().out_link(bridge).in_link(bridge).accept(),
        Rule::new().out_link(bridge).established().accept(),
        Rule::new().out_link(bridge).forwarded().accept(),
        Rule::new().out_link(bridge).drop(),
    ]
}

/// One rule, or one for each transport when ports are named without one.
fn speak_of(traffic: &Traffic) -> Vec<Rule> {
    let mut rule = Rule::new();
    if let Some(link) = &traffic.in_link {
        rule = rule.in_link(link);
    }
    if let Some(link) = &traffic.out_link {
        rule = rule.out_link(link);
    }
    if let Some(network) = traffic.source {
        rule = rule.source(network);
    }
    if let Some(network) = traffic.dest {
        rule = rule.dest(network);
    }
    match (traffic.protocol, traffic.dest_ports) {
        (None, None) => vec![rule],
        (Some(protocol), None) => vec![rule.transport(number(protocol))],
        (Some(protocol), Some((low, high))) => vec![rule.transport(number(protocol)).dest_ports(low, high)],
        (None, Some((low, high))) => [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .map(|protocol| rule.clone().transport(number(protocol)).dest_ports(low, high))
            .to_vec(),
    }
}

fn pin(link: &str, mac: &str, address: IpAddr) -> Result<Vec<Change>, NetError> {
    let IpAddr::V4(address) = address else {
        return Err(NetError::Ipv6 { what: "pinning a source" });
    };
    let mut key = link_name(link).to_vec();
    let pinned = key.clone();
    key.extend(padded(&parse_mac(mac)?));
    key.extend(address.octets());
    let element = |set, key| Change::Element { family: Family::Bridge, set, key, data: Vec::new() };
    Ok(vec![element(PINNED.name, pinned), element(PINS.name, key)])
}

/// `02:42:ac:11:00:02`.
pub(super) fn parse_mac(text: &str) -> Result<Mac, NetError> {
    let wrong = || NetError::Mac { text: text.to_owned() };
    let mut mac = Mac::default();
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
    }
    if parts.next().is_none() { Ok(mac) } else { Err(wrong()) }
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP as u8,
        Protocol::Udp => libc::IPPROTO_UDP as u8,
        Protocol::Sctp => libc::IPPROTO_SCTP as u8,
    }
}

fn padded(field: &[u8]) -> Vec<u8> {
    let mut bytes = field.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The tables of one network.
pub(super) struct Firewall {
    socket: Socket,
    inet: Table,
    bridge: Table,
}

impl Firewall {
    pub(super) fn open(short_id: &str) -> Result<Self, NetError> {
        let socket = Socket::netfilter().map_err(|source| NetError::Socket { which: "netfilter", source })?;
        let table = |family| Table { family, name: format!("wharf-{short_id}") };
        Ok(Self { socket, inet: table(Family::Inet), bridge: table(Family::Bridge) })
    }

    /// Lets go of the socket without waiting for what the kernel still has to free.
    pub(super) fn close(self) {
        self.socket.close_later();
    }

    /// Whether the network's main table is there.
    pub(super) fn exists(&mut self) -> Result<bool, NetError> {
        nft::has_table(&mut self.socket, &self.inet).map_err(unreadable)
    }

    /// Makes the tables that are missing, then the changes: all of them or none. A port whose element
    /// says otherwise was left behind by a container that is gone (its number is held by a socket
    /// while one lives) and is replaced.
    pub(super) fn apply(&mut self, changes: &[Change]) -> Result<(), NetError> {
        let of = |family| changes.iter().filter(|change| change.family() == family).cloned().collect();
        let (pins, rest): (Vec<Change>, Vec<Change>) = (of(Family::Bridge), of(Family::Inet));
        self.add(Family::Bridge, &pins)?;
        let added = self.add(Family::Inet, &rest);
        if added.is_err() {
            // The error of the second transaction is the one to tell.
            let _also_failed = self.undo(&pins);
        }
        added
    }

    fn table(&self, family: Family) -> Table {
        match family {
            Family::Inet => self.inet.clone(),
            Family::Bridge => self.bridge.clone(),
        }
    }

    fn make_table(&mut self, family: Family) -> Result<(), NetError> {
        let table = self.table(family);
        if nft::has_table(&mut self.socket, &table).map_err(unreadable)? {
            return Ok(());
        }
        let mut batch = Batch::new(&table);
        match family {
            Family::Inet => fill_inet(&mut batch),
            Family::Bridge => fill_bridge(&mut batch),
        }
        match batch.commit(&mut self.socket) {
            // Somebody else was faster.
            Err(err) if err.source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done.map_err(refused),
        }
    }

    fn add(&mut self, family: Family, changes: &[Change]) -> Result<(), NetError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.make_table(family)?;
        let table = self.table(family);
        let missing = self.missing(&table, changes)?;
        let mut batch = Batch::new(&table);
        write(&mut batch, &missing);
        match batch.commit_unless_empty(&mut self.socket) {
            Err(err) if is_conflict(&err.source) => {}
            done => return done.map_err(refused),
        }
        let mut batch = Batch::new(&table);
        for change in &missing {
            if let Change::Element { set, key, .. } = change
                && self.element(&table, set, key)?.is_some()
            {
                batch.delete_element(set, key);
            }
        }
        write(&mut batch, &missing);
        batch.commit_unless_empty(&mut self.socket).map_err(refused)
    }

    /// `changes` without the rules that are there.
    fn missing<'a>(&mut self, table: &Table, changes: &'a [Change]) -> Result<Vec<&'a Change>, NetError> {
        let mut missing = Vec::new();
        for change in changes {
            let there = match change {
                Change::Element { .. } => false,
                Change::Rule { chain, comment, .. } => !self.handles(table, chain, comment)?.is_empty(),
            };
            if !there {
                missing.push(change);
            }
        }
        Ok(missing)
    }

    /// Takes back what `changes` did and nothing else; what is not there any more is no error.
    pub(super) fn undo(&mut self, changes: &[Change]) -> Result<(), NetError> {
        for family in [Family::Inet, Family::Bridge] {
            let table = self.table(family);
            let mut batch = Batch::new(&table);
            for change in changes.iter().rev().filter(|change| change.family() == family) {
                self.take_back(&table, change, &mut batch)?;
            }
            match batch.commit_unless_empty(&mut self.socket) {
                Err(err) if err.source.kind() == io::ErrorKind::NotFound => {}
                done => done.map_err(refused)?,
            }
        }
        Ok(())
    }

    fn take_back(&mut self, table: &Table, change: &Change, batch: &mut Batch<'_>) -> Result<(), NetError> {
        match change {
            Change::Element { set, key, data, .. } => {
                if self.element(table, set, key)?.as_ref() == Some(data) {
                    batch.delete_element(set, key);
                }
            }
            Change::Rule { chain, comment, .. } => {
                for handle in self.handles(table, chain, comment)? {
                    batch.delete_rule(chain, handle);
                }
            }
        }
        Ok(())
    }

    fn element(&mut self, table: &Table, set: &str, key: &[u8]) -> Result<Option<Vec<u8>>, NetError> {
        nft::element(&mut self.socket, table, set, key).map_err(unreadable)
    }

    fn handles(&mut self, table: &Table, chain: &str, comment: &str) -> Result<Vec<u64>, NetError> {
        let rules = nft::rules(&mut self.socket, table, chain).map_err(unreadable)?;
        let ours = rules.into_iter().filter(|rule| rule.comment.as_deref() == Some(comment));
        Ok(ours.map(|rule| rule.handle).collect())
    }

    /// Deletes both tables with all that is in them.
    pub(super) fn remove(&mut self) -> Result<(), NetError> {
        for family in [Family::Inet, Family::Bridge] {
            let table = self.table(family);
            let mut batch = Batch::new(&table);
            batch.delete_table();
            match batch.commit(&mut self.socket) {
                Err(err) if err.source.kind() == io::ErrorKind::NotFound => {}
                done => done.map_err(refused)?,
            }
        }
        Ok(())
    }
}

impl Change {
    fn family(&self) -> Family {
        match self {
            Self::Element { family, .. } => *family,
            Self::Rule { .. } => Family::Inet,
        }
    }
}

fn write(batch: &mut Batch<'_>, changes: &[&Change]) {
    for change in changes {
        match change {
            Change::Element { set, key, data, .. } => batch.add_element(set, key, data),
            Change::Rule { chain, rule, comment } => batch.add_rule(chain, rule.clone(), Some(comment)),
        }
    }
}

fn fill_inet(batch: &mut Batch<'_>) {
    let hook = |kind, number: i32, priority| Some(Hook { kind, number: number.cast_unsigned(), priority });
    batch.add_table();
    batch.add_set(&PORTS);
    batch.add_set(&PORTS_AT);
    batch.add_chain("raw", hook("filter", libc::NF_INET_PRE_ROUTING, libc::NF_IP_PRI_RAW));
    batch.add_chain("prerouting", hook("nat", libc::NF_INET_PRE_ROUTING, libc::NF_IP_PRI_NAT_DST));
    batch.add_chain("output", hook("nat", libc::NF_INET_LOCAL_OUT, libc::NF_IP_PRI_NAT_DST));
    batch.add_chain("postrouting", hook("nat", libc::NF_INET_POST_ROUTING, libc::NF_IP_PRI_NAT_SRC));
    batch.add_chain("forward", hook("filter", libc::NF_INET_FORWARD, libc::NF_IP_PRI_FILTER));
    batch.add_chain("input", hook("filter", libc::NF_INET_LOCAL_IN, libc::NF_IP_PRI_FILTER));
    batch.add_chain("rules", None);
    batch.add_chain("isolate", None);
    batch.add_rule("raw", Rule::new().not_in_link("lo").dest(LOOPBACK).drop(), None);
    for chain in ["prerouting", "output"] {
        let at = [Part::Transport, Part::Dest4, Part::DestPort];
        batch.add_rule(chain, Rule::new().ipv4().forward_by(&at, PORTS_AT.name), None);
        let any = [Part::Transport, Part::DestPort];
        batch.add_rule(chain, Rule::new().ipv4().for_this_host().forward_by(&any, PORTS.name), None);
    }
    batch.add_rule("postrouting", Rule::new().source(LOOPBACK).not_out_link("lo").masquerade(), None);
    batch.add_rule("forward", Rule::new().jump("rules"), None);
    batch.add_rule("forward", Rule::new().jump("isolate"), None);
    batch.add_rule("input", Rule::new().jump("rules"), None);
}

fn fill_bridge(batch: &mut Batch<'_>) {
    let priority = libc::NF_BR_PRI_NAT_DST_BRIDGED;
    let hook = Hook { kind: "filter", number: libc::NF_BR_PRE_ROUTING.cast_unsigned(), priority };
    let sender = [Part::InLink, Part::SourceMac, Part::Source4];
    let frame = [Part::InLink, Part::SourceMac, Part::ArpSource];
    let arp = [Part::InLink, Part::ArpSourceMac, Part::ArpSource];
    batch.add_table();
    batch.add_set(&PINNED);
    batch.add_set(&PINS);
    batch.add_chain("prerouting", Some(hook));
    let rules = [
        Rule::new().not_in_set(&[Part::InLink], PINNED.name).accept(),
        Rule::new().ether_type(ETHER_IPV4).in_set(&sender, PINS.name).accept(),
        Rule::new().ether_type(ETHER_ARP).in_set(&frame, PINS.name).in_set(&arp, PINS.name).accept(),
        Rule::new().drop(),
    ];
    for rule in rules {
        batch.add_rule("prerouting", rule, None);
    }
}

fn is_conflict(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::EEXIST | libc::EBUSY))
}

fn refused(err: BatchError) -> NetError {
    NetError::Firewall { what: err.what, source: err.source }
}

fn unreadable(source: io::Error) -> NetError {
    NetError::Firewall { what: "read", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_are_six_pairs() {
        for (text, expected) in [
            ("02:42:ac:11:00:02", Some([0x02, 0x42, 0xac, 0x11, 0x00, 0x02])),
            ("FF:ff:00:00:00:00", Some([0xff, 0xff, 0, 0, 0, 0])),
            ("02:42:ac:11:00", None),
            ("02:42:ac:11:00:02:03", None),
            ("2:42:ac:11:00:02", None),
            ("02-42-ac-11-00-02", None),
            ("", None),
        ] {
            assert_eq!(parse_mac(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_port_is_one_element() {
        let mut forward = Forward {
            host_address: Ipv4Addr::UNSPECIFIED.into(),
            host_port: 0x1234,
            container_address: Ipv4Addr::new(172, 17, 0, 2).into(),
            container_port: 80,
            protocol: Protocol::Tcp,
            bridge: "wh-0".into(),
        };
        let Change::Element { set, key, data, .. } = port(&forward).unwrap() else { unreachable!() };
        assert_eq!((set, key), ("ports", vec![6, 0, 0, 0, 0x12, 0x34, 0, 0]));
        assert_eq!(data, [172, 17, 0, 2, 0, 80, 0, 0]);
        forward.host_address = Ipv4Addr::LOCALHOST.into();
        let Change::Element { set, key, .. } = port(&forward).unwrap() else { unreachable!() };
        assert_eq!((set, key), ("ports-at", vec![6, 0, 0, 0, 127, 0, 0, 1, 0x12, 0x34, 0, 0]));
        forward.host_address = "::".parse().unwrap();
        assert!(matches!(port(&forward), Err(NetError::Ipv6 { .. })));
    }

    #[test]
    fn rules_of_two_plans_have_two_names() {
        let rule = FirewallRule::Drop(Traffic { dest_ports: Some((1, 2)), ..Traffic::default() });
        let comments = |owner| -> Vec<String> {
            let named = |change| match change {
                Change::Rule { comment, .. } => comment,
                Change::Element { .. } => unreachable!(),
            };
            of_rule(&rule, owner).unwrap().into_iter().map(named).collect()
        };
        assert_eq!(comments("a"), comments("a"));
        assert_ne!(comments("a"), comments("b"));
        assert_eq!(comments("a").len(), 3, "one for each transport");
    }
}
