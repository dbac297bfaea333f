//! Arithmetic on networks, IPv4 and IPv6 alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wharf_model::network::Cidr;

/// The network's own address: all bits behind the prefix are 0.
pub(super) fn first(cidr: Cidr) -> IpAddr {
    match cidr.address {
        IpAddr::V4(address) => (Ipv4Addr::from(u32::from(address) & mask4(cidr.prefix))).into(),
        IpAddr::V6(address) => (Ipv6Addr::from(u128::from(address) & mask6(cidr.prefix))).into(),
    }
}

/// All bits behind the prefix are 1: IPv4's broadcast address.
pub(super) fn last(cidr: Cidr) -> IpAddr {
    match cidr.address {
        IpAddr::V4(address) => (Ipv4Addr::from(u32::from(address) | !mask4(cidr.prefix))).into(),
        IpAddr::V6(address) => (Ipv6Addr::from(u128::from(address) | !mask6(cidr.prefix))).into(),
    }
}

/// The bits of the prefix, as many bytes as an address has.
pub(super) fn mask(cidr: Cidr) -> Vec<u8> {
    match cidr.address {
        IpAddr::V4(_) => mask4(cidr.prefix).to_be_bytes().to_vec(),
        IpAddr::V6(_) => mask6(cidr.prefix).to_be_bytes().to_vec(),
    }
}

/// An address as it is in a packet.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Whether some address lies in both.
pub(super) fn overlap(one: Cidr, other: Cidr) -> bool {
    one.address.is_ipv4() == other.address.is_ipv4() && first(one) <= last(other) && first(other) <= last(one)
}

fn mask4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

fn mask6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_networks() {
        for (text, low, high) in [
            ("172.18.3.4/16", "172.18.0.0", "172.18.255.255"),
            ("10.0.0.1/32", "10.0.0.1", "10.0.0.1"),
            ("10.0.0.1/0", "0.0.0.0", "255.255.255.255"),
            ("fd00::5/64", "fd00::", "fd00::ffff:ffff:ffff:ffff"),
            ("::1/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let cidr: Cidr = text.parse().unwrap();
            assert_eq!((first(cidr).to_string(), last(cidr).to_string()), (low.into(), high.into()));
        }
    }

    #[test]
    fn overlaps() {
        for (one, other, expected) in [
            ("172.17.0.0/16", "172.17.5.0/24", true),
            ("172.17.5.0/24", "172.17.0.0/16", true),
            ("172.17.0.0/16", "172.18.0.0/16", false),
            ("0.0.0.0/0", "172.18.0.0/16", true),
            ("0.0.0.0/0", "fd00::/8", false),
        ] {
            assert_eq!(overlap(one.parse().unwrap(), other.parse().unwrap()), expected, "{one} {other}");
        }
    }
}
