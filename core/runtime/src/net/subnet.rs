//! Choosing a network's addresses.

use std::net::{IpAddr, Ipv4Addr};

use wharf_model::network::Cidr;

use super::{NetError, cidr, open_links};

/// The first private network that neither `taken` nor an address or a route of the host overlaps:
/// 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and on.
///
/// # Errors
/// When the host's networks cannot be listed, or none is free.
pub fn free_subnet(taken: &[Cidr]) -> Result<Cidr, NetError> {
    let mut used = open_links()?.networks().map_err(NetError::List)?;
    used.extend(taken);
    first_free(&used).ok_or(NetError::NoSubnet)
}

/// A route to everywhere does not use the private networks up.
fn first_free(used: &[Cidr]) -> Option<Cidr> {
    let collides = |candidate| used.iter().any(|used| used.prefix > 0 && cidr::overlap(candidate, *used));
    candidates().find(|candidate| !collides(*candidate))
}

fn candidates() -> impl Iterator<Item = Cidr> {
    let network = |a, b, c, prefix| Cidr { address: IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), prefix };
    let large = (17..=31).map(move |second| network(172, second, 0, 16));
    let small = (0..=240).step_by(16).map(move |third| network(192, 168, third, 20));
    large.chain(small)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_that_nothing_overlaps() {
        for (used, expected) in [
            (&[][..], Some("172.17.0.0/16")),
            (&["0.0.0.0/0", "10.0.0.0/8"], Some("172.17.0.0/16")),
            (&["172.17.0.1/16"], Some("172.18.0.0/16")),
            (&["172.18.3.0/24", "172.17.0.5/32"], Some("172.19.0.0/16")),
            (&["172.16.0.0/12"], Some("192.168.0.0/20")),
            (&["172.16.0.0/12", "192.168.1.10/24"], Some("192.168.16.0/20")),
            (&["172.16.0.0/12", "192.168.0.0/16"], None),
        ] {
            let used: Vec<Cidr> = used.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(first_free(&used).map(|free| free.to_string()).as_deref(), expected, "{used:?}");
        }
    }
}
