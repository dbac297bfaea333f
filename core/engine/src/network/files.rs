//! `hostname`, `hosts` and `resolv.conf`: files of the engine's that are bind-mounted into a
//! container, so that they never end up in an image.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use wharf_model::network::Namespace;

use super::Joined;
use crate::container::{Container, host_part};

const PUBLIC_SERVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// What the files say about one container.
pub(crate) struct Files<'a> {
    hostname: &'a str,
    name: String,
    extra_hosts: &'a [(String, IpAddr)],
    dns: &'a [IpAddr],
}

impl<'a> Files<'a> {
    pub(crate) fn of(container: &'a Container) -> Self {
        Self {
            hostname: &container.hostname,
            name: host_part(&container.name),
            extra_hosts: &container.extra_hosts,
            dns: &container.dns,
        }
    }

    /// For the programs of a build.
    pub(crate) fn of_build(hostname: &'a str, extra_hosts: &'a [(String, IpAddr)]) -> Self {
        Self { hostname, name: String::new(), extra_hosts, dns: &[] }
    }
}

/// Writes the three files into `dir`.
pub(crate) fn write(dir: &Path, files: &Files<'_>, joined: &Joined) -> io::Result<()> {
    let host_network = joined.namespace == Namespace::Host;
    fs::write(dir.join("hostname"), format!("{}\n", files.hostname))?;
    let hosts = if host_network && files.extra_hosts.is_empty() {
        fs::read_to_string("/etc/hosts").unwrap_or_else(|_| hosts(files, joined))
    } else {
        hosts(files, joined)
    };
    fs::write(dir.join("hosts"), hosts)?;
    fs::write(dir.join("resolv.conf"), resolv_conf(files.dns, joined, &host_resolv_conf()))
}

fn hosts(files: &Files<'_>, joined: &Joined) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for (name, address) in files.extra_hosts {
        let _ = writeln!(text, "{address}\t{name}");
    }
    if let Some(address) = joined.address() {
        let same = files.name == files.hostname || files.name.is_empty();
        let names = if same { String::new() } else { format!(" {}", files.name) };
        let _ = writeln!(text, "{address}\t{}{names}", files.hostname);
    }
    text
}

/// With systemd-resolved, the stub's own file holds the real servers.
fn host_resolv_conf() -> String {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if text.contains("127.0.0.53") {
        fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or(text)
    } else {
        text
    }
}

/// The user's servers, else the network's, else the host's without those that only the host can
/// reach; public ones when none is left.
fn resolv_conf(dns: &[IpAddr], joined: &Joined, host: &str) -> String {
    let own = joined.namespace == Namespace::Own;
    let given: Vec<String> =
        if dns.is_empty() { &joined.dns_servers[..] } else { dns }.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    let mut servers = given.clone();
    for line in host.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("nameserver"), Some(server)) if given.is_empty() && !(own && is_loopback(server)) => {
                servers.push(server.to_owned());
            }
            (Some("search"), _) if !joined.dns_search.is_empty() => {}
            (Some("search" | "options" | "sortlist"), _) => {
                let _ = writeln!(text, "{}", line.trim());
            }
            _ => {}
        }
    }
    if servers.is_empty() {
        servers.extend(PUBLIC_SERVERS.map(str::to_owned));
    }
    if !joined.dns_search.is_empty() {
        let _ = writeln!(text, "search {}", joined.dns_search.join(" "));
    }
    let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    lines + &text
}

fn is_loopback(server: &str) -> bool {
    server.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(namespace: Namespace) -> Joined {
        Joined {
            driver: String::new(),
            network: "bridge".into(),
            network_id: String::new(),
            namespace,
            interfaces: Vec::new(),
            ports: Vec::new(),
            dns_servers: Vec::new(),
            dns_search: Vec::new(),
        }
    }

    #[test]
    fn servers_only_the_host_can_reach_are_left_out() {
        let host = "search a.b\nnameserver 127.0.0.1\nnameserver 10.0.0.1\n";
        for (namespace, host, expected) in [
            (Namespace::Own, host, "nameserver 10.0.0.1\nsearch a.b\n"),
            (Namespace::Host, host, "nameserver 127.0.0.1\nnameserver 10.0.0.1\nsearch a.b\n"),
            (Namespace::Own, "nameserver ::1\n", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        ] {
            assert_eq!(resolv_conf(&[], &joined(namespace), host), expected);
        }
        let dns = ["1.1.1.1".parse().unwrap()];
        assert_eq!(resolv_conf(&dns, &joined(Namespace::Own), host), "nameserver 1.1.1.1\nsearch a.b\n");
    }
}
