//! `network`: the networks that a person makes, beside those that the config has.

use std::net::IpAddr;

use wharf_model::hook::NetworkChange;
use wharf_model::network::{Cidr, Network};
use wharf_runtime::net;

use super::{NetworkError, record_error};
use crate::Engine;
use crate::event::{Entry, Kind};

/// A network to be made.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// Its name.
    pub name: String,
    /// Its driver: a plugin's.
    pub driver: String,
    /// Its addresses; `None` chooses some that nobody uses.
    pub subnet: Option<Cidr>,
    /// The host's address on it; `None` is the first one.
    pub gateway: Option<IpAddr>,
    /// No way out.
    pub internal: bool,
}

/// A network, and who is on it now.
#[derive(Debug, Clone)]
pub struct NetworkSummary {
    /// Its record.
    pub network: Network,
    /// Id, name and address of each running container.
    pub containers: Vec<(String, String, Option<Cidr>)>,
}

impl Engine {
    /// Makes a network. Its bridge is made with its first container.
    ///
    /// # Errors
    /// When the name is not one or is taken, the driver is not there, or the addresses are taken.
    pub fn create_network(&self, options: &NetworkOptions) -> Result<Network, NetworkError> {
        let name = &options.name;
        crate::volume::checked_name(name).map_err(|_| NetworkError::Name(name.clone()))?;
        if self.driver_of(name).is_some() || self.recorded(name)?.is_some() {
            return Err(NetworkError::Exists(name.clone()));
        }
        let driver = self.network_driver(name, &options.driver)?;
        self.check_subnet(options)?;
        let drafted = self.draft_network(name, &options.driver, driver.as_ref(), options.subnet)?;
        let mut network = Network { internal: options.internal || drafted.internal, ..drafted };
        for subnet in &mut network.subnets {
            subnet.gateway = gateway(options, subnet.cidr)?.or(subnet.gateway);
        }
        if self.record_network(&network)? { Ok(network) } else { Err(NetworkError::Exists(name.clone())) }
    }

    /// All networks by name, those of the config first.
    ///
    /// # Errors
    /// When the records can not be read.
    pub fn networks(&self) -> Result<Vec<NetworkSummary>, NetworkError> {
        let config = self.config();
        let plugins = config.plugins.iter().filter(|plugin| plugin.world == wharf_plugin::World::Network);
        let mut names: Vec<String> = plugins.map(|plugin| plugin.name.clone()).collect();
        names.extend(config.networks.iter().map(|network| network.name.clone()));
        let made = self.recorded_networks()?.into_iter().map(|network| network.name);
        names.extend(made);
        names.sort();
        names.dedup();
        names.iter().map(|name| self.network(name)).collect()
    }

    /// The network of that name or id.
    ///
    /// # Errors
    /// When there is none.
    pub fn network(&self, name: &str) -> Result<NetworkSummary, NetworkError> {
        let (network, _) = self.network_of(name)?;
        let running = self.containers(false).map_err(|source| record_error(name, source))?;
        let on_it = running.into_iter().filter(|item| item.container.network == network.name);
        let containers: Vec<_> = on_it
            .map(|item| {
                let interfaces = item.container.joined.iter().flat_map(|joined| &joined.interfaces);
                let address = interfaces.flat_map(|interface| &interface.addresses).next().copied();
                (item.container.id, item.container.name, address)
            })
            .collect();
        Ok(NetworkSummary { network, containers })
    }

    /// Removes a network with its bridge and its firewall rules.
    ///
    /// # Errors
    /// When there is none, the config has it, or somebody is on it.
    pub fn remove_network(&self, name: &str) -> Result<(), NetworkError> {
        if self.driver_of(name).is_some() {
            return Err(NetworkError::Predefined(name.to_owned()));
        }
        let network = self.recorded(name)?.ok_or_else(|| NetworkError::Unknown(name.to_owned()))?;
        if self.driver_of(&network.name).is_some() {
            return Err(NetworkError::Predefined(network.name)); // named by its id
        }
        let lock = self.store.lock(&format!("network-{}", network.id), false);
        let _guard = lock.map_err(|source| record_error(name, source))?;
        let leases =
            self.store.networks().leases(&network.id).map_err(|source| record_error(name, source))?;
        if !leases.is_empty() {
            return Err(NetworkError::InUse { name: network.name, id: network.id });
        }
        let kernel = |source| NetworkError::Kernel { network: network.name.clone(), source };
        let mut asked = self.asked_network(NetworkChange::Remove, &network, None);
        self.ask_aloud(&mut asked)?;
        net::remove_network(&network.id).map_err(kernel)?;
        self.store.networks().remove(&network.id).map_err(|source| record_error(name, source))?;
        self.tell_hooks(&asked);
        self.note([Entry::network("destroy", &network.name, &network.id, &network.driver)]);
        Ok(())
    }

    /// Removes the networks that a person made and no container is meant for. Their names.
    ///
    /// # Errors
    /// When one can not be removed.
    pub fn prune_networks(&self) -> Result<Vec<String>, NetworkError> {
        let containers = self.containers(true).map_err(|source| record_error("*", source))?;
        let mut removed = Vec::new();
        for network in self.recorded_networks()? {
            let used = containers.iter().any(|item| item.container.network == network.name);
            if used || self.driver_of(&network.name).is_some() {
                continue;
            }
            match self.remove_network(&network.name) {
                Err(NetworkError::InUse { .. } | NetworkError::Unknown(_)) => {}
                gone => {
                    gone?;
                    removed.push(network.name);
                }
            }
        }
        self.note([Entry::prune(Kind::Network, 0)]);
        Ok(removed)
    }

    /// A record that can not be understood is no network.
    pub(super) fn recorded_networks(&self) -> Result<Vec<Network>, NetworkError> {
        let records = self.store.networks().list().map_err(|source| record_error("*", source))?;
        Ok(records.iter().filter_map(|json| serde_json::from_str(json).ok()).collect())
    }

    /// Two networks with the same addresses could not both be reached.
    fn check_subnet(&self, options: &NetworkOptions) -> Result<(), NetworkError> {
        let Some(wanted) = options.subnet else { return Ok(()) };
        for network in self.recorded_networks()? {
            if network.subnets.iter().any(|taken| overlap(wanted, taken.cidr)) {
                return Err(NetworkError::Overlap { subnet: wanted, other: network.name });
            }
        }
        Ok(())
    }
}

/// The host's address, which has to be one of the network's.
fn gateway(options: &NetworkOptions, subnet: Cidr) -> Result<Option<IpAddr>, NetworkError> {
    match options.gateway {
        Some(gateway) if !overlap(subnet, alone(gateway)) => Err(NetworkError::Gateway { gateway, subnet }),
        gateway => Ok(gateway),
    }
}

fn alone(address: IpAddr) -> Cidr {
    Cidr { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
}

/// Whether an address is in both.
fn overlap(one: Cidr, other: Cidr) -> bool {
    let shorter = u32::from(one.prefix.min(other.prefix));
    match (one.address, other.address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let mask = u32::MAX.checked_shl(32 - shorter).unwrap_or(0);
            u32::from(one) & mask == u32::from(other) & mask
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let mask = u128::MAX.checked_shl(128 - shorter).unwrap_or(0);
            u128::from(one) & mask == u128::from(other) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_overlap_when_one_holds_the_other() {
        for (one, other, expected) in [
            ("10.0.0.0/8", "10.1.2.0/24", true),
            ("10.1.2.0/24", "10.0.0.0/8", true),
            ("10.1.2.0/24", "10.1.3.0/24", false),
            ("10.1.2.0/24", "10.1.2.7/32", true),
            ("0.0.0.0/0", "192.168.0.0/16", true),
            ("fd00::/8", "fd01::/16", true),
            ("fd00::/8", "10.0.0.0/8", false),
        ] {
            assert_eq!(overlap(one.parse().unwrap(), other.parse().unwrap()), expected, "for {one} {other}");
        }
    }
}
