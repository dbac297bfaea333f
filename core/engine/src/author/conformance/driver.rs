//! Objects and networks at the edge of what the core can ask for.

use std::collections::BTreeMap;

use wharf_model::network::{Attachment, Network as NetworkSpec, Port, Protocol, Subnet};
use wharf_model::storage::{Area, Object};
use wharf_plugin::{Network, StateView, Storage};

use super::{LONG, check_twice};
use crate::author::inject::{Run, attachment, facts, specimen};

/// What a driver remembers that has done nothing yet.
#[derive(Debug, Default)]
pub(crate) struct Empty(BTreeMap<String, Vec<u8>>);

impl StateView for Empty {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }

    fn keys(&self, prefix: &str, limit: u32) -> Vec<String> {
        self.0.keys().filter(|key| key.starts_with(prefix)).take(limit as usize).cloned().collect()
    }
}

/// Large, limited and deep ones.
pub(super) fn odd_objects(driver: &dyn Storage, run: &mut Run<'_>) {
    let state = Empty::default();
    let objects = objects();
    check_twice(run, "create", &objects, |object| driver.plan_create("token", object, &state));
    check_twice(run, "attach", &objects, |object| driver.plan_attach("token", object, false, &state));
    check_twice(run, "detach", &objects, |object| driver.plan_detach("token", object, &state));
    check_twice(run, "remove", &objects, |object| driver.plan_remove("token", object, &state));
    check_twice(run, "locate", &objects, |object| driver.locate(object));
    let layer = Object { id: "l".repeat(64), area: Area::Layer, parents: vec![], size_limit: None };
    check_twice(run, "commit", &objects, |object| driver.plan_commit("token", object, &layer, &state));
}

fn objects() -> Vec<(String, Object)> {
    let object = |area, id: &str, parents: usize| Object {
        id: id.to_owned(),
        area,
        parents: (0..parents).map(|number| format!("{number:064x}")).collect(),
        size_limit: None,
    };
    let limited = |limit| Object { size_limit: Some(limit), ..object(Area::Container, "c", 1) };
    [
        ("a volume", object(Area::Volume, "v", 0)),
        ("a layer on nothing", object(Area::Layer, "l", 0)),
        ("a container on nothing", object(Area::Container, "c", 0)),
        ("a container on 500 layers", object(Area::Container, "c", 500)),
        ("a name of 255 bytes", object(Area::Container, &"n".repeat(255), 1)),
        ("a name of one letter that is not ASCII", object(Area::Container, "é", 1)),
        ("a limit of no bytes", limited(0)),
        ("a limit of all bytes", limited(u64::MAX)),
    ]
    .map(|(name, object)| (name.to_owned(), object))
    .to_vec()
}

/// Without addresses, with others than expected, with options that nobody knows.
pub(super) fn odd_networks(driver: &dyn Network, run: &mut Run<'_>) {
    let state = Empty::default();
    let networks = networks(driver);
    check_twice(run, "network", &networks, |network| driver.plan_network("token", network, &facts(), &state));
    let joins: Vec<(String, Attachment)> = networks
        .iter()
        .map(|(name, network)| (name.clone(), attachment(driver, network, 2)))
        .chain(attachments(driver))
        .collect();
    check_twice(run, "join", &joins, |join| driver.plan_attach("token", join, &facts(), &state));
    check_twice(run, "release", &joins, |join| driver.release("token", join, &state));
}

fn networks(driver: &dyn Network) -> Vec<(String, NetworkSpec)> {
    let plain = specimen(driver);
    let subnet = |subnet: &str, gateway: &str| {
        let subnet = subnet.parse().map(|cidr| Subnet { cidr, gateway: gateway.parse().ok() });
        NetworkSpec { subnets: subnet.into_iter().collect(), ..plain.clone() }
    };
    let option = |name: &str, value: &str| NetworkSpec {
        options: vec![(name.to_owned(), value.to_owned())],
        ..plain.clone()
    };
    [
        ("no subnet", NetworkSpec { subnets: vec![], ..plain.clone() }),
        ("a subnet of one address", subnet("10.0.0.1/32", "10.0.0.1")),
        ("a subnet of all addresses", subnet("0.0.0.0/0", "0.0.0.1")),
        ("a gateway outside of the subnet", subnet("10.0.0.0/24", "192.0.2.1")),
        ("an IPv6 subnet", subnet("fd00::/64", "fd00::1")),
        ("an internal network", NetworkSpec { internal: true, ..plain.clone() }),
        ("an option that nobody knows", option("wharf-conformance", "x")),
        ("an empty option", option("", "")),
        ("a long option", option(&"o".repeat(LONG), &"v".repeat(LONG))),
    ]
    .map(|(name, network)| (name.to_owned(), network))
    .to_vec()
}

fn attachments(driver: &dyn Network) -> Vec<(String, Attachment)> {
    let plain = attachment(driver, &specimen(driver), 2);
    let port = |number: u16| Port {
        host_address: std::net::Ipv4Addr::UNSPECIFIED.into(),
        host_port: number,
        container_port: number,
        protocol: Protocol::Udp,
    };
    [
        ("no address", Attachment { addresses: vec![], ..plain.clone() }),
        (
            "an IPv6 address",
            Attachment { addresses: "fd00::2/64".parse().into_iter().collect(), ..plain.clone() },
        ),
        ("a link without a name", Attachment { if_name: String::new(), ..plain.clone() }),
        ("a MAC address that is none", Attachment { mac: Some("\u{0}".into()), ..plain.clone() }),
        ("a thousand ports", Attachment { ports: (1..=1000).map(port).collect(), ..plain }),
    ]
    .map(|(name, join)| (name.to_owned(), join))
    .to_vec()
}
