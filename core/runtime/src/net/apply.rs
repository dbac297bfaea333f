//! The steps of a plan, one after the other, and how each is taken back.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use wharf_model::Digest;
use wharf_model::network::{Cidr, FirewallRule, NetworkAction, NetworkPlan, NetworkStep, Place};

use super::firewall::{self, Change, Firewall};
use super::links::{Links, Mac, Veth};
use super::namespace::Namespace;
use super::{NetError, conntrack, open_links, short_id, sysctl};

/// Carries out `plan`, all of it or nothing.
///
/// Without `container` it is a network's own plan, which may be carried out again. With one it is
/// what joins that container, and the rules that it asks for are the container's own.
///
/// # Errors
/// Names the step that could not be done; what was done before it has been undone by then.
pub fn apply(plan: &NetworkPlan, container: Option<&Namespace>, network_id: &str) -> Result<(), NetError> {
    carry_out(plan, container, network_id, None)
}

/// The same, failing after so many steps: what a failure at that point leaves can then be seen. After
/// the last one, it fails before the firewall is changed.
///
/// # Errors
/// Always; [`NetError::Stopped`] when nothing else went wrong before.
pub fn apply_until(
    plan: &NetworkPlan,
    container: Option<&Namespace>,
    network_id: &str,
    steps: usize,
) -> Result<(), NetError> {
    carry_out(plan, container, network_id, Some(steps))
}

fn carry_out(
    plan: &NetworkPlan,
    container: Option<&Namespace>,
    network_id: &str,
    stop: Option<usize>,
) -> Result<(), NetError> {
    let short_id = short_id(network_id)?;
    check(plan, container.is_some())?;
    let owner = container.map(|_| firewall::owner(&plan.steps)).unwrap_or_default();
    let changes = firewall::changes(plan, &owner)?;
    let mut work = Work { stop, ..Work::open(container)? };
    let done = work
        .carry_out(plan)
        .and_then(|()| if changes.is_empty() { Ok(()) } else { Firewall::open(short_id)?.apply(&changes) });
    match &done {
        Ok(()) => conntrack::forget(plan),
        Err(_) => work.undo(),
    }
    done
}

/// Takes a container off its network: ports, rules, and what its plan added to the host's links
/// and routes. Its own link goes with its namespace. What is not there any more is no error.
///
/// # Errors
/// When the kernel refuses; the rest is undone all the same.
pub fn undo_attach(plan: &NetworkPlan, network_id: &str) -> Result<(), NetError> {
    let changes = firewall::changes(plan, &firewall::owner(&plan.steps))?;
    let rules = undo_changes(&changes, short_id(network_id)?);
    conntrack::forget(plan);
    let mut links = open_links()?;
    for step in plan.steps.iter().rev() {
        match &step.action {
            NetworkAction::Address { place: Place::Host, link, cidr } => {
                if let Ok(Some(link)) = links.find(link) {
                    let _gone = links.delete_address(link.index, *cidr);
                }
            }
            NetworkAction::Route { place: Place::Host, dest, via, link } => {
                let index = link.as_deref().and_then(|name| links.index(name).ok());
                let _gone = links.delete_route(*dest, *via, index);
            }
            _ => {}
        }
    }
    rules
}

/// Deletes what is left of the pairs of links that `plan` made, for when a namespace outlives its
/// container. Waits for some 30 ms for each.
///
/// # Errors
/// When the kernel refuses.
pub fn undo_links(plan: &NetworkPlan) -> Result<(), NetError> {
    let mut links = open_links()?;
    for step in &plan.steps {
        if let NetworkAction::Veth { peer, .. } = &step.action {
            delete_link(&mut links, peer)?;
        }
    }
    Ok(())
}

/// Deletes a link that may be gone, or go meanwhile.
pub(super) fn delete_link(links: &mut Links, name: &str) -> Result<(), NetError> {
    let mut delete = || match links.find(name)? {
        Some(link) => links.delete(link.index),
        None => Ok(()),
    };
    match delete() {
        Err(err) if err.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        done => done.map_err(|source| NetError::Link { name: name.to_owned(), source }),
    }
}

fn undo_changes(changes: &[Change], short_id: &str) -> Result<(), NetError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut firewall = Firewall::open(short_id)?;
    let undone = firewall.undo(changes);
    firewall.close();
    undone
}

/// Finds what could never be done before anything is.
fn check(plan: &NetworkPlan, has_container: bool) -> Result<(), NetError> {
    for step in &plan.steps {
        let inside = match &step.action {
            NetworkAction::Veth { mac, .. } => {
                mac.as_deref().map(firewall::parse_mac).transpose()?;
                true
            }
            NetworkAction::Sysctl { place, key, .. } => {
                sysctl::check(key)?;
                *place == Place::Container
            }
            NetworkAction::Address { place, .. } | NetworkAction::Route { place, .. } => {
                *place == Place::Container
            }
            NetworkAction::Extension(extension) => {
                return Err(NetError::Extension { name: extension.name.clone() });
            }
            NetworkAction::Bridge { .. } | NetworkAction::Rule(_) | NetworkAction::Forward(_) => false,
        };
        if inside && !has_container {
            return Err(NetError::NoContainer { label: step.label.clone() });
        }
    }
    Ok(())
}

/// A plan being carried out.
struct Work<'a> {
    host: Links,
    /// The container's namespace, and its links.
    inside: Option<(&'a Namespace, Links)>,
    done: Vec<Done>,
    /// Fail after so many steps.
    stop: Option<usize>,
}

/// What a step did, so that it can be taken back.
enum Done {
    Bridge { name: String },
    Veth { peer: String },
    Address { place: Place, index: u32, cidr: Cidr },
    Route { place: Place, dest: Cidr, via: Option<IpAddr>, link: Option<u32> },
    Sysctl { place: Place, key: String, before: String },
}

impl<'a> Work<'a> {
    fn open(container: Option<&'a Namespace>) -> Result<Self, NetError> {
        let inside = match container {
            Some(namespace) => Some((namespace, namespace.run(open_links)??)),
            None => None,
        };
        Ok(Self { host: open_links()?, inside, done: Vec::new(), stop: None })
    }

    fn carry_out(&mut self, plan: &NetworkPlan) -> Result<(), NetError> {
        for (number, step) in plan.steps.iter().enumerate() {
            self.stop_after(number)?;
            self.step(step)?;
        }
        self.stop_after(plan.steps.len())?;
        let publishes = plan.steps.iter().any(|step| matches!(step.action, NetworkAction::Forward(_)));
        if publishes { self.let_it_reach_itself() } else { Ok(()) }
    }

    fn stop_after(&self, steps: usize) -> Result<(), NetError> {
        if self.stop.is_some_and(|stop| stop <= steps) { Err(NetError::Stopped { steps }) } else { Ok(()) }
    }

    /// Where bridged packets pass the IP firewall (`br_netfilter`), one that a container sends to
    /// its own published port is already forwarded on the bridge, back to where it came from.
    fn let_it_reach_itself(&mut self) -> Result<(), NetError> {
        for done in &self.done {
            if let Done::Veth { peer } = done {
                let failed = |source| NetError::Link { name: peer.clone(), source };
                self.host.set_hairpin(peer).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &NetworkStep) -> Result<(), NetError> {
        match &step.action {
            NetworkAction::Bridge { name, mtu } => self.bridge(name, *mtu),
            NetworkAction::Veth { name, peer, bridge, mac, mtu } => {
                let mac = mac.as_deref().map(firewall::parse_mac).transpose()?;
                self.veth(name, peer, bridge, mac, *mtu)
            }
            NetworkAction::Address { place, link, cidr } => self.address(*place, link, *cidr),
            NetworkAction::Route { place, dest, via, link } => {
                self.route(*place, *dest, *via, link.as_deref())
            }
            NetworkAction::Sysctl { place, key, value } => self.sysctl(*place, key, value),
            NetworkAction::Forward(forward) => {
                turn_on("net/ipv4/ip_forward")?;
                turn_on(&format!("net/ipv4/conf/{}/route_localnet", forward.bridge))
            }
            // Not so for IPv6, where it changes how the host finds its own routers: a plan that
            // wants it says so with a `Sysctl`.
            NetworkAction::Rule(FirewallRule::Masquerade { source, .. }) if source.address.is_ipv4() => {
                turn_on("net/ipv4/ip_forward")
            }
            NetworkAction::Rule(_) => Ok(()),
            NetworkAction::Extension(extension) => Err(NetError::Extension { name: extension.name.clone() }),
        }
    }

    fn links(&mut self, place: Place) -> Result<&mut Links, NetError> {
        match (place, &mut self.inside) {
            (Place::Host, _) => Ok(&mut self.host),
            (Place::Container, Some((_, links))) => Ok(links),
            (Place::Container, None) => Err(NetError::NoContainer { label: String::new() }),
        }
    }

    fn index(&mut self, place: Place, name: &str) -> Result<u32, NetError> {
        self.links(place)?.index(name).map_err(|source| NetError::Link { name: name.to_owned(), source })
    }

    fn bridge(&mut self, name: &str, mtu: Option<u32>) -> Result<(), NetError> {
        let failed = |source| NetError::Bridge { name: name.to_owned(), source };
        match self.host.add_bridge(name, bridge_mac(name), mtu) {
            Ok(()) => {
                self.done.push(Done::Bridge { name: name.to_owned() });
                Ok(())
            }
            Err(err) if is_there(&err) => {
                let link = self.host.find(name).map_err(failed)?;
                let link = link.filter(|link| link.kind == "bridge");
                let link = link.ok_or_else(|| NetError::NotABridge { name: name.to_owned() })?;
                if let Some(mtu) = mtu {
                    self.host.set_mtu(link.index, mtu).map_err(failed)?;
                }
                if link.up { Ok(()) } else { self.host.set_up(link.index).map_err(failed) }
            }
            Err(err) => Err(failed(err)),
        }
    }

    fn veth(
        &mut self,
        name: &str,
        peer: &str,
        bridge: &str,
        mac: Option<Mac>,
        mtu: Option<u32>,
    ) -> Result<(), NetError> {
        let index = self.index(Place::Host, bridge)?;
        let Some((namespace, _)) = self.inside else {
            return Err(NetError::NoContainer { label: String::new() });
        };
        let veth = Veth { name, namespace: namespace.as_fd(), mac, peer, bridge: index, mtu };
        let made = match self.host.add_veth(&veth) {
            Err(err) if is_there(&err) => {
                self.delete_leftover(peer)?;
                self.host.add_veth(&veth)
            }
            made => made,
        };
        let failed = |source| NetError::Veth { peer: peer.to_owned(), bridge: bridge.to_owned(), source };
        made.map_err(failed)?;
        self.done.push(Done::Veth { peer: peer.to_owned() });
        let inside = self.links(Place::Container)?;
        inside.index(name).and_then(|index| inside.set_up(index)).map_err(failed)
    }

    /// The end of a pair whose container is gone, and whose namespace is not yet.
    fn delete_leftover(&mut self, peer: &str) -> Result<(), NetError> {
        let found =
            self.host.find(peer).map_err(|source| NetError::Link { name: peer.to_owned(), source })?;
        match found {
            Some(link) if link.kind != "veth" => Err(NetError::NotOurs { name: peer.to_owned() }),
            _ => delete_link(&mut self.host, peer),
        }
    }

    fn address(&mut self, place: Place, link: &str, cidr: Cidr) -> Result<(), NetError> {
        let index = self.index(place, link)?;
        match self.links(place)?.add_address(index, cidr) {
            Ok(()) => self.done.push(Done::Address { place, index, cidr }),
            Err(err) if is_there(&err) => {}
            Err(source) => return Err(NetError::Address { link: link.to_owned(), cidr, source }),
        }
        Ok(())
    }

    fn route(
        &mut self,
        place: Place,
        dest: Cidr,
        via: Option<IpAddr>,
        link: Option<&str>,
    ) -> Result<(), NetError> {
        let link = link.map(|name| self.index(place, name)).transpose()?;
        match self.links(place)?.add_route(dest, via, link) {
            Ok(()) => self.done.push(Done::Route { place, dest, via, link }),
            Err(err) if is_there(&err) => {}
            Err(source) => return Err(NetError::Route { dest, source }),
        }
        Ok(())
    }

    fn sysctl(&mut self, place: Place, key: &str, value: &str) -> Result<(), NetError> {
        let before = self.set(place, key, value)?;
        self.done.extend(before.map(|before| Done::Sysctl { place, key: key.to_owned(), before }));
        Ok(())
    }

    /// What it was; `None` when it was that.
    fn set(&self, place: Place, key: &str, value: &str) -> Result<Option<String>, NetError> {
        match (place, &self.inside) {
            (Place::Host, _) => sysctl::set(key, value),
            (Place::Container, Some((namespace, _))) => namespace.run(|| sysctl::set(key, value))?,
            (Place::Container, None) => Err(NetError::NoContainer { label: String::new() }),
        }
    }

    /// Takes back what was done, the last first. The step's own error is what the caller hears, so
    /// one of these is not told.
    fn undo(&mut self) {
        while let Some(done) = self.done.pop() {
            let _told_nobody = self.take_back(done);
        }
    }

    fn take_back(&mut self, done: Done) -> Result<(), NetError> {
        match done {
            Done::Bridge { name } | Done::Veth { peer: name } => delete_link(&mut self.host, &name),
            Done::Address { place, index, cidr } => {
                let _gone = self.links(place)?.delete_address(index, cidr);
                Ok(())
            }
            Done::Route { place, dest, via, link } => {
                let _gone = self.links(place)?.delete_route(dest, via, link);
                Ok(())
            }
            Done::Sysctl { place, key, before } => self.set(place, &key, &before).map(drop),
        }
    }
}

/// Something that every container shares, so it stays on also when the plan fails later.
fn turn_on(key: &str) -> Result<(), NetError> {
    sysctl::set(key, "1").map(drop)
}

fn is_there(err: &io::Error) -> bool {
    err.raw_os_error() == Some(libc::EEXIST)
}

/// Locally administered, and the same whenever a bridge of this name is made.
fn bridge_mac(name: &str) -> Mac {
    let digest = Digest::of(name).hex();
    let mut mac = [0x02, 0x42, 0, 0, 0, 0];
    for (byte, pair) in mac[2..].iter_mut().zip(digest.as_bytes().chunks(2)) {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16).unwrap_or_default();
    }
    mac
}
