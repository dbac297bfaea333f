//! Whole networks in namespaces of their own: the machine's links are never touched.
//!
//! ```text
//! outsider eth0 192.0.2.2 -- ext 192.0.2.1 [host] wh-<id> 172.30.0.1 -- eth0 172.30.0.2, .3 containers
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use wharf_model::network::{FirewallRule, Forward, NetworkStep, Place, Protocol, Traffic};

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const EXTERNAL: &str = "ffffffffffff0000000000000000000000000000000000000000000000000000";
const BRIDGE: &str = "wh-0123456789ab";
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OUTSIDER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 30, 0, 1));
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const EVERYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn plan(actions: Vec<NetworkAction>) -> NetworkPlan {
    let step = |action| NetworkStep { action, label: "test".into() };
    NetworkPlan { steps: actions.into_iter().map(step).collect(), ..NetworkPlan::default() }
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn address(place: Place, link: &str, text: &str) -> NetworkAction {
    NetworkAction::Address { place, link: link.into(), cidr: cidr(text) }
}

fn default_route(gateway: IpAddr) -> NetworkAction {
    NetworkAction::Route { place: Place::Container, dest: cidr("0.0.0.0/0"), via: Some(gateway), link: None }
}

fn veth(peer: &str, bridge: &str, mac: Option<String>) -> NetworkAction {
    NetworkAction::Veth { name: "eth0".into(), peer: peer.into(), bridge: bridge.into(), mac, mtu: None }
}

fn container_address(number: u8) -> IpAddr {
    Ipv4Addr::new(172, 30, 0, number).into()
}

fn network_plan() -> NetworkPlan {
    plan(vec![
        NetworkAction::Bridge { name: BRIDGE.into(), mtu: None },
        address(Place::Host, BRIDGE, "172.30.0.1/24"),
        NetworkAction::Rule(FirewallRule::Masquerade {
            source: cidr("172.30.0.0/24"),
            except_link: BRIDGE.into(),
        }),
        NetworkAction::Rule(FirewallRule::Isolate(BRIDGE.into())),
    ])
}

fn forward(host_address: IpAddr, host_port: u16, number: u8) -> NetworkAction {
    NetworkAction::Forward(Forward {
        host_address,
        host_port,
        container_address: container_address(number),
        container_port: 80,
        protocol: Protocol::Tcp,
        bridge: BRIDGE.into(),
    })
}

fn attach_plan(number: u8, more: Vec<NetworkAction>) -> NetworkPlan {
    let (peer, mac) = (format!("veth{number}"), format!("02:42:ac:1e:00:{number:02x}"));
    let mut actions = vec![
        veth(&peer, BRIDGE, Some(mac.clone())),
        address(Place::Container, "eth0", &format!("172.30.0.{number}/24")),
        default_route(GATEWAY),
        NetworkAction::Rule(FirewallRule::PinSource { link: peer, mac, address: container_address(number) }),
    ];
    actions.extend(more);
    plan(actions)
}

/// A host with the network, in a thread of its own.
fn on_a_host(body: impl FnOnce() + Send) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs uid 0");
        return;
    }
    let host = Namespace::create().unwrap();
    host.run(|| {
        apply(&network_plan(), None, ID).unwrap();
        body();
    })
    .unwrap();
}

fn container(number: u8, more: Vec<NetworkAction>) -> Namespace {
    let container = Namespace::create().unwrap();
    apply(&attach_plan(number, more), Some(&container), ID).unwrap();
    container
}

fn outsider() -> Namespace {
    let outsider = Namespace::create().unwrap();
    let bridge = NetworkAction::Bridge { name: "ext".into(), mtu: None };
    apply(&plan(vec![bridge, address(Place::Host, "ext", "192.0.2.1/24")]), None, EXTERNAL).unwrap();
    let actions = vec![veth("ext-port", "ext", None), address(Place::Container, "eth0", "192.0.2.2/24")];
    apply(&plan(actions), Some(&outsider), EXTERNAL).unwrap();
    outsider
}

fn listen(namespace: &Namespace, port: u16) -> TcpListener {
    let listener = namespace.run(|| TcpListener::bind((EVERYWHERE, port))).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Whom the listener sees when `namespace` connects to an address.
fn seen(namespace: &Namespace, address: IpAddr, port: u16, listener: &TcpListener) -> Option<IpAddr> {
    connect(namespace, address, port, listener, Duration::from_secs(3))
}

/// Whether it cannot connect. A first packet that waits for ARP is no reason to say so.
fn refused(namespace: &Namespace, address: IpAddr, port: u16, listener: &TcpListener) -> bool {
    connect(namespace, address, port, listener, Duration::from_millis(400)).is_none()
}

fn connect(
    namespace: &Namespace,
    address: IpAddr,
    port: u16,
    listener: &TcpListener,
    patience: Duration,
) -> Option<IpAddr> {
    let to = SocketAddr::new(address, port);
    let connected = namespace.run(|| TcpStream::connect_timeout(&to, patience)).unwrap();
    let _open = connected.ok()?;
    // The listener hears of it a moment after the one that connects.
    let start = Instant::now();
    while start.elapsed() < patience {
        if let Ok((_, peer)) = listener.accept() {
            return Some(peer.ip());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

#[test]
fn privileged_containers_reach_each_other_and_the_world() {
    on_a_host(|| {
        let (one, two, outsider) = (container(2, vec![]), container(3, vec![]), outsider());
        let host = Namespace::host().unwrap();
        let (web, world, here) = (listen(&two, 80), listen(&outsider, 81), listen(&host, 82));
        assert_eq!(seen(&one, container_address(3), 80, &web), Some(container_address(2)));
        assert_eq!(seen(&host, container_address(3), 80, &web), Some(GATEWAY));
        assert_eq!(seen(&one, GATEWAY, 82, &here), Some(container_address(2)));
        assert_eq!(seen(&one, OUTSIDER, 81, &world), Some(HOST), "masqueraded");
    });
}

#[test]
fn privileged_a_port_on_every_address_answers_everywhere_until_it_is_undone() {
    on_a_host(|| {
        let (one, outsider) = (container(2, vec![forward(EVERYWHERE, 8000, 2)]), outsider());
        let (two, host) = (container(3, vec![]), Namespace::host().unwrap());
        let _held = TcpListener::bind((EVERYWHERE, 8000)).unwrap();
        let web = listen(&one, 80);
        assert_eq!(seen(&host, LOCALHOST, 8000, &web), Some(GATEWAY));
        assert_eq!(seen(&host, HOST, 8000, &web), Some(HOST));
        assert_eq!(seen(&outsider, HOST, 8000, &web), Some(OUTSIDER), "the sender's address is kept");
        assert_eq!(seen(&two, GATEWAY, 8000, &web), Some(GATEWAY));
        let setting = "net/bridge/bridge-nf-call-iptables";
        for value in ["0", "1"].iter().filter(|_| std::path::Path::new("/proc/sys").join(setting).exists()) {
            sysctl::set(setting, value).unwrap();
            assert_eq!(seen(&one, HOST, 8000, &web), Some(GATEWAY), "a container reaches itself");
            assert_eq!(seen(&two, HOST, 8000, &web), Some(GATEWAY), "and the other, with {setting}={value}");
        }
        assert!(refused(&two, LOCALHOST, 8000, &web), "a container's own localhost");

        drop(_held);
        let attached = attach_plan(2, vec![forward(EVERYWHERE, 8000, 2)]);
        undo_attach(&attached, ID).unwrap();
        for from in [&host, &outsider, &two] {
            assert!(refused(from, HOST, 8000, &web));
        }
        assert!(refused(&host, LOCALHOST, 8000, &web));
        undo_attach(&attached, ID).unwrap();
    });
}

#[test]
fn privileged_a_port_on_one_address_answers_only_there() {
    on_a_host(|| {
        let forwards = vec![forward(LOCALHOST, 8001, 2), forward(HOST, 8002, 2)];
        let (one, outsider, host) = (container(2, forwards), outsider(), Namespace::host().unwrap());
        let web = listen(&one, 80);
        assert_eq!(seen(&host, LOCALHOST, 8001, &web), Some(GATEWAY));
        assert!(refused(&host, HOST, 8001, &web));
        assert!(refused(&outsider, HOST, 8001, &web));
        assert_eq!(seen(&outsider, HOST, 8002, &web), Some(OUTSIDER));
        assert!(refused(&host, LOCALHOST, 8002, &web));
    });
}

#[test]
fn privileged_127_0_0_1_is_not_reached_by_a_neighbour_that_sends_there() {
    on_a_host(|| {
        let (one, outsider) = (container(2, vec![forward(LOCALHOST, 8001, 2)]), outsider());
        let web = listen(&one, 80);
        outsider
            .run(|| {
                let mut links = Links::open().unwrap();
                let lo = links.index("lo").unwrap();
                links.delete_address(lo, cidr("127.0.0.1/8")).unwrap();
                links.add_route(cidr("127.0.0.1/32"), Some(HOST), None).unwrap();
                sysctl::set("net/ipv4/conf/eth0/route_localnet", "1").unwrap();
            })
            .unwrap();
        assert!(refused(&outsider, LOCALHOST, 8001, &web));
        // Without the rule it would be: this is what the rule is for.
        let table = nft::Table { family: nft::Family::Inet, name: "wharf-0123456789ab".into() };
        let mut socket = socket::Socket::netfilter().unwrap();
        let rule = nft::rules(&mut socket, &table, "raw").unwrap().remove(0);
        let mut batch = nft::Batch::new(&table);
        batch.delete_rule("raw", rule.handle);
        batch.commit(&mut socket).unwrap();
        assert!(seen(&outsider, LOCALHOST, 8001, &web).is_some());
    });
}

#[test]
fn privileged_what_is_not_published_is_not_reached_from_outside() {
    on_a_host(|| {
        let (one, outsider) = (container(2, vec![forward(EVERYWHERE, 8000, 2)]), outsider());
        let (web, other) = (listen(&one, 80), listen(&one, 90));
        outsider
            .run(|| Links::open().unwrap().add_route(cidr("172.30.0.0/24"), Some(HOST), None).unwrap())
            .unwrap();
        assert!(refused(&outsider, container_address(2), 90, &other));
        assert!(refused(&outsider, container_address(2), 80, &web), "not even the published one");
        assert_eq!(seen(&outsider, HOST, 8000, &web), Some(OUTSIDER));
    });
}

#[test]
fn privileged_a_container_speaks_with_its_own_address_only() {
    on_a_host(|| {
        let (one, host) = (container(2, vec![]), Namespace::host().unwrap());
        let here = listen(&host, 82);
        assert_eq!(seen(&one, GATEWAY, 82, &here), Some(container_address(2)));
        one.run(|| {
            let mut links = Links::open().unwrap();
            let eth0 = links.index("eth0").unwrap();
            links.delete_address(eth0, cidr("172.30.0.2/24")).unwrap();
            links.add_address(eth0, cidr("172.30.0.9/24")).unwrap();
        })
        .unwrap();
        assert!(refused(&one, GATEWAY, 82, &here));
        undo_attach(&attach_plan(2, vec![]), ID).unwrap();
        assert_eq!(seen(&one, GATEWAY, 82, &here), Some(container_address(9)), "no longer pinned");
    });
}

#[test]
fn privileged_a_networks_plan_can_be_repeated_and_removed() {
    on_a_host(|| {
        let table = nft::Table { family: nft::Family::Inet, name: "wharf-0123456789ab".into() };
        let mut socket = socket::Socket::netfilter().unwrap();
        let mut count = || nft::rules(&mut socket, &table, "isolate").unwrap().len();
        let before = count();
        assert!(exists(&network_plan(), ID).unwrap());
        apply(&network_plan(), None, ID).unwrap();
        assert_eq!((before, count()), (4, 4));
        let _container = container(2, vec![]);
        remove_network(ID).unwrap();
        assert!(!exists(&network_plan(), ID).unwrap());
        remove_network(ID).unwrap();
    });
}

#[test]
fn privileged_a_failing_step_undoes_those_before() {
    on_a_host(|| {
        let namespace = Namespace::create().unwrap();
        let nonsense = |place| NetworkAction::Sysctl { place, key: "net/none".into(), value: "1".into() };
        for place in [Place::Host, Place::Container] {
            let second = address(Place::Host, BRIDGE, "10.9.9.1/24");
            let bad = attach_plan(2, vec![forward(EVERYWHERE, 8000, 2), second, nonsense(place)]);
            let err = apply(&bad, Some(&namespace), ID).unwrap_err();
            assert_eq!(err.to_string(), "cannot set `net/none` to `1`");
            let mut links = Links::open().unwrap();
            assert!(links.find("veth2").unwrap().is_none());
            assert!(
                !links.networks().unwrap().iter().any(|network| cidr::overlap(*network, cidr("10.9.9.0/24")))
            );
        }
        let nowhere =
            plan(vec![NetworkAction::Bridge { name: "wh-other".into(), mtu: None }, default_route(HOST)]);
        assert!(matches!(apply(&nowhere, None, ID), Err(NetError::NoContainer { .. })));
        let unreachable = attach_plan(
            2,
            vec![NetworkAction::Route {
                place: Place::Container,
                dest: cidr("10.0.0.0/8"),
                via: Some(OUTSIDER),
                link: None,
            }],
        );
        assert!(matches!(apply(&unreachable, Some(&namespace), ID), Err(NetError::Route { .. })));
        apply(&attach_plan(2, vec![forward(EVERYWHERE, 8000, 2)]), Some(&namespace), ID).unwrap();
    });
}

#[test]
fn privileged_what_a_dead_container_left_is_replaced() {
    on_a_host(|| {
        let old = container(2, vec![forward(EVERYWHERE, 8000, 2)]);
        let stale = attach_plan(2, vec![forward(EVERYWHERE, 8000, 2)]);
        let new = container(2, vec![]);
        let other = container(3, vec![forward(EVERYWHERE, 8000, 3)]);
        drop((old, new));
        undo_attach(&stale, ID).unwrap();
        let (web, host) = (listen(&other, 80), Namespace::host().unwrap());
        assert_eq!(seen(&host, LOCALHOST, 8000, &web), Some(GATEWAY), "the new owner's port is left alone");
    });
}

#[test]
fn privileged_accept_and_drop_are_a_containers_own() {
    on_a_host(|| {
        let outsider = outsider();
        let drop_all = |number| {
            let traffic = Traffic { out_link: Some("ext".into()), ..Traffic::default() };
            attach_plan(number, vec![NetworkAction::Rule(FirewallRule::Drop(traffic))])
        };
        let one = Namespace::create().unwrap();
        let two = Namespace::create().unwrap();
        apply(&drop_all(2), Some(&one), ID).unwrap();
        apply(&drop_all(3), Some(&two), ID).unwrap();
        let world = listen(&outsider, 81);
        assert!(refused(&one, OUTSIDER, 81, &world));
        undo_attach(&drop_all(2), ID).unwrap();
        assert!(refused(&one, OUTSIDER, 81, &world), "the other's rule stays");
        undo_attach(&drop_all(3), ID).unwrap();
        assert_eq!(seen(&one, OUTSIDER, 81, &world), Some(HOST));
        let web = listen(&one, 80);
        let traffic = Traffic {
            in_link: Some("ext".into()),
            dest: Some(cidr("172.30.0.2/32")),
            dest_ports: Some((80, 80)),
            ..Traffic::default()
        };
        let accept = attach_plan(4, vec![NetworkAction::Rule(FirewallRule::Accept(traffic))]);
        apply(&accept, Some(&Namespace::create().unwrap()), ID).unwrap();
        outsider
            .run(|| Links::open().unwrap().add_route(cidr("172.30.0.0/24"), Some(HOST), None).unwrap())
            .unwrap();
        assert_eq!(seen(&outsider, container_address(2), 80, &web), Some(OUTSIDER));
    });
}

#[test]
fn privileged_a_used_network_is_not_free() {
    on_a_host(|| {
        assert_eq!(free_subnet(&[]).unwrap(), cidr("172.17.0.0/16"));
        apply(&plan(vec![address(Place::Host, "lo", "172.17.3.1/24")]), None, EXTERNAL).unwrap();
        assert_eq!(free_subnet(&[cidr("172.18.0.0/16")]).unwrap(), cidr("172.19.0.0/16"));
    });
}

#[test]
fn privileged_a_sysctl_is_set_in_the_namespace_it_names() {
    on_a_host(|| {
        let key = "net/ipv4/conf/lo/rp_filter";
        let set = |place, value: &str| NetworkAction::Sysctl { place, key: key.into(), value: value.into() };
        let one = container(2, vec![set(Place::Container, "2"), set(Place::Host, "1")]);
        let read = || std::fs::read_to_string(format!("/proc/sys/{key}")).unwrap();
        assert_eq!((read().trim(), one.run(read).unwrap().trim()), ("1", "2"));
    });
}

#[test]
fn unknown_and_unsafe_steps_are_refused_before_anything_is_done() {
    let sysctl = |key: &str| NetworkAction::Sysctl { place: Place::Host, key: key.into(), value: "1".into() };
    for action in [
        sysctl("kernel/core_pattern"),
        sysctl("net/../kernel/core_pattern"),
        NetworkAction::Extension(wharf_model::ExtensionOp { name: "x".into(), payload: vec![] }),
        veth("p", "b", Some("02:42".into())),
    ] {
        assert!(apply(&plan(vec![action]), None, ID).is_err());
    }
    assert!(matches!(apply(&plan(vec![]), None, "../etc"), Err(NetError::Id(_))));
}

#[test]
fn privileged_a_udp_client_that_keeps_sending_reaches_whoever_has_the_port() {
    on_a_host(|| {
        let outsider = outsider();
        let client = outsider.run(|| UdpSocket::bind((EVERYWHERE, 4000))).unwrap().unwrap();
        let publish = |number| {
            let mut action = forward(EVERYWHERE, 5300, number);
            if let NetworkAction::Forward(forward) = &mut action {
                forward.protocol = Protocol::Udp;
            }
            attach_plan(number, vec![action])
        };
        client.send_to(b"nobody is there", (HOST, 5300)).unwrap();
        for number in [2, 3] {
            let container = Namespace::create().unwrap();
            apply(&publish(number), Some(&container), ID).unwrap();
            let server = container.run(|| UdpSocket::bind((EVERYWHERE, 80))).unwrap().unwrap();
            server.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            client.send_to(b"hello", (HOST, 5300)).unwrap();
            let (_, sender) = server.recv_from(&mut [0; 16]).unwrap();
            assert_eq!(sender, SocketAddr::new(OUTSIDER, 4000));
            undo_attach(&publish(number), ID).unwrap();
        }
    });
}

/// Not a check but a number: the median of an attach with a port, and of its undoing.
#[test]
fn privileged_attaching_is_fast() {
    on_a_host(|| {
        let (mut create, mut attach, mut undo) = (vec![], vec![], vec![]);
        let mut alive = vec![];
        for number in 2..52 {
            let start = Instant::now();
            let namespace = Namespace::create().unwrap();
            create.push(start.elapsed());
            let plan = attach_plan(number, vec![forward(EVERYWHERE, 8000 + u16::from(number), number)]);
            let start = Instant::now();
            apply(&plan, Some(&namespace), ID).unwrap();
            attach.push(start.elapsed());
            alive.push((namespace, plan));
        }
        for (_, plan) in &alive {
            let start = Instant::now();
            undo_attach(plan, ID).unwrap();
            undo.push(start.elapsed());
        }
        drop(alive);
        let mut again = vec![];
        for number in 60..90 {
            let plan = attach_plan(number, vec![forward(EVERYWHERE, 8000 + u16::from(number), number)]);
            let start = Instant::now();
            let namespace = Namespace::create().unwrap();
            apply(&plan, Some(&namespace), ID).unwrap();
            again.push(start.elapsed());
        }
        for (what, mut times) in
            [("create", create), ("attach", attach), ("undo", undo), ("one after another", again)]
        {
            times.sort_unstable();
            println!("{what}: median {:?}, worst {:?}", times[times.len() / 2], times[times.len() - 1]);
        }
    });
}
