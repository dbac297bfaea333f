//! Joining a container to its network.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wharf_model::hook::NetworkChange;
use wharf_model::network::{Attachment, Cidr, Namespace as Whose, Network, NetworkPlan, Port, Subnet};
use wharf_plugin::Network as Driver;
use wharf_runtime::net::{self, Namespace};

use super::{Handles, Joined, NetworkError, PortSpec, record_error};
use crate::Engine;
use crate::container::fresh_id;
use crate::event::{self, Asker, Entry, Kind};
use crate::snapshot::DriverState;

/// What is to be undone when a container ends; `network.json` in its run directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    /// What the driver's calls of this attachment were made with.
    #[serde(default)]
    pub(super) token: String,
    pub(super) attachment: Attachment,
    pub(super) plan: NetworkPlan,
}

/// Who joins what.
pub(crate) struct Join<'a> {
    /// The container's id.
    pub(crate) id: &'a str,
    /// Where its journal is kept.
    pub(crate) run_dir: PathBuf,
    /// The network's name.
    pub(crate) network: &'a str,
    /// Ports to publish.
    pub(crate) ports: &'a [PortSpec],
}

impl Engine {
    /// Joins a container to a network; on an error nothing of it is left.
    pub(crate) fn join(&self, join: &Join<'_>) -> Result<(Joined, Handles), NetworkError> {
        let (network, driver) = self.network_of(join.network)?;
        if !join.ports.is_empty() && !driver.info().can_publish {
            return Err(NetworkError::NoPorts(network.name));
        }
        let mut asked = self.asked_network(NetworkChange::Connect, &network, Some(join.id));
        self.ask_aloud(&mut asked)?;
        let reserved = net::reserve(&wanted(join.ports))?;
        let attachment = Attachment {
            container: join.id.to_owned(),
            if_name: "eth0".to_owned(),
            addresses: self.lease(&network, join.id)?.into_iter().collect(),
            mac: None,
            ports: reserved.ports,
            network,
        };
        let joined = self.attach_to(&join.run_dir, &attachment, driver.as_ref());
        let (joined, namespace) = joined.inspect_err(|_| self.leave(join.id, &join.run_dir))?;
        self.tell_hooks(&asked);
        Ok((joined, Handles { namespace: namespace.map(Into::into), ports: reserved.sockets }))
    }

    fn attach_to(
        &self,
        run_dir: &Path,
        attachment: &Attachment,
        driver: &dyn Driver,
    ) -> Result<(Joined, Option<Namespace>), NetworkError> {
        let network = &attachment.network;
        let facts = self.facts();
        let state = DriverState { store: &self.store, driver: driver.name() };
        let token = token(network)?;
        if self.calls_servers(driver.name()) {
            // What a server gave is given back also when nothing more comes of this.
            self.write_journal(run_dir, attachment, &NetworkPlan::default(), &token)?;
        }
        let plan = driver.plan_attach(&token, attachment, &facts, &state)?;
        self.plugins.permit_network(driver.name(), &plan)?;
        let namespace = match plan.namespace {
            Whose::Own => Some(Namespace::create()?),
            Whose::Host => None,
        };
        if !plan.steps.is_empty() {
            let base = driver.plan_network(&network.id, network, &facts, &state)?;
            self.plugins.permit_network(driver.name(), &base)?;
            let asker = Asker::new(driver.name(), driver.digest());
            self.carry_out(run_dir, attachment, (&base, &plan), namespace.as_ref(), &asker, &token)
                .inspect_err(|error| {
                    let failed = Entry::new(Kind::Operation, "failed", &attachment.container).by(&asker);
                    self.note([failed.with("error", error.to_string())]);
                })?;
        }
        self.remember(driver.name(), network, &plan)?;
        Ok((joined(attachment, plan), namespace))
    }

    /// The network's own plan first, when something of it is missing.
    fn carry_out(
        &self,
        run_dir: &Path,
        attachment: &Attachment,
        (base, plan): (&NetworkPlan, &NetworkPlan),
        namespace: Option<&Namespace>,
        driver: &Asker,
        token: &str,
    ) -> Result<(), NetworkError> {
        let network = &attachment.network;
        let kernel = |source| NetworkError::Kernel { network: network.name.clone(), source };
        let lock = self.store.lock(&format!("network-{}", network.id), false);
        let guard = lock.map_err(|source| record_error(&network.name, source))?;
        let fresh = !net::exists(base, &network.id).map_err(kernel)?;
        let steps = |plan: &NetworkPlan, id: &str| {
            let steps = plan.steps.iter();
            steps.map(|step| event::operation(&step.action, id, driver)).collect::<Vec<_>>()
        };
        if fresh {
            net::check_addresses(base).map_err(kernel)?;
            self.note(steps(base, &network.id));
            net::apply(base, None, &network.id).map_err(kernel)?;
        }
        drop(guard);
        self.write_journal(run_dir, attachment, plan, token)?;
        self.note(steps(plan, &attachment.container));
        net::apply(plan, namespace, &network.id).map_err(kernel).inspect_err(|_| {
            if fresh {
                let _ = net::remove_network(&network.id);
            }
        })
    }

    fn write_journal(
        &self,
        run_dir: &Path,
        attachment: &Attachment,
        plan: &NetworkPlan,
        token: &str,
    ) -> Result<(), NetworkError> {
        let (attachment, plan) = (attachment.clone(), plan.clone());
        let network = attachment.network.name.clone();
        let journal = Journal { token: token.to_owned(), attachment, plan };
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| NetworkError::Record {
            network: network.clone(),
            source,
        };
        let text = serde_json::to_vec(&journal).map_err(|error| failed(error.into()))?;
        std::fs::create_dir_all(run_dir).map_err(|error| failed(error.into()))?;
        std::fs::write(super::leave::journal_path(run_dir), text).map_err(|error| failed(error.into()))
    }

    fn calls_servers(&self, driver: &str) -> bool {
        self.plugins.grants(driver).is_ok_and(|grants| !grants.remote.is_empty())
    }

    fn remember(&self, driver: &str, network: &Network, plan: &NetworkPlan) -> Result<(), NetworkError> {
        if plan.state.is_empty() {
            return Ok(());
        }
        let state = self.store.driver_state(driver).apply(&plan.state);
        state.map_err(|source| record_error(&network.name, source))
    }

    fn lease(&self, network: &Network, container: &str) -> Result<Option<Cidr>, NetworkError> {
        let Some(Subnet { cidr: subnet, gateway }) = network.subnets.first() else { return Ok(None) };
        let reserved: Vec<IpAddr> = gateway.iter().copied().collect();
        let failed = |source| NetworkError::Lease { network: network.name.clone(), source };
        let address =
            self.store.networks().lease(&network.id, container, subnet, &reserved).map_err(failed)?;
        Ok(Some(Cidr { address, prefix: subnet.prefix }))
    }
}

/// Each attachment has its own: a server may remember what it answered to one for long.
fn token(network: &Network) -> Result<String, NetworkError> {
    let failed = |source: std::io::Error| NetworkError::Record {
        network: network.name.clone(),
        source: source.into(),
    };
    Ok(fresh_id().map_err(failed)?[..32].to_owned())
}

fn wanted(ports: &[PortSpec]) -> Vec<Port> {
    let port = |spec: &PortSpec| Port {
        host_address: spec.host_address,
        host_port: spec.host_port,
        container_port: spec.container_port,
        protocol: spec.protocol,
    };
    ports.iter().map(port).collect()
}

fn joined(attachment: &Attachment, plan: NetworkPlan) -> Joined {
    Joined {
        network: attachment.network.name.clone(),
        driver: attachment.network.driver.clone(),
        network_id: attachment.network.id.clone(),
        namespace: plan.namespace,
        interfaces: plan.interfaces,
        ports: attachment.ports.clone(),
        dns_servers: plan.dns_servers,
        dns_search: plan.dns_search,
    }
}
