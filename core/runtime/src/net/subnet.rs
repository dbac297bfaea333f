//! Choosing a network's addresses.

use std::net::{IpAddr, Ipv4Addr};

use wharf_model::network::{Cidr, NetworkAction, NetworkPlan, Place};

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

/// Looks whether another link of the host has addresses that `plan` gives to a link of its own: packets to them
/// would go by one of the two, and for containers on the other one nothing would arrive. A link with a larger
/// network around them takes none of them away.
///
/// # Errors
/// Names the other link; or when the host's links cannot be listed.
pub fn check_addresses(plan: &NetworkPlan) -> Result<(), NetError> {
    let own = plan.steps.iter().filter_map(|step| match &step.action {
        NetworkAction::Address { place: Place::Host, link, cidr } => Some((link, *cidr)),
        _ => None,
    });
    let there = open_links()?.addresses().map_err(NetError::List)?;
    for (link, cidr) in own {
        if let Some((other, theirs)) = rival(link, cidr, &there) {
            return Err(NetError::Taken { link: link.clone(), cidr, other: other.clone(), theirs: *theirs });
        }
    }
    Ok(())
}

fn rival<'t>(link: &str, cidr: Cidr, there: &'t [(String, Cidr)]) -> Option<&'t (String, Cidr)> {
    let takes = |theirs: Cidr| theirs.prefix >= cidr.prefix && cidr::overlap(cidr, theirs);
    there.iter().find(|(other, theirs)| other != link && takes(*theirs))
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
    fn a_link_with_the_same_addresses_is_a_rival() {
        for (there, rival_of_it) in [
            (&[][..], None),
            (&[("wh-1", "172.17.0.1/16")], None),
            (&[("eth0", "172.18.0.1/16"), ("tun0", "172.16.0.0/12")], None),
            (&[("eth0", "10.0.0.1/8"), ("docker0", "172.17.0.1/16")], Some("docker0")),
            (&[("tun0", "172.17.9.1/24")], Some("tun0")),
        ] {
            let there: Vec<(String, Cidr)> =
                there.iter().map(|(name, cidr)| ((*name).to_owned(), cidr.parse().unwrap())).collect();
            let found = rival("wh-1", "172.17.0.1/16".parse().unwrap(), &there);
            assert_eq!(found.map(|(name, _)| name.as_str()), rival_of_it, "{there:?}");
        }
    }

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
