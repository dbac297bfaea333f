//! Links, addresses and routes of one network namespace, by rtnetlink.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkExtentMask,
    LinkFlags, LinkHeader, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use wharf_model::network::Cidr;

use super::cidr;
use super::socket::{ACK, CREATE, DUMP, EXCLUSIVE, Socket};

/// An Ethernet address.
pub(super) type Mac = [u8; 6];

/// The namespace of the thread that called [`Links::open`].
pub(super) struct Links {
    socket: Socket,
}

/// A link that exists.
pub(super) struct Link {
    pub(super) index: u32,
    /// `bridge`, `veth`; empty for hardware.
    pub(super) kind: String,
    pub(super) up: bool,
}

/// A pair of links that does not exist yet.
pub(super) struct Veth<'a> {
    /// The end in `namespace`.
    pub(super) name: &'a str,
    pub(super) namespace: BorrowedFd<'a>,
    pub(super) mac: Option<Mac>,
    /// The end here, a port of the bridge with this index.
    pub(super) peer: &'a str,
    pub(super) bridge: u32,
    pub(super) mtu: Option<u32>,
}

impl Links {
    pub(super) fn open() -> io::Result<Self> {
        Socket::route().map(|socket| Self { socket })
    }

    fn ask(&mut self, message: &RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut body = vec![0; message.buffer_len()];
        message.serialize(&mut body);
        let answers = self.socket.request(message.message_type(), flags, &body)?;
        answers
            .into_iter()
            .map(|answer| {
                let mut header = NetlinkHeader::default();
                header.message_type = answer.kind;
                RouteNetlinkMessage::deserialize(&header, &answer.body).map_err(io::Error::other)
            })
            .collect()
    }

    /// The link called `name`.
    pub(super) fn find(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let answers = match self.ask(&RouteNetlinkMessage::GetLink(message), ACK) {
            Err(err) if err.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
            answers => answers?,
        };
        Ok(answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(Link::from(link)),
            _ => None,
        }))
    }

    /// The index of the link called `name`.
    pub(super) fn index(&mut self, name: &str) -> io::Result<u32> {
        let link = self.find(name)?.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        Ok(link.index)
    }

    pub(super) fn set_up(&mut self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.ask(&RouteNetlinkMessage::SetLink(message), ACK).map(drop)
    }

    pub(super) fn set_mtu(&mut self, index: u32, mtu: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.ask(&RouteNetlinkMessage::SetLink(message), ACK).map(drop)
    }

    /// A bridge, up at once. With an address of its own it keeps the same one whichever ports come
    /// and go; without, it takes the lowest of its ports' and neighbours remember a wrong one.
    pub(super) fn add_bridge(&mut self, name: &str, mac: Mac, mtu: Option<u32>) -> io::Result<()> {
        let mut message = new_link(name, mtu);
        message.attributes.push(LinkAttribute::Address(mac.to_vec()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.ask(&RouteNetlinkMessage::NewLink(message), ACK | CREATE | EXCLUSIVE).map(drop)
    }

    /// Both ends in place, by one message. The end here is up; the other can not be before it has
    /// this one.
    pub(super) fn add_veth(&mut self, veth: &Veth<'_>) -> io::Result<()> {
        let mut inside = new_link(veth.name, veth.mtu);
        inside.header = LinkHeader::default();
        inside.attributes.push(LinkAttribute::NetNsFd(veth.namespace.as_raw_fd()));
        if let Some(mac) = veth.mac {
            inside.attributes.push(LinkAttribute::Address(mac.to_vec()));
        }
        let mut outside = new_link(veth.peer, veth.mtu);
        outside.attributes.push(LinkAttribute::Controller(veth.bridge));
        outside.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside))),
        ]));
        self.ask(&RouteNetlinkMessage::NewLink(outside), ACK | CREATE | EXCLUSIVE).map(drop)
    }

    /// Lets a port of a bridge send back by the way it came.
    pub(super) fn set_hairpin(&mut self, name: &str) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)])),
        ]));
        self.ask(&RouteNetlinkMessage::NewLink(message), ACK).map(drop)
    }

    /// Slow: the kernel answers after a grace period.
    pub(super) fn delete(&mut self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.ask(&RouteNetlinkMessage::DelLink(message), ACK).map(drop)
    }

    pub(super) fn add_address(&mut self, link: u32, cidr: Cidr) -> io::Result<()> {
        self.ask(&RouteNetlinkMessage::NewAddress(address(link, cidr)), ACK | CREATE | EXCLUSIVE).map(drop)
    }

    pub(super) fn delete_address(&mut self, link: u32, cidr: Cidr) -> io::Result<()> {
        self.ask(&RouteNetlinkMessage::DelAddress(address(link, cidr)), ACK).map(drop)
    }

    pub(super) fn add_route(&mut self, dest: Cidr, via: Option<IpAddr>, link: Option<u32>) -> io::Result<()> {
        let message = RouteNetlinkMessage::NewRoute(route(dest, via, link));
        self.ask(&message, ACK | CREATE | EXCLUSIVE).map(drop)
    }

    pub(super) fn delete_route(
        &mut self,
        dest: Cidr,
        via: Option<IpAddr>,
        link: Option<u32>,
    ) -> io::Result<()> {
        self.ask(&RouteNetlinkMessage::DelRoute(route(dest, via, link)), ACK).map(drop)
    }

    /// The networks that addresses and routes of this namespace lie in; the default route is none.
    pub(super) fn networks(&mut self) -> io::Result<Vec<Cidr>> {
        let addresses = self.ask(&RouteNetlinkMessage::GetAddress(AddressMessage::default()), DUMP)?;
        let routes = self.ask(&RouteNetlinkMessage::GetRoute(RouteMessage::default()), DUMP)?;
        Ok(addresses.into_iter().chain(routes).filter_map(network).collect())
    }

    /// The addresses of this namespace, each with the name of its link.
    pub(super) fn addresses(&mut self) -> io::Result<Vec<(String, Cidr)>> {
        let links = self.ask(&RouteNetlinkMessage::GetLink(LinkMessage::default()), DUMP)?;
        let names: BTreeMap<u32, String> = links.into_iter().filter_map(named).collect();
        let addresses = self.ask(&RouteNetlinkMessage::GetAddress(AddressMessage::default()), DUMP)?;
        let of_link = |message: RouteNetlinkMessage| {
            let RouteNetlinkMessage::NewAddress(header) = &message else { return None };
            let name = names.get(&header.header.index)?.clone();
            Some((name, network(message)?))
        };
        Ok(addresses.into_iter().filter_map(of_link).collect())
    }

    /// A line for each link, address and route.
    pub(super) fn everything(&mut self) -> io::Result<Vec<String>> {
        let links = self.ask(&RouteNetlinkMessage::GetLink(LinkMessage::default()), DUMP)?;
        let addresses = self.ask(&RouteNetlinkMessage::GetAddress(AddressMessage::default()), DUMP)?;
        let routes = self.ask(&RouteNetlinkMessage::GetRoute(RouteMessage::default()), DUMP)?;
        let mut names = BTreeMap::new();
        let mut lines = Vec::new();
        for link in links {
            let RouteNetlinkMessage::NewLink(message) = link else { continue };
            let name = message.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
            let name = name.unwrap_or_default();
            let link = Link::from(message);
            lines.push(format!("link {name} {} {}", link.kind, if link.up { "up" } else { "down" }));
            names.insert(link.index, name);
        }
        lines.extend(addresses.into_iter().filter_map(|message| address_line(message, &names)));
        lines.extend(routes.into_iter().filter_map(|message| route_line(message, &names)));
        Ok(lines)
    }
}

/// A link's index and name.
fn named(message: RouteNetlinkMessage) -> Option<(u32, String)> {
    let RouteNetlinkMessage::NewLink(link) = message else { return None };
    let index = link.header.index;
    link.attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some((index, name)),
        _ => None,
    })
}

fn address_line(message: RouteNetlinkMessage, names: &BTreeMap<u32, String>) -> Option<String> {
    let RouteNetlinkMessage::NewAddress(header) = &message else { return None };
    let name = names.get(&header.header.index).cloned().unwrap_or_default();
    let cidr = network(message).filter(|cidr| !is_link_local(cidr))?;
    Some(format!("address {cidr} on {name}"))
}

/// Routes that somebody made; those that come with an address or a link are in other tables or the
/// kernel's.
fn route_line(message: RouteNetlinkMessage, names: &BTreeMap<u32, String>) -> Option<String> {
    let RouteNetlinkMessage::NewRoute(header) = &message else { return None };
    if header.header.table != RouteHeader::RT_TABLE_MAIN || header.header.protocol == RouteProtocol::Kernel {
        return None;
    }
    let link = header.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => names.get(index).cloned(),
        _ => None,
    });
    let link = link.unwrap_or_default();
    let dest = network(message).map_or_else(|| "default".to_owned(), |dest| dest.to_string());
    Some(format!("route {dest} by {link}"))
}

fn is_link_local(cidr: &Cidr) -> bool {
    matches!(cidr.address, IpAddr::V6(address) if address.is_unicast_link_local())
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let infos = message.attributes.into_iter().filter_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => Some(infos),
            _ => None,
        });
        let kind = infos.flatten().find_map(|info| match info {
            LinkInfo::Kind(kind) => Some(kind.to_string()),
            _ => None,
        });
        Self {
            index: message.header.index,
            kind: kind.unwrap_or_default(),
            up: message.header.flags.contains(LinkFlags::Up),
        }
    }
}

fn new_link(name: &str, mtu: Option<u32>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn address(link: u32, cidr: Cidr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(cidr.address);
    message.header.prefix_len = cidr.prefix;
    message.header.scope = AddressScope::Universe;
    message.header.index = link;
    message.attributes.push(AddressAttribute::Local(cidr.address));
    message.attributes.push(AddressAttribute::Address(cidr.address));
    if let Some(IpAddr::V4(last)) = (cidr.prefix < 31).then(|| cidr::last(cidr)) {
        message.attributes.push(AddressAttribute::Broadcast(last));
    }
    message
}

fn route(dest: Cidr, via: Option<IpAddr>, link: Option<u32>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(dest.address);
    message.header.destination_prefix_length = dest.prefix;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = if via.is_some() { RouteScope::Universe } else { RouteScope::Link };
    message.header.kind = RouteType::Unicast;
    if dest.prefix > 0 {
        message.attributes.push(RouteAttribute::Destination(cidr::first(dest).into()));
    }
    message.attributes.extend(via.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    message.attributes.extend(link.map(RouteAttribute::Oif));
    message
}

fn network(message: RouteNetlinkMessage) -> Option<Cidr> {
    match message {
        RouteNetlinkMessage::NewAddress(message) => {
            let prefix = message.header.prefix_len;
            message.attributes.into_iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(Cidr { address, prefix }),
                _ => None,
            })
        }
        RouteNetlinkMessage::NewRoute(message) => {
            let prefix = message.header.destination_prefix_length;
            message.attributes.into_iter().find_map(|attribute| match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                    Some(Cidr { address: address.into(), prefix })
                }
                RouteAttribute::Destination(RouteAddress::Inet6(address)) => {
                    Some(Cidr { address: address.into(), prefix })
                }
                _ => None,
            })
        }
        _ => None,
    }
}
