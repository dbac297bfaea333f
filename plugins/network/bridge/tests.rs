use super::*;
use wharf_sdk::network::Subnet;
use wharf_sdk::testing::Memory;

fn network(internal: bool, options: &[(&str, &str)]) -> Network {
    Network {
        id: "0123456789abcdef".repeat(4),
        name: "bridge".into(),
        subnets: vec![Subnet { cidr: "172.18.0.0/16".into(), gateway: None }],
        internal,
        options: options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
    }
}

fn attachment(network: Network, ports: Vec<Port>) -> Attachment {
    Attachment {
        container: "fedcba9876543210".repeat(4),
        network,
        if_name: "eth0".into(),
        addresses: vec!["fd00::2/64".into(), "172.18.0.2/16".into()],
        mac: None,
        ports,
    }
}

fn port() -> Port {
    Port { host_address: "0.0.0.0".into(), host_port: 8080, container_port: 80, protocol: Protocol::Tcp }
}

fn facts() -> HostFacts {
    HostFacts { kernel: "6.1".into(), rootless: false, links: vec![] }
}

fn actions(plan: &Plan) -> Vec<&Action> {
    plan.steps.iter().map(|step| &step.action).collect()
}

#[test]
fn a_network_is_a_bridge_with_the_gateways_address() {
    let plan = BridgeDriver::plan_network("", &network(false, &[]), &facts(), &Memory::default()).unwrap();
    let bridge = "wh-0123456789ab".to_owned();
    let masquerade = Masquerade { source: "172.18.0.0/16".into(), except_link: bridge.clone() };
    let address = Address { place: Place::Host, link: bridge.clone(), cidr: "172.18.0.1/16".into() };
    let found = actions(&plan);
    assert_eq!(found[0], &Action::Bridge(Bridge { name: bridge, mtu: None }));
    assert_eq!(found[1], &Action::Address(address));
    assert_eq!(found.last(), Some(&&Action::Rule(FirewallRule::Masquerade(masquerade))));
    assert_eq!(found.len(), 6);
}

#[test]
fn an_internal_network_has_no_way_out() {
    let inside = network(true, &[]);
    let plan = BridgeDriver::plan_network("", &inside, &facts(), &Memory::default()).unwrap();
    assert_eq!(plan.steps.len(), 4);
    let joined =
        BridgeDriver::plan_attach("", &attachment(inside, vec![port()]), &facts(), &Memory::default());
    let joined = joined.unwrap();
    assert!(!actions(&joined).iter().any(|action| matches!(action, Action::Route(_) | Action::Forward(_))));
    assert_eq!(joined.diagnostics[0].code, "PortsDiscarded");
    assert_eq!(joined.interfaces[0].gateway, None);
}

#[test]
fn a_container_gets_a_link_an_address_and_its_ports() {
    let joins = attachment(network(false, &[("bridge", "br0"), ("mtu", "1400")]), vec![port()]);
    let plan = BridgeDriver::plan_attach("", &joins, &facts(), &Memory::default()).unwrap();
    let mac = "02:42:ac:12:00:02".to_owned();
    let veth = Veth {
        name: "eth0".into(),
        peer: "wvfedcba98765".into(),
        bridge: "br0".into(),
        mac: Some(mac.clone()),
        mtu: Some(1400),
    };
    let forward = Forward {
        host_address: "0.0.0.0".into(),
        host_port: 8080,
        container_address: "172.18.0.2".into(),
        container_port: 80,
        protocol: Protocol::Tcp,
        bridge: "br0".into(),
    };
    let found = actions(&plan);
    assert_eq!((found[0], found.len()), (&Action::Veth(veth), 5));
    assert_eq!(found[4], &Action::Forward(forward));
    let interface = InterfaceResult {
        name: "eth0".into(),
        mac,
        addresses: vec!["172.18.0.2/16".into()],
        gateway: Some("172.18.0.1".into()),
    };
    assert_eq!(plan.interfaces, [interface]);
}

#[test]
fn each_of_a_containers_links_has_its_own_peer() {
    for (name, expected) in [("eth0", "wvfedcba98765"), ("eth1", "wvfedcba987651"), ("net", "wvfedcba98765")]
    {
        let joins = Attachment { if_name: name.into(), ..attachment(network(false, &[]), vec![]) };
        assert_eq!(peer(&joins), expected);
    }
}

#[test]
fn what_is_wrong_with_a_network_is_named() {
    for (options, said) in [
        (("bridge", "a/b"), "`a/b` is not a bridge's name"),
        (("mtu", "9"), "network option mtu=9: expected 68 to 65535"),
        (("masquerade", "no"), "network option masquerade=no: expected true or false"),
        (("icc", "true"), "a bridge network has no option `icc`"),
    ] {
        assert_eq!(Options::read(&network(false, &[options])).unwrap_err().message(), said);
    }
    for (text, gateway, said) in [
        (None, None, "network bridge has no IPv4 subnet, and the bridge driver knows IPv4 only"),
        (Some("172.18.0.0"), None, "`172.18.0.0` is not an address with a prefix length"),
        (Some("fd00::/64"), None, "network bridge has no IPv4 subnet, and the bridge driver knows IPv4 only"),
        (Some("172.18.0.0/16"), Some("10.0.0.1"), "gateway 10.0.0.1 is not in 172.18.0.0/16"),
    ] {
        let given = |cidr: &str| Subnet { cidr: cidr.into(), gateway: gateway.map(String::from) };
        let network = Network { subnets: text.map(given).into_iter().collect(), ..network(false, &[]) };
        assert_eq!(subnet(&network).unwrap_err().message(), said);
    }
}
