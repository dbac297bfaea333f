//! The `-p` syntax: `[[address:][host port[-host port]]:]port[-port][/protocol]`.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use wharf_model::network::Protocol;

/// One port to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    /// Unspecified is every address of the host.
    pub host_address: IpAddr,
    /// 0 lets the kernel choose.
    pub host_port: u16,
    /// The container's.
    pub container_port: u16,
    /// The transport.
    pub protocol: Protocol,
}

/// Why a text does not say which port to publish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid port mapping `{text}`: {cause}")]
pub struct PortError {
    text: String,
    cause: String,
}

impl PortSpec {
    /// The ports that one `-p` stands for: one, or one for each of a range.
    ///
    /// # Errors
    /// When `text` is not of the form, a port is not in 1..=65535, or two ranges differ in length.
    pub fn parse(text: &str) -> Result<Vec<Self>, PortError> {
        let failed = |cause: String| PortError { text: text.to_owned(), cause };
        let (rest, protocol) = split_protocol(text).map_err(failed)?;
        let (front, container) = match rest.rsplit_once(':') {
            Some((front, container)) => (Some(front), container),
            None => (None, rest),
        };
        let (address, host) = split_address(front).map_err(failed)?;
        let container = range(container).map_err(failed)?;
        let host = if host.is_empty() { None } else { Some(range(host).map_err(failed)?) };
        pair(host, container).map_err(failed).map(|ports| {
            let spec = |(host_port, container_port)| Self {
                host_address: address,
                host_port,
                container_port,
                protocol,
            };
            ports.into_iter().map(spec).collect()
        })
    }
}

fn split_protocol(text: &str) -> Result<(&str, Protocol), String> {
    let (rest, name) = text.split_once('/').unwrap_or((text, "tcp"));
    Ok((rest, protocol(name)?))
}

fn protocol(name: &str) -> Result<Protocol, String> {
    match name.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        other => Err(format!("`{other}` is not a protocol: expected tcp, udp or sctp")),
    }
}

/// What stands before the last colon: `address:port`, `address:`, `port`, or nothing.
fn split_address(front: Option<&str>) -> Result<(IpAddr, &str), String> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let Some(front) = front else { return Ok((any, "")) };
    let Some((address, port)) = front.rsplit_once(':') else { return Ok((any, front)) };
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    match bare.parse() {
        Ok(address) => Ok((address, port)),
        Err(_) => Err(format!("`{address}` is not an address of this host")),
    }
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if first <= last { Ok((first, last)) } else { Err(format!("the range `{text}` ends before it begins")) }
}

fn number(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(format!("`{text}` is not a port: expected a number from 1 to 65535")),
    }
}

fn pair(host: Option<(u16, u16)>, container: (u16, u16)) -> Result<Vec<(u16, u16)>, String> {
    let inside = container.0..=container.1;
    let Some(host) = host else { return Ok(inside.map(|port| (0, port)).collect()) };
    if host.1 - host.0 != container.1 - container.0 {
        return Err("the two ranges differ in length".to_owned());
    }
    Ok((host.0..=host.1).zip(inside).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_host_then_container() {
        for (text, expected) in [
            ("80", vec!["0.0.0.0:0->80/tcp"]),
            ("8000:80", vec!["0.0.0.0:8000->80/tcp"]),
            ("127.0.0.1:8000:80/udp", vec!["127.0.0.1:8000->80/udp"]),
            ("127.0.0.1::80", vec!["127.0.0.1:0->80/tcp"]),
            ("[::1]:1:2", vec!["::1:1->2/tcp"]),
            ("7-8:17-18", vec!["0.0.0.0:7->17/tcp", "0.0.0.0:8->18/tcp"]),
        ] {
            let ports = PortSpec::parse(text).unwrap();
            let shown: Vec<String> = ports
                .iter()
                .map(|port| {
                    format!(
                        "{}:{}->{}/{}",
                        port.host_address, port.host_port, port.container_port, port.protocol
                    )
                })
                .collect();
            assert_eq!(shown, expected, "for {text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "0:80", "80:", "a:b", "80/icmp", "1-2:3", "2-1:2-1", "70000:1", "host:1:2", "+1:2"] {
            assert!(PortSpec::parse(text).is_err(), "for {text:?}");
        }
    }
}
