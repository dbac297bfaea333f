//! The records of networks, made when a network is first used.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use wharf_model::hook::{NetworkChange, NetworkOp};
use wharf_model::network::{Cidr, Network, Subnet};
use wharf_plugin::Network as Driver;
use wharf_runtime::net;

use super::{NetworkError, record_error};
use crate::Engine;
use crate::container::{Container, CreateError};
use crate::event::Entry;
use crate::hook::AskedNetwork;

impl Engine {
    /// Whether a container could be joined to the network it names.
    pub(crate) fn check_network(&self, container: &Container) -> Result<(), CreateError> {
        let name = &container.network;
        let configured = self.driver_of(name).is_some();
        if !configured && self.recorded(name).ok().flatten().is_none() {
            return Err(CreateError::Network(name.clone()));
        }
        Ok(())
    }

    /// The network of that name, with its driver.
    pub(super) fn network_of(&self, name: &str) -> Result<(Network, Arc<dyn Driver>), NetworkError> {
        let recorded = self.recorded(name)?;
        let driver_name = match (&recorded, self.driver_of(name)) {
            (Some(network), _) => network.driver.clone(),
            (None, Some(driver)) => driver,
            (None, None) => return Err(NetworkError::Unknown(name.to_owned())),
        };
        let driver = self.network_driver(name, &driver_name)?;
        let network = match recorded {
            Some(network) => network,
            None => self.first_use(name, &driver_name, driver.as_ref())?,
        };
        Ok((network, driver))
    }

    /// Which driver a network has that has no record yet.
    pub(super) fn driver_of(&self, name: &str) -> Option<String> {
        let config = self.config();
        let section = config.networks.iter().find(|network| network.name == name);
        let plugin = || {
            config
                .plugins
                .iter()
                .find(|plugin| plugin.name == name && plugin.world == wharf_plugin::World::Network)
        };
        section.map(|network| network.driver.clone()).or_else(|| plugin().map(|plugin| plugin.name.clone()))
    }

    pub(super) fn network_driver(
        &self,
        network: &str,
        driver: &str,
    ) -> Result<Arc<dyn Driver>, NetworkError> {
        let missing = || NetworkError::NoDriver { network: network.to_owned(), driver: driver.to_owned() };
        Ok(self.plugins.network(driver, &|| self.facts()).ok_or_else(missing)??)
    }

    pub(super) fn recorded(&self, name: &str) -> Result<Option<Network>, NetworkError> {
        let Some(json) = self.store.networks().get(name).map_err(|source| record_error(name, source))? else {
            return Ok(None);
        };
        let damaged = |error: serde_json::Error| NetworkError::Record {
            network: name.to_owned(),
            source: error.into(),
        };
        serde_json::from_str(&json).map(Some).map_err(damaged)
    }

    /// Two commands may come here at once; the record that is inserted first holds for both.
    fn first_use(&self, name: &str, driver: &str, plugin: &dyn Driver) -> Result<Network, NetworkError> {
        let network = self.draft_network(name, driver, plugin, None)?;
        if self.record_network(&network)? {
            return Ok(network);
        }
        self.recorded(name)?.ok_or_else(|| NetworkError::Unknown(name.to_owned()))
    }

    /// Hooks are asked first. False when there is one of that name by now.
    pub(super) fn record_network(&self, network: &Network) -> Result<bool, NetworkError> {
        let name = &network.name;
        let mut asked = self.asked_network(NetworkChange::Create, network, None);
        self.ask_aloud(&mut asked)?;
        let json = serde_json::to_string(network)
            .map_err(|error| NetworkError::Record { network: name.clone(), source: error.into() })?;
        let inserted = self.store.networks().insert(&network.id, name, &json);
        let inserted = inserted.map_err(|source| record_error(name, source))?;
        if inserted {
            self.note([Entry::network("create", name, &network.id, &network.driver)]);
            self.tell_hooks(&asked);
        }
        Ok(inserted)
    }

    pub(super) fn asked_network(
        &self,
        action: NetworkChange,
        network: &Network,
        container: Option<&str>,
    ) -> AskedNetwork {
        AskedNetwork(NetworkOp {
            action,
            name: network.name.clone(),
            driver: network.driver.clone(),
            container: container.map(str::to_owned),
            options: network.options.clone(),
        })
    }

    pub(super) fn draft_network(
        &self,
        name: &str,
        driver: &str,
        plugin: &dyn Driver,
        subnet: Option<Cidr>,
    ) -> Result<Network, NetworkError> {
        let section = self.config().networks.iter().find(|network| network.name == name);
        let id = crate::container::fresh_id()
            .map_err(|error| NetworkError::Record { network: name.to_owned(), source: error.into() })?;
        let given = subnet.or_else(|| section.and_then(|network| network.subnet));
        let subnet = match (given, plugin.info().needs_subnet) {
            (None, true) => Some(self.choose_subnet(name)?),
            (given, _) => given,
        };
        let gateway = section.and_then(|network| network.gateway).or_else(|| subnet.and_then(first_address));
        Ok(Network {
            id,
            name: name.to_owned(),
            driver: driver.to_owned(),
            subnets: subnet.map(|cidr| Subnet { cidr, gateway }).into_iter().collect(),
            internal: section.is_some_and(|network| network.internal),
            options: section.map(|network| network.options.clone()).unwrap_or_default(),
        })
    }

    fn choose_subnet(&self, name: &str) -> Result<Cidr, NetworkError> {
        let records = self.store.networks().list().map_err(|source| record_error(name, source))?;
        let networks = records.iter().filter_map(|json| serde_json::from_str::<Network>(json).ok());
        let taken: Vec<Cidr> =
            networks.flat_map(|network| network.subnets).map(|subnet| subnet.cidr).collect();
        net::free_subnet(&taken).map_err(|source| NetworkError::Kernel { network: name.to_owned(), source })
    }
}

/// The host's address in a subnet: the first one.
fn first_address(subnet: Cidr) -> Option<IpAddr> {
    match subnet.address {
        IpAddr::V4(address) => {
            let bits = u32::from(address) & u32::MAX.checked_shl(32 - u32::from(subnet.prefix)).unwrap_or(0);
            Some(IpAddr::V4(Ipv4Addr::from(bits + 1)))
        }
        IpAddr::V6(_) => None,
    }
}
