//! A network driver's whole life, in namespaces that nobody else sees.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use wharf_model::network::{Attachment, Cidr, Namespace as Whose, Network as NetworkSpec, NetworkAction};
use wharf_model::network::{NetworkPlan, Place, Port, Protocol, Subnet};
use wharf_model::storage::HostFacts;
use wharf_plugin::Network;
use wharf_runtime::net::{self, Namespace, NetError};
use wharf_store::Store;

use super::picture::{Picture, state};
use super::{Run, is_root};
use crate::author::outcome::{Ended, chain};
use crate::snapshot::DriverState;

type Failed = String;

/// Packets are forwarded from the first network on until the machine is switched off, as with docker.
const STAYS: &str = "net/ipv4/ip_forward";

/// Lives through everything that the core asks of a driver.
pub(crate) fn network(driver: &Arc<dyn Network>, run: &mut Run<'_>) {
    let asked = Asked::new(driver);
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return run.step("plan a network and two containers on it", || Ended::failed(error)),
    };
    run.step("the same token gives the same plan", || asked.again());
    if !is_root() {
        return run.skip("carry it out in a network namespace", "a network namespace takes root");
    }
    let host = match Namespace::create() {
        Ok(host) => host,
        Err(error) => return run.step("a network namespace to try it in", || Ended::failed(chain(&error))),
    };
    if let Err(error) = host.run(|| asked.live(run)) {
        run.step("a network namespace to try it in", || Ended::failed(chain(&error)));
    }
}

/// A driver's answers, before anything is carried out.
struct Asked {
    driver: Arc<dyn Network>,
    network: NetworkSpec,
    plan: NetworkPlan,
    joins: Vec<(Attachment, NetworkPlan)>,
    store: Store,
    _directory: tempfile::TempDir,
}

impl Asked {
    fn new(driver: &Arc<dyn Network>) -> Result<Self, Failed> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let store = Store::open(directory.path()).map_err(|error| chain(&error))?;
        let network = specimen(driver.as_ref());
        let view = DriverState { store: &store, driver: driver.name() };
        let plan =
            driver.plan_network(&network.id, &network, &facts(), &view).map_err(|error| error.to_string())?;
        let mut joins = Vec::new();
        for number in [2, 3] {
            let attachment = attachment(driver.as_ref(), &network, number);
            let join = driver.plan_attach(&attachment.container, &attachment, &facts(), &view);
            joins.push((attachment, join.map_err(|error| error.to_string())?));
        }
        Ok(Self { driver: Arc::clone(driver), network, plan, joins, store, _directory: directory })
    }

    fn view(&self) -> DriverState<'_> {
        DriverState { store: &self.store, driver: self.driver.name() }
    }

    fn again(&self) -> Ended {
        let mut why = Vec::new();
        let plan = self.driver.plan_network(&self.network.id, &self.network, &facts(), &self.view());
        if !plan.is_ok_and(|plan| plan == self.plan) {
            why.push("asked again for the network, it plans something else".to_owned());
        }
        for (attachment, join) in &self.joins {
            let plan = self.driver.plan_attach(&attachment.container, attachment, &facts(), &self.view());
            if !plan.is_ok_and(|plan| plan == *join) {
                why.push(format!("asked again for {}, it plans something else", attachment.container));
            }
        }
        Ended::of(why)
    }

    /// Called in the namespace that stands for the host.
    fn live(&self, run: &mut Run<'_>) {
        let empty = self.picture();
        if self.joins.iter().any(|(_, join)| !join.steps.is_empty()) {
            run.step("make the network", || self.make());
            run.step("make the network again", || self.make_again());
        }
        let made = self.picture();
        let mut inside = Vec::new();
        for number in 0..self.joins.len() {
            let before = self.picture();
            run.step(format!("join container {}", number + 1), || self.join(number, &before, &mut inside));
        }
        for number in (0..self.joins.len()).rev() {
            let namespace = inside.pop();
            run.step(format!("container {} leaves", number + 1), || self.leave(number, namespace));
        }
        run.check("everything of the containers is gone", || {
            // The network's tables come with the first rule that needs them, and go with the network.
            Ended::of(self.picture().without(net::FRAME).since(&made.without(net::FRAME)))
        });
        run.step("remove the network", || ended(net::remove_network(&self.network.id)));
        run.check("nothing is left", || Ended::of(self.picture().since(&empty)));
    }

    fn make(&self) -> Ended {
        let mut why = self.every_failure(&self.plan, None);
        if why.is_empty() {
            why.extend(net::apply(&self.plan, None, &self.network.id).err().map(|error| chain(&error)));
        }
        why.extend(self.remember(&self.plan));
        Ended::of(why)
    }

    /// The core carries a network's plan out again whenever something of it is missing.
    fn make_again(&self) -> Ended {
        let before = self.picture();
        match net::apply(&self.plan, None, &self.network.id) {
            Ok(()) => Ended::of(self.picture().since(&before)),
            Err(error) => Ended::failed(chain(&error)),
        }
    }

    fn join(&self, number: usize, before: &Picture, inside: &mut Vec<Option<Namespace>>) -> Ended {
        let Some((_, plan)) = self.joins.get(number) else { return Ended::Passed };
        let namespace = match plan.namespace {
            Whose::Own => match Namespace::create() {
                Ok(namespace) => Some(namespace),
                Err(error) => return Ended::failed(chain(&error)),
            },
            Whose::Host => None,
        };
        let mut why =
            if plan.steps.is_empty() { Vec::new() } else { self.every_failure(plan, namespace.as_ref()) };
        why.extend(self.picture().since(before));
        if why.is_empty() && !plan.steps.is_empty() {
            let done = net::apply(plan, namespace.as_ref(), &self.network.id);
            why.extend(done.err().map(|error| chain(&error)));
        }
        why.extend(self.remember(plan));
        inside.push(namespace);
        Ended::of(why)
    }

    /// As the core does it: without asking the driver what it once planned. Twice is fine.
    fn leave(&self, number: usize, namespace: Option<Option<Namespace>>) -> Ended {
        let Some((attachment, plan)) = self.joins.get(number) else { return Ended::Passed };
        let mut why = Vec::new();
        for _ in 0..2 {
            why.extend(net::undo_attach(plan, &self.network.id).err().map(|error| chain(&error)));
        }
        drop(namespace);
        why.extend(net::undo_links(plan).err().map(|error| chain(&error)));
        let released = self.driver.release(&attachment.container, attachment, &self.view());
        why.extend(released.err().map(|error| format!("release: {error}")));
        Ended::of(why)
    }

    fn remember(&self, plan: &NetworkPlan) -> Option<Failed> {
        if plan.state.is_empty() {
            return None;
        }
        self.store.driver_state(self.driver.name()).apply(&plan.state).err().map(|error| chain(&error))
    }

    fn every_failure(&self, plan: &NetworkPlan, namespace: Option<&Namespace>) -> Vec<Failed> {
        (0..=plan.steps.len()).flat_map(|steps| self.failure_after(plan, namespace, steps)).collect()
    }

    fn failure_after(&self, plan: &NetworkPlan, namespace: Option<&Namespace>, steps: usize) -> Vec<Failed> {
        let (before, inside) = (self.picture(), inner(namespace));
        let place = match steps.checked_sub(1).and_then(|last| plan.steps.get(last)) {
            Some(step) => format!("a failure after step {steps} of {} ({})", plan.steps.len(), step.label),
            None => format!("a failure before the first of {} steps", plan.steps.len()),
        };
        match net::apply_until(plan, namespace, &self.network.id, steps) {
            Err(NetError::Stopped { .. }) => {}
            Err(error) => return vec![format!("{place} came too late: {}", chain(&error))],
            Ok(()) => return vec![format!("{place} did not happen")],
        }
        let mut changed = self.picture().since(&before);
        changed.extend(
            inner(namespace).since(&inside).into_iter().map(|line| format!("in the container, {line}")),
        );
        if changed.is_empty() {
            return changed;
        }
        let lines = changed.into_iter().map(|line| format!("  {line}"));
        std::iter::once(format!("{place} is not undone:")).chain(lines).collect()
    }

    /// The host's network, the settings that a plan changes, and the driver's state.
    fn picture(&self) -> Picture {
        let mut lines = net::picture().unwrap_or_default();
        lines.extend(state(&self.store, self.driver.name()));
        let plans = std::iter::once(&self.plan).chain(self.joins.iter().map(|(_, join)| join));
        for step in plans.flat_map(|plan| &plan.steps) {
            if let NetworkAction::Sysctl { place: Place::Host, key, .. } = &step.action
                && key != STAYS
                && let Ok(Some(value)) = net::setting(key)
            {
                lines.push(format!("setting {key} = {value}"));
            }
        }
        lines.sort();
        lines.dedup();
        Picture::new(lines)
    }
}

fn inner(namespace: Option<&Namespace>) -> Picture {
    let lines = namespace.and_then(|namespace| namespace.run(net::picture).ok()?.ok());
    Picture::new(lines.unwrap_or_default())
}

fn ended(result: Result<(), NetError>) -> Ended {
    Ended::of(result.err().map(|error| chain(&error)).into_iter().collect())
}

/// The same on every machine.
pub(crate) fn facts() -> HostFacts {
    HostFacts {
        kernel: "6.1.0".into(),
        rootless: false,
        filesystems: vec!["ext4".into(), "overlay".into()],
        root_fstype: "ext4".into(),
        links: vec!["lo".into()],
    }
}

/// A network as a user makes it without an option.
pub(crate) fn specimen(driver: &dyn Network) -> NetworkSpec {
    let wanted = driver.info().needs_subnet;
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 213, 77, last));
    let subnet = Subnet { cidr: Cidr { address: address(0), prefix: 24 }, gateway: Some(address(1)) };
    NetworkSpec {
        id: "5afe".repeat(16),
        name: "tried".into(),
        driver: driver.info().name.clone(),
        subnets: wanted.then_some(subnet).into_iter().collect(),
        internal: false,
        options: vec![],
    }
}

/// A container that joins, with a published port where the driver can do that.
pub(crate) fn attachment(driver: &dyn Network, network: &NetworkSpec, number: u8) -> Attachment {
    let port = Port {
        host_address: Ipv4Addr::UNSPECIFIED.into(),
        host_port: 20_000 + u16::from(number),
        container_port: 80,
        protocol: Protocol::Tcp,
    };
    let address = IpAddr::V4(Ipv4Addr::new(10, 213, 77, number));
    Attachment {
        container: format!("{number:02x}").repeat(32),
        network: network.clone(),
        if_name: "eth0".into(),
        addresses: network
            .subnets
            .iter()
            .map(|subnet| Cidr { address, prefix: subnet.cidr.prefix })
            .collect(),
        mac: None,
        ports: if driver.info().can_publish { vec![port] } else { vec![] },
    }
}
