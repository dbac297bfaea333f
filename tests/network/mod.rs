//! Published ports, and the networks `bridge`, `host` and `none`.

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Child, Command, Output};

use crate::harness::{Sandbox, eventually, free_port, get, get_patiently, host};

/// A web server in a container, published on a free port.
fn serve(box_: &Sandbox, name: &str, publish: &str) {
    box_.write("www/index.html", "hello from the container\n");
    let mount = format!("{}:/www:ro", box_.dir().join("www").display());
    let run = [
        "run", "-d", "--name", name, "-v", &mount, "-p", publish, "busybox", "httpd", "-f", "-p", "80", "-h",
        "/www",
    ];
    box_.wharf(run).success();
}

/// The host's own address, or what stands for it where it has none but 127.0.0.1.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| *ip != IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Another machine, as far as the host can tell: a network namespace behind a link of its own.
struct Neighbour {
    /// Keeps the namespace.
    inside: Child,
    link: String,
    /// The host's address as the neighbour knows it.
    host: String,
}

impl Neighbour {
    fn new() -> Self {
        let own = std::process::id();
        let (link, net) = (format!("wt-{own}"), format!("10.{}.{}", 200 + own % 50, own % 250));
        let inside = Command::new("unshare").args(["--net", "sleep", "60"]).spawn().unwrap();
        let space = format!("/proc/{}/ns/net", inside.id());
        let neighbour = Self { host: format!("{net}.1"), link, inside };
        eventually("the namespace is there", || {
            std::fs::read_link(&space).ok() != std::fs::read_link("/proc/self/ns/net").ok()
        });
        let pid = neighbour.inside.id().to_string();
        host(&["ip", "link", "add", &neighbour.link, "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        host(&["ip", "address", "add", &format!("{net}.1/24"), "dev", &neighbour.link]);
        host(&["ip", "link", "set", &neighbour.link, "up"]);
        neighbour.types(&["ip", "address", "add", &format!("{net}.2/24"), "dev", "eth0"]);
        neighbour.types(&["ip", "link", "set", "eth0", "up"]);
        neighbour.types(&["ip", "route", "add", "default", "via", &neighbour.host]);
        neighbour
    }

    fn command(&self, argv: &[&str]) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.inside.id().to_string(), "--net"]).args(argv);
        command.output().unwrap()
    }

    fn types(&self, argv: &[&str]) {
        let output = self.command(argv);
        assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn fetch(&self, address: &str) -> Option<String> {
        let output = self.command(&["timeout", "3", "busybox", "wget", "-q", "-O", "-", address]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        host(&["ip", "link", "delete", &self.link]);
        self.inside.kill().unwrap();
        self.inside.wait().unwrap();
    }
}

#[test]
fn a_published_port_answers_on_every_address_of_the_host() {
    let box_ = Sandbox::new();
    let port = free_port();
    serve(&box_, "web", &format!("{port}:80"));
    assert!(get_patiently(("127.0.0.1", port)).contains("hello from the container"));
    match own_address() {
        Some(address) => {
            assert!(get((address, port)).unwrap().contains("hello from the container"), "at {address}")
        }
        None => eprintln!("not tried: the host has no address but 127.0.0.1"),
    }
    assert!(box_.run("ps").line_with("httpd").contains(&format!("0.0.0.0:{port}->80/tcp")));
    let template =
        "{{range $port, $to := .NetworkSettings.Ports}}{{$port}}={{range $to}}{{.HostPort}}{{end}}{{end}}";
    assert_eq!(box_.inspect("web", template), format!("80/tcp={port}"));
}

#[test]
fn a_published_port_answers_another_machine() {
    let box_ = Sandbox::new();
    let (port, neighbour) = (free_port(), Neighbour::new());
    serve(&box_, "web", &format!("{port}:80"));
    get_patiently(("127.0.0.1", port));
    let page = neighbour.fetch(&format!("http://{}:{port}/", neighbour.host));
    assert_eq!(page.as_deref(), Some("hello from the container\n"));
    let inside = box_.inspect("web", "{{.NetworkSettings.IPAddress}}");
    assert_eq!(neighbour.fetch(&format!("http://{inside}/")), None, "only published ports are for others");
}

#[test]
fn other_containers_reach_it_by_the_host_and_directly() {
    let box_ = Sandbox::new();
    let port = free_port();
    serve(&box_, "web", &format!("{port}:80"));
    get_patiently(("127.0.0.1", port));
    let direct = box_.inspect("web", "{{.NetworkSettings.IPAddress}}");
    let gateway = box_.inspect("web", "{{.NetworkSettings.Gateway}}");
    for url in [format!("http://{direct}/"), format!("http://{gateway}:{port}/")] {
        box_.run(&format!("run --rm busybox wget -q -O - {url}"))
            .success()
            .prints("hello from the container\n");
        box_.run(&format!("exec web wget -q -O - {url}")).success().prints("hello from the container\n");
    }
}

#[test]
fn a_port_on_127_0_0_1_is_for_the_host_only() {
    let box_ = Sandbox::new();
    let (port, neighbour) = (free_port(), Neighbour::new());
    serve(&box_, "web", &format!("127.0.0.1:{port}:80"));
    assert!(get_patiently(("127.0.0.1", port)).contains("hello"));
    assert_eq!(neighbour.fetch(&format!("http://{}:{port}/", neighbour.host)), None);
}

#[test]
fn a_port_that_is_not_published_is_not_reachable_by_the_host_s_addresses() {
    let box_ = Sandbox::new();
    box_.build("quiet", "FROM busybox\nEXPOSE 8099\nCMD [\"httpd\", \"-f\", \"-p\", \"8099\"]\n");
    box_.run("run -d --name q quiet").success();
    assert!(get(("127.0.0.1", 8099)).is_err());
}

#[test]
fn the_kernel_chooses_a_port_when_none_is_named() {
    let box_ = Sandbox::new();
    box_.build(
        "e",
        "FROM busybox\nEXPOSE 80\nRUN echo chosen > /index.html\nCMD [\"httpd\", \"-f\", \"-h\", \"/\"]\n",
    );
    for (name, option) in [("one", "-p80"), ("two", "-P")] {
        box_.run(&format!("run -d --name {name} {option} e")).success();
        let template = "{{range .NetworkSettings.Ports}}{{range .}}{{.HostPort}}{{end}}{{end}}";
        let port: u16 = box_.inspect(name, template).parse().unwrap();
        assert!(get_patiently(("127.0.0.1", port)).contains("chosen"));
    }
}

#[test]
fn udp_is_published_too() {
    let box_ = Sandbox::with_python();
    let echo = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('', 9000))\n\
                while True:\n    s.sendto(*s.recvfrom(99))\n";
    let port = free_port();
    let publish = format!("{port}:9000/udp");
    box_.wharf(["run", "-d", "--name", "u", "-p", &publish, "python:3.6", "python", "-c", echo]).success();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    let mut buffer = [0; 16];
    eventually("an echo comes back", || {
        socket.send_to(b"echo", ("127.0.0.1", port)).unwrap();
        socket.recv(&mut buffer).is_ok()
    });
    assert_eq!(&buffer[..4], b"echo");
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_left() {
    let box_ = Sandbox::new();
    box_.run("run --rm busybox true").success();
    let holder = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let publish = format!("{port}:80");
    let words = [format!("failed to bind host port 0.0.0.0:{port}/tcp: address already in use")];
    box_.refuses(
        125,
        &["run", "-d", "--name", "late", "-p", &publish, "busybox", "sleep", "60"],
        &[&words[0]],
    );
    box_.refuses(125, &["run", "--rm", "-p", &publish, "busybox", "true"], &[&words[0]]);
    drop(holder);
    box_.wharf(["run", "-d", "--name", "late", "-p", &publish, "busybox", "sleep", "60"]).success();
    box_.refuses(
        125,
        &["run", "-d", "--name", "later", "-p", &publish, "busybox", "sleep", "60"],
        &[&words[0]],
    );
}

#[test]
fn the_port_is_free_as_soon_as_the_container_has_ended() {
    let box_ = Sandbox::new();
    let port = free_port();
    for round in 0..5 {
        serve(&box_, &format!("web{round}"), &format!("{port}:80"));
        box_.run(&format!("stop -t 0 web{round}")).success();
        TcpListener::bind(("0.0.0.0", port)).unwrap();
    }
}

#[test]
fn none_has_no_network_and_host_has_the_host_s() {
    let box_ = Sandbox::new();
    box_.run("run --rm --network none busybox ls /sys/class/net").success().prints("lo\n");
    let links = host(&["ls", "-1", "/sys/class/net"]);
    box_.run("run --rm --network host busybox ls -1 /sys/class/net").success().prints(&links);
    box_.refuses(125, &["run", "--rm", "--network", "none", "-p", "80:80", "busybox", "true"], &["publish"]);
    box_.refuses(125, &["run", "--rm", "--network", "nowhere", "busybox", "true"], &["nowhere", "not found"]);
}

#[test]
fn containers_have_their_own_addresses_and_names_for_hosts() {
    let box_ = Sandbox::new();
    box_.run("run -d --name a busybox sleep 60").success();
    let (address, gateway) = (
        box_.inspect("a", "{{.NetworkSettings.IPAddress}}"),
        box_.inspect("a", "{{.NetworkSettings.Gateway}}"),
    );
    box_.run("exec a cat /etc/hosts").success().shows(&address);
    box_.run("exec a ip route").success().shows(&format!("default via {gateway}"));
    box_.run(&format!("exec a ping -c 1 -W 2 {gateway}")).success();
    let hosts = [
        "run",
        "--rm",
        "--add-host",
        "there:192.0.2.7",
        "--dns",
        "192.0.2.53",
        "busybox",
        "cat",
        "/etc/hosts",
        "/etc/resolv.conf",
    ];
    box_.wharf(hosts).success().shows("192.0.2.7\tthere").shows("nameserver 192.0.2.53");
}

/// As after a boot, when somebody else was there first.
#[test]
fn a_bridge_is_not_made_beside_a_link_with_its_addresses() {
    let (box_, archive) = (Sandbox::new(), "busybox.tar");
    let of_bridge = |box_: &Sandbox, template: &str| {
        box_.wharf(["network", "inspect", "-f", template, "bridge"]).success().line().to_owned()
    };
    let link = |box_: &Sandbox| format!("wh-{}", &of_bridge(box_, "{{.Id}}")[..12]);
    let subnet = "{{(index .IPAM.Config 0).Subnet}}";
    box_.run("run --rm busybox true").success();
    host(&["ip", "link", "delete", &link(&box_)]);
    box_.run(&format!("save -o {archive} busybox")).success();
    let other = box_.beside();
    other.wharf(["load", "-i", box_.dir().join(archive).to_str().unwrap()]).success();
    other.run("run --rm busybox true").success();
    assert_eq!(of_bridge(&other, subnet), of_bridge(&box_, subnet));

    let (theirs, delete) = (link(&other), format!("ip link delete {}", link(&other)));
    box_.refuses(125, &["run", "--rm", "busybox", "true"], &["network `bridge`", &theirs, "hint", &delete]);
    host(&["ip", "link", "delete", &theirs]);
    box_.run("run --rm busybox true").success();
}
