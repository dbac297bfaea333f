//! Addresses that containers hold on networks. Two containers never hold the same one.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rusqlite::{OptionalExtension, Transaction};
use wharf_model::network::Cidr;

use super::Networks;
use crate::RecordError;
use crate::db::Durability;

/// Why a container gets no address.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// None is left.
    #[error("no address of {subnet} is free")]
    Full {
        /// Of which subnet.
        subnet: Cidr,
    },
    /// Another container has it.
    #[error("address {address} is in use by container {container}")]
    Taken {
        /// Which.
        address: IpAddr,
        /// Who has it.
        container: String,
    },
    /// The database failed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Networks<'_> {
    /// The lowest free address of `subnet`, or the one that the container has already.
    ///
    /// # Errors
    /// When none is free.
    pub fn lease(
        &self,
        network: &str,
        container: &str,
        subnet: &Cidr,
        reserved: &[IpAddr],
    ) -> Result<IpAddr, LeaseError> {
        self.database.write(Durability::Relaxed, |change| {
            let leases = leases(change, network)?;
            if let Some((_, address)) = leases.iter().find(|(holder, _)| holder == container) {
                return Ok(*address);
            }
            let held = leases.iter().map(|(_, address)| *address);
            let taken: HashSet<IpAddr> = held.chain(reserved.iter().copied()).collect();
            let free = hosts(subnet).find(|address| !taken.contains(address));
            let address = free.ok_or(LeaseError::Full { subnet: *subnet })?;
            insert(change, network, container, address)?;
            Ok(address)
        })
    }

    /// Leases the address that the container asks for; its other ones on this network are
    /// released.
    ///
    /// # Errors
    /// When another container has it.
    pub fn lease_address(&self, network: &str, container: &str, address: IpAddr) -> Result<(), LeaseError> {
        self.database.write(Durability::Relaxed, |change| {
            let query = "SELECT container FROM leases WHERE network = ? AND address = ?";
            let holder =
                change.query_row(query, [network, &address.to_string()], |row| row.get(0)).optional();
            match holder.map_err(RecordError::from)? {
                Some(holder) if holder != container => {
                    return Err(LeaseError::Taken { address, container: holder });
                }
                _ => {}
            }
            let old = "DELETE FROM leases WHERE network = ? AND container = ?";
            change.execute(old, [network, container]).map_err(RecordError::from)?;
            insert(change, network, container, address)
        })
    }

    /// Who holds which address.
    ///
    /// # Errors
    /// When the database fails.
    pub fn leases(&self, network: &str) -> Result<Vec<(String, IpAddr)>, RecordError> {
        self.database.write(Durability::Relaxed, |change| leases(change, network))
    }

    /// Gives back all addresses of a container.
    ///
    /// # Errors
    /// When the database fails.
    pub fn release(&self, container: &str) -> Result<(), RecordError> {
        self.database.write(Durability::Relaxed, |change| {
            change.execute("DELETE FROM leases WHERE container = ?", [container])?;
            Ok(())
        })
    }
}

fn insert(
    change: &Transaction<'_>,
    network: &str,
    container: &str,
    address: IpAddr,
) -> Result<(), LeaseError> {
    let query = "INSERT INTO leases (network, container, address) VALUES (?, ?, ?)";
    change.execute(query, [network, container, &address.to_string()]).map_err(RecordError::from)?;
    Ok(())
}

fn leases(change: &Transaction<'_>, network: &str) -> Result<Vec<(String, IpAddr)>, RecordError> {
    let mut query = change.prepare_cached("SELECT container, address FROM leases WHERE network = ?")?;
    let rows = query.query_map([network], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let parsed = rows.map(|row| {
        let (container, address) = row?;
        let damaged = |error: std::net::AddrParseError| RecordError::Damaged {
            what: format!("the lease of {address}"),
            source: error.into(),
        };
        Ok((container, address.parse().map_err(damaged)?))
    });
    parsed.collect()
}

/// Addresses for containers: not the network's own, which is all zeros, and not the broadcast
/// address, which is all ones.
fn hosts(subnet: &Cidr) -> Box<dyn Iterator<Item = IpAddr>> {
    match subnet.address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(subnet.prefix)).unwrap_or(0);
            let (first, last) = (u32::from(address) & mask, u32::from(address) | !mask);
            Box::new((first.saturating_add(1)..last).map(|bits| Ipv4Addr::from(bits).into()))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(subnet.prefix)).unwrap_or(0);
            let (first, last) = (u128::from(address) & mask, u128::from(address) | !mask);
            Box::new((first.saturating_add(1)..last).map(|bits| Ipv6Addr::from(bits).into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    #[test]
    fn addresses_are_held_by_one_and_given_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let networks = store.networks();
        let subnet: Cidr = "10.1.0.0/29".parse().unwrap();
        let gateway: [IpAddr; 1] = ["10.1.0.1".parse().unwrap()];
        let lease =
            |container: &str| networks.lease("n", container, &subnet, &gateway).map(|a| a.to_string());

        assert_eq!(lease("a").unwrap(), "10.1.0.2");
        assert_eq!(lease("b").unwrap(), "10.1.0.3");
        assert_eq!(lease("a").unwrap(), "10.1.0.2");
        networks.lease_address("n", "c", "10.1.0.5".parse().unwrap()).unwrap();
        let taken = networks.lease_address("n", "d", "10.1.0.5".parse().unwrap()).unwrap_err();
        assert!(taken.to_string().ends_with("container c"), "{taken}");
        assert_eq!(lease("d").unwrap(), "10.1.0.4");
        assert_eq!(lease("e").unwrap(), "10.1.0.6");
        assert!(matches!(lease("f"), Err(LeaseError::Full { .. })));
        networks.release("a").unwrap();
        assert_eq!(lease("f").unwrap(), "10.1.0.2");
        assert_eq!(networks.leases("n").unwrap().len(), 5);
    }

    #[test]
    fn only_hosts_are_leased() {
        for (subnet, first, count) in [
            ("10.0.0.77/24", Some("10.0.0.1"), 254),
            ("10.0.0.0/32", None, 0),
            ("fd00::/126", Some("fd00::1"), 2),
        ] {
            let subnet: Cidr = subnet.parse().unwrap();
            assert_eq!(hosts(&subnet).next().map(|a| a.to_string()).as_deref(), first);
            assert_eq!(hosts(&subnet).count(), count, "of {subnet}");
        }
    }
}
