//! Makes the kernel forget UDP exchanges with a port that begins or ends to be published.
//!
//! Where a packet goes is decided once for each exchange and remembered while it lasts. A client
//! that keeps sending would otherwise never reach a port that is published after its first packet,
//! or go on sending to a container that is gone. A TCP client notices, and connects anew.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use wharf_model::network::{NetworkAction, NetworkPlan, Protocol};

use super::nft::{Attributes, find};
use super::socket::{ACK, DUMP, Socket};

const GET: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 1;
const DELETE: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 2;
/// The attribute that holds the sender's view of an exchange, and paths in it.
const ORIGINAL: u16 = 1;
const DEST: [u16; 2] = [1, 2];
const TRANSPORT: [u16; 2] = [2, 1];
const DEST_PORT: [u16; 2] = [2, 3];
const NFNETLINK_HEADER: usize = 4;

/// Forgets the exchanges with the ports that `plan` publishes. A kernel that cannot list them keeps
/// them until they end by themselves, which is no reason to fail.
pub(super) fn forget(plan: &NetworkPlan) {
    let ports: Vec<(Ipv4Addr, u16)> = plan.steps.iter().filter_map(|step| udp_port(&step.action)).collect();
    if !ports.is_empty() {
        let _ends_by_itself = forget_all(&ports);
    }
}

fn udp_port(action: &NetworkAction) -> Option<(Ipv4Addr, u16)> {
    match action {
        NetworkAction::Forward(forward) if forward.protocol == Protocol::Udp => match forward.host_address {
            IpAddr::V4(address) => Some((address, forward.host_port)),
            IpAddr::V6(_) => None,
        },
        _ => None,
    }
}

fn forget_all(ports: &[(Ipv4Addr, u16)]) -> io::Result<()> {
    let mut socket = Socket::netfilter()?;
    let header = [libc::AF_INET as u8, 0, 0, 0];
    for message in socket.request(GET, DUMP, &header)? {
        let exchange = message.body.get(NFNETLINK_HEADER..).unwrap_or_default();
        let Some(original) = find(exchange, &[ORIGINAL]) else { continue };
        if ports.iter().any(|port| goes_to(original, *port)) {
            let mut body = header.to_vec();
            body.extend(Attributes::new().nested_bytes(ORIGINAL, original).as_bytes());
            // It may end at this very moment.
            let _ended = socket.request(DELETE, ACK, &body);
        }
    }
    Ok(())
}

fn goes_to(original: &[u8], (address, port): (Ipv4Addr, u16)) -> bool {
    find(original, &TRANSPORT) == Some(&[libc::IPPROTO_UDP as u8])
        && find(original, &DEST_PORT) == Some(&port.to_be_bytes())
        && (address.is_unspecified() || find(original, &DEST) == Some(&address.octets()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_known_by_transport_port_and_address() {
        let original = |transport: u8, port: u16| {
            let addresses = Attributes::new().bytes(1, &[10, 0, 0, 1]).bytes(2, &[10, 0, 0, 2]);
            let ports = Attributes::new()
                .bytes(1, &[transport])
                .bytes(2, &1000_u16.to_be_bytes())
                .bytes(3, &port.to_be_bytes());
            Attributes::new().nested(1, addresses).nested(2, ports)
        };
        let (here, there) = (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3));
        for (transport, port, address, expected) in [
            (17, 53, Ipv4Addr::UNSPECIFIED, true),
            (17, 53, here, true),
            (17, 53, there, false),
            (17, 54, here, false),
            (6, 53, here, false),
        ] {
            let original = original(transport, port);
            assert_eq!(goes_to(original.as_bytes(), (address, 53)), expected, "{transport} {port} {address}");
        }
    }
}
