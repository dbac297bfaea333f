//! Host ports held by a socket for as long as they are published.
//!
//! The firewall changes the destination of every packet to a published port before a socket sees
//! it, so these sockets never get one. They are what makes a port that is used, by a container or
//! by anybody else, an error instead of a silent change of who answers, and what keeps another
//! program from taking it later.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use wharf_model::network::{Port, Protocol};

/// Ports that nobody else can take while `sockets` are open.
#[derive(Debug)]
pub struct Reserved {
    /// One for each port; whoever keeps the container running keeps them.
    pub sockets: Vec<OwnedFd>,
    /// As asked for, with the host's port chosen where it was 0.
    pub ports: Vec<Port>,
}

/// Why a port cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody has it.
    #[error(
        "failed to bind host port {}/{protocol}: address already in use",
        SocketAddr::new(*address, *port)
    )]
    InUse {
        /// On which address.
        address: IpAddr,
        /// Which.
        port: u16,
        /// Of which transport.
        protocol: Protocol,
    },
    /// Anything else, such as an address that the host does not have.
    #[error("failed to bind host port {}/{protocol}", SocketAddr::new(*address, *port))]
    Other {
        /// On which address.
        address: IpAddr,
        /// Which.
        port: u16,
        /// Of which transport.
        protocol: Protocol,
        /// Why.
        source: io::Error,
    },
}

/// Takes `ports`, all or none, and chooses those that are 0.
///
/// # Errors
/// When one is in use, or its address is not the host's.
pub fn reserve(ports: &[Port]) -> Result<Reserved, PortError> {
    let mut reserved = Reserved { sockets: Vec::new(), ports: Vec::new() };
    for port in ports {
        let (socket, host_port) = hold(port).map_err(|source| explain(port, source))?;
        reserved.sockets.push(socket);
        reserved.ports.push(Port { host_port, ..port.clone() });
    }
    Ok(reserved)
}

fn explain(port: &Port, source: io::Error) -> PortError {
    let &Port { host_address: address, host_port: port, protocol, .. } = port;
    match source.kind() {
        io::ErrorKind::AddrInUse => PortError::InUse { address, port, protocol },
        _ => PortError::Other { address, port, protocol, source },
    }
}

fn hold(port: &Port) -> io::Result<(OwnedFd, u16)> {
    let family = if port.host_address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, protocol) = match port.protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
    if port.host_address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if port.protocol == Protocol::Tcp {
        // Connections of an earlier container that are still closing do not matter.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &SocketAddr::new(port.host_address, port.host_port))?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, 1)?;
    }
    let bound = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok((socket, bound.port()))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, UdpSocket};

    use super::*;

    fn port(host_port: u16, protocol: Protocol) -> Port {
        Port { host_address: Ipv4Addr::LOCALHOST.into(), host_port, container_port: 80, protocol }
    }

    #[test]
    fn a_chosen_port_is_told_and_held() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let reserved = reserve(&[port(0, protocol), port(0, protocol)]).unwrap();
            let chosen = reserved.ports[0].host_port;
            assert_ne!(chosen, 0);
            let again = reserve(&[port(chosen, protocol)]).unwrap_err();
            let text =
                format!("failed to bind host port 127.0.0.1:{chosen}/{protocol}: address already in use");
            assert_eq!(again.to_string(), text);
            drop(reserved);
            reserve(&[port(chosen, protocol)]).unwrap();
        }
    }

    #[test]
    fn ports_of_other_programs_are_in_use() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        for wanted in [
            port(tcp.local_addr().unwrap().port(), Protocol::Tcp),
            port(udp.local_addr().unwrap().port(), Protocol::Udp),
        ] {
            assert!(matches!(reserve(&[wanted]), Err(PortError::InUse { .. })));
        }
    }

    #[test]
    fn an_address_of_nobody_says_so() {
        let mut foreign = port(8000, Protocol::Tcp);
        foreign.host_address = Ipv4Addr::new(192, 0, 2, 1).into();
        let err = reserve(&[foreign]).unwrap_err();
        assert_eq!(err.to_string(), "failed to bind host port 192.0.2.1:8000/tcp");
        assert!(matches!(err, PortError::Other { .. }));
    }
}
