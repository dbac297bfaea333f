//! Drivers that are right, and drivers that forget something.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wharf_model::network::{
    Attachment, Interface, Namespace, Network as NetworkSpec, NetworkAction, NetworkInfo, NetworkPlan,
    NetworkStep, Place,
};
use wharf_model::storage::{
    Area, HostFacts, LayerFormat, Location, Object, Rooted, StorageAction, StorageInfo, StorageMount,
    StoragePlan, StorageStep,
};
use wharf_model::{Digest, StateChange};
use wharf_plugin::{Network, PluginError, StateView, Storage};

use super::{Run, is_root, network, storage};
use crate::author::outcome::{Checked, Ended};

/// What a driver does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// Removing an object leaves its directory.
    LeavesDirectory,
    /// What it remembers of an object is never forgotten.
    LeavesState,
    /// The same question has another answer each time.
    IsUnsteady,
    /// A container is made of the lowest layer, not of the topmost.
    TurnsParentsAround,
    /// Joining makes a link that leaving does not know.
    LeavesLink,
    /// Joining changes a setting of the host.
    LeavesSetting,
}

struct Faulty {
    fault: Fault,
    storage: StorageInfo,
    network: NetworkInfo,
    asked: AtomicUsize,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            storage: StorageInfo { name: "faulty".into(), layers: LayerFormat::Tree },
            network: NetworkInfo { name: "faulty".into(), needs_subnet: true, can_publish: false },
            asked: AtomicUsize::new(0),
        }
    }
}

fn rooted(area: Area, path: String) -> Rooted {
    Rooted::new(area, path).unwrap()
}

fn tree(object: &Object) -> Rooted {
    rooted(object.area, format!("{}/fs", object.id))
}

fn step(label: &str, action: StorageAction) -> StorageStep {
    StorageStep { action, label: label.into() }
}

fn mkdir(path: Rooted) -> StorageStep {
    step("make a directory", StorageAction::Mkdir { path, mode: 0o755, uid: 0, gid: 0 })
}

type Planned = Result<StoragePlan, PluginError>;

/// Whole trees, as the copy driver keeps them.
impl Storage for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn digest(&self) -> Digest {
        Digest::of("faulty")
    }

    fn info(&self) -> &StorageInfo {
        &self.storage
    }

    fn locate(&self, object: &Object) -> Result<Location, PluginError> {
        Ok(Location { changes: tree(object), image: None })
    }

    fn plan_create(&self, _: &str, object: &Object, _: &dyn StateView) -> Planned {
        let mut plan = StoragePlan::default();
        let parent = match self.fault {
            Fault::TurnsParentsAround => object.parents.last(),
            _ => object.parents.first(),
        };
        plan.steps.push(mkdir(rooted(object.area, object.id.clone())));
        plan.steps.push(match parent {
            None => mkdir(tree(object)),
            Some(parent) => {
                let source = rooted(Area::Layer, format!("{parent}/fs"));
                step("copy the layer below", StorageAction::CloneTree { source, dest: tree(object) })
            }
        });
        match self.fault {
            Fault::LeavesState => plan.state.push(StateChange::Put(format!("made/{}", object.id), vec![1])),
            Fault::IsUnsteady => {
                plan.steps[0].label = format!("question {}", self.asked.fetch_add(1, Ordering::Relaxed));
            }
            _ => {}
        }
        Ok(plan)
    }

    fn plan_commit(&self, _: &str, container: &Object, layer: &Object, _: &dyn StateView) -> Planned {
        let rename = StorageAction::Rename { source: tree(container), dest: tree(layer) };
        let steps = vec![mkdir(rooted(Area::Layer, layer.id.clone())), step("keep the tree", rename)];
        Ok(StoragePlan { steps, ..StoragePlan::default() })
    }

    fn plan_attach(&self, _: &str, object: &Object, read_only: bool, _: &dyn StateView) -> Planned {
        let mounts = vec![StorageMount::Bind { source: tree(object), read_only }];
        Ok(StoragePlan { mounts, ..StoragePlan::default() })
    }

    fn plan_detach(&self, _: &str, _: &Object, _: &dyn StateView) -> Planned {
        Ok(StoragePlan::default())
    }

    fn plan_remove(&self, _: &str, object: &Object, _: &dyn StateView) -> Planned {
        let gone = match self.fault {
            Fault::LeavesDirectory => tree(object),
            _ => rooted(object.area, object.id.clone()),
        };
        let steps = vec![step("remove it", StorageAction::RemoveTree(gone))];
        Ok(StoragePlan { steps, ..StoragePlan::default() })
    }
}

const BRIDGE: &str = "wh-5afe5afe5afe";

fn link(label: &str, action: NetworkAction) -> NetworkStep {
    NetworkStep { action, label: label.into() }
}

/// A bridge, and a link to it.
impl Network for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn digest(&self) -> Digest {
        Digest::of("faulty")
    }

    fn info(&self) -> &NetworkInfo {
        &self.network
    }

    fn plan_network(
        &self,
        _: &str,
        network: &NetworkSpec,
        _: &HostFacts,
        _: &dyn StateView,
    ) -> Result<NetworkPlan, PluginError> {
        let subnet = network.subnets[0];
        let cidr =
            wharf_model::network::Cidr { address: subnet.gateway.unwrap(), prefix: subnet.cidr.prefix };
        let bridge = link("a bridge", NetworkAction::Bridge { name: BRIDGE.into(), mtu: None });
        let address = NetworkAction::Address { place: Place::Host, link: BRIDGE.into(), cidr };
        Ok(NetworkPlan { steps: vec![bridge, link("the gateway", address)], ..NetworkPlan::default() })
    }

    fn plan_attach(
        &self,
        _: &str,
        attachment: &Attachment,
        _: &HostFacts,
        _: &dyn StateView,
    ) -> Result<NetworkPlan, PluginError> {
        let peer = format!("wv{}", &attachment.container[..8]);
        let (name, bridge) = (attachment.if_name.clone(), BRIDGE.to_owned());
        let veth = NetworkAction::Veth { name: name.clone(), peer, bridge, mac: None, mtu: None };
        let cidr = attachment.addresses[0];
        let address = NetworkAction::Address { place: Place::Container, link: name.clone(), cidr };
        let mut plan = NetworkPlan { namespace: Namespace::Own, ..NetworkPlan::default() };
        plan.interfaces.push(Interface { name, mac: String::new(), addresses: vec![cidr], gateway: None });
        match self.fault {
            Fault::LeavesLink => {
                let name = format!("x{}", &attachment.container[..8]);
                plan.steps.push(link("a bridge of its own", NetworkAction::Bridge { name, mtu: None }));
            }
            Fault::LeavesSetting => {
                let (key, value) = ("net/ipv4/conf/all/log_martians".into(), "1".into());
                plan.steps.push(link("a setting", NetworkAction::Sysctl { place: Place::Host, key, value }));
            }
            _ => {}
        }
        plan.steps.extend([link("a pair of links", veth), link("an address", address)]);
        Ok(plan)
    }

    fn release(&self, _: &str, _: &Attachment, _: &dyn StateView) -> Result<(), PluginError> {
        Ok(())
    }
}

fn failures(checks: Vec<Checked>) -> Vec<String> {
    let failed = checks.into_iter().filter_map(|check| match check.result {
        Ended::Failed { why } => Some(format!("{}: {}", check.name, why.join("; "))),
        _ => None,
    });
    failed.collect()
}

fn stored(fault: Fault) -> Vec<String> {
    let driver: Arc<dyn Storage> = Arc::new(Faulty::new(fault));
    let mut checks = Vec::new();
    storage(&driver, &mut Run::new(&mut checks));
    assert!(checks.len() > 20, "{checks:?}");
    failures(checks)
}

fn joined(fault: Fault) -> Vec<String> {
    let driver: Arc<dyn Network> = Arc::new(Faulty::new(fault));
    let mut checks = Vec::new();
    network(&driver, &mut Run::new(&mut checks));
    failures(checks)
}

#[test]
fn privileged_a_storage_driver_that_is_right_passes() {
    if !is_root() {
        return println!("skipped: directories of another owner take root");
    }
    assert_eq!(stored(Fault::Nothing), [""; 0]);
}

#[test]
fn privileged_what_a_storage_driver_forgets_is_found() {
    if !is_root() {
        return println!("skipped: directories of another owner take root");
    }
    for (fault, words) in [
        (Fault::LeavesDirectory, "nothing is left: left: container/cccc"),
        (Fault::LeavesState, "left: state made/"),
        (Fault::IsUnsteady, "asked again with the same token, it plans something else"),
        (Fault::TurnsParentsAround, "its upper layers hide lower ones: `both` is Some(\"lower\")"),
    ] {
        let found = stored(fault).join("\n");
        assert!(found.contains(words), "{fault:?}: {found}");
    }
}

#[test]
fn privileged_a_network_driver_that_is_right_passes() {
    if !is_root() {
        return println!("skipped: network namespaces take root");
    }
    assert_eq!(joined(Fault::Nothing), [""; 0]);
}

#[test]
fn privileged_what_a_network_driver_forgets_is_found() {
    if !is_root() {
        return println!("skipped: network namespaces take root");
    }
    for (fault, words) in [
        (Fault::LeavesLink, "everything of the containers is gone: left: link x02020202 bridge"),
        (
            Fault::LeavesSetting,
            "everything of the containers is gone: left: setting net/ipv4/conf/all/log_martians = 1",
        ),
    ] {
        let found = joined(fault).join("\n");
        assert!(found.contains(words), "{fault:?}: {found}");
    }
}
