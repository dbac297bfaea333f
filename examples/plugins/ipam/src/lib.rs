//! A bridge whose addresses come from a server, as an organisation's address management is.
//!
//! ```text
//! GET    <server>networks/<network>                      {"subnet": "10.88.0.0/24", "gateway": "10.88.0.1"}
//! POST   <server>networks/<network>/leases               {"container": "..."}  ->  {"address": "10.88.0.7/24"}
//! DELETE <server>networks/<network>/leases/<container>
//! ```
//!
//! The engine sends every call with an `Idempotency-Key`, the same when it repeats one: a server that
//! keeps the answer to a key leases one address to a container, however often it is asked. The lease
//! is given back when the container leaves the network; what is on the host, the engine undoes by
//! itself.

use std::net::Ipv4Addr;

use serde::Deserialize;
use wharf_sdk::network::{
    Action, Address, Attachment, Bridge, DriverInfo, FirewallRule, HostFacts, InterfaceResult, Masquerade,
    Network, PinSource, Place, Plan, Route, Sysctl, Veth,
};
use wharf_sdk::remote::{self, Response};
use wharf_sdk::state::View;
use wharf_sdk::{Failure, FailureKind, NetworkDriver, Request, Settings, host, refuse, setting};

struct Ipam;

wharf_sdk::export_network!(Ipam);

impl NetworkDriver for Ipam {
    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:link", "makes the bridge, and a pair of links for each container"),
            Request::new("ops:address", "gives them the leased addresses, and routes"),
            Request::new("ops:sysctl", "forwards packets"),
            Request::new("ops:firewall", "masquerades, and lets a container use its own address only"),
            Request::new("remote:*", "leases addresses from the server in its settings"),
        ]
    }

    fn describe() -> DriverInfo {
        DriverInfo { name: "ipam".into(), needs_subnet: false, can_publish: false }
    }

    fn validate_settings(settings: &Settings, _: &HostFacts) -> Result<(), Failure> {
        setting::only(settings, &["server"])?;
        server(settings).map(drop)
    }

    fn plan_network(token: &str, network: &Network, _: &HostFacts, _: &dyn View) -> Result<Plan, Failure> {
        let ipam = Server::of_settings(&remote::call)?;
        Ok(network_plan(&link(network), &ipam.subnet(token, network)?))
    }

    fn plan_attach(
        token: &str,
        attachment: &Attachment,
        _: &HostFacts,
        _: &dyn View,
    ) -> Result<Plan, Failure> {
        let ipam = Server::of_settings(&remote::call)?;
        let subnet = ipam.subnet(&format!("{token}-subnet"), &attachment.network)?;
        let lease = ipam.lease(token, attachment)?;
        attach_plan(attachment, &subnet, &lease)
    }

    fn release(token: &str, attachment: &Attachment, _: &dyn View) -> Result<(), Failure> {
        Server::of_settings(&remote::call)?.give_back(token, attachment)
    }
}

type Call<'a> = &'a dyn Fn(&str, &remote::Request) -> Result<Response, Failure>;

/// What answers.
struct Server<'a> {
    address: String,
    call: Call<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Subnet {
    subnet: String,
    gateway: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Lease {
    address: String,
}

impl<'a> Server<'a> {
    fn of_settings(call: Call<'a>) -> Result<Self, Failure> {
        Ok(Self { address: server(&host::settings())?, call })
    }

    fn subnet(&self, token: &str, network: &Network) -> Result<Subnet, Failure> {
        self.ask(token, &remote::Request::new("GET", self.url(network, "")))
    }

    fn lease(&self, token: &str, attachment: &Attachment) -> Result<Lease, Failure> {
        let body = serde_json::json!({ "container": attachment.container }).to_string();
        let request = remote::Request::new("POST", self.url(&attachment.network, "/leases"));
        self.ask(token, &request.header("Content-Type", "application/json").body(body))
    }

    /// A lease that is not there has been given back.
    fn give_back(&self, token: &str, attachment: &Attachment) -> Result<(), Failure> {
        let path = format!("/leases/{}", attachment.container);
        let request = remote::Request::new("DELETE", self.url(&attachment.network, &path));
        match (self.call)(&format!("{token}-release"), &request)? {
            Response { status: 200..=299 | 404, .. } => Ok(()),
            other => Err(refused(&request, &other)),
        }
    }

    fn url(&self, network: &Network, rest: &str) -> String {
        format!("{}networks/{}{rest}", self.address, network.name)
    }

    fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        token: &str,
        request: &remote::Request,
    ) -> Result<T, Failure> {
        let response = (self.call)(token, request)?;
        if !(200..300).contains(&response.status) {
            return Err(refused(request, &response));
        }
        serde_json::from_slice(&response.body).map_err(|error| {
            refuse(format!("{} answered with something else than expected: {error}", request.url))
                .kind(FailureKind::Other)
        })
    }
}

/// The first line of what it says goes to the person.
fn refused(request: &remote::Request, response: &Response) -> Failure {
    let text = String::from_utf8_lossy(&response.body);
    let said = text.lines().next().unwrap_or_default().trim();
    let said: String = said.chars().filter(|letter| !letter.is_control()).take(200).collect();
    let kind = match response.status {
        404 => FailureKind::NotFound,
        409 => FailureKind::Conflict,
        500.. => FailureKind::Transient,
        _ => FailureKind::Other,
    };
    let separator = if said.is_empty() { "" } else { ": " };
    refuse(format!(
        "{} {} was answered with {}{separator}{said}",
        request.method, request.url, response.status
    ))
    .kind(kind)
}

/// `server = "https://ipam.example/v1/"`
fn server(settings: &Settings) -> Result<String, Failure> {
    let help = "write `settings = { server = \"https://ipam.example/v1/\" }`";
    let text = setting::text(settings, "server").ok_or_else(|| refuse("no server is set").help(help))?;
    if !(text.starts_with("https://") || text.starts_with("http://")) {
        return Err(refuse(format!("`{text}` is not the address of a server")).help(help));
    }
    Ok(format!("{}/", text.trim_end_matches('/')))
}

fn link(network: &Network) -> String {
    format!("wh-{}", network.id.chars().take(12).collect::<String>())
}

fn network_plan(bridge: &str, subnet: &Subnet) -> Plan {
    let prefix = subnet.subnet.rsplit('/').next().unwrap_or("24");
    let gateway =
        Address { place: Place::Host, link: bridge.into(), cidr: format!("{}/{prefix}", subnet.gateway) };
    let forward = Sysctl { place: Place::Host, key: "net/ipv4/ip_forward".into(), value: "1".into() };
    let masquerade = Masquerade { source: subnet.subnet.clone(), except_link: bridge.into() };
    Plan::default()
        .step(format!("bridge {bridge}"), Action::Bridge(Bridge { name: bridge.into(), mtu: None }))
        .step(format!("gateway {}", subnet.gateway), Action::Address(gateway))
        .step("keep other links out", Action::Rule(FirewallRule::Isolate(bridge.into())))
        .step("forward packets", Action::Sysctl(forward))
        .step("masquerade", Action::Rule(FirewallRule::Masquerade(masquerade)))
}

fn attach_plan(attachment: &Attachment, subnet: &Subnet, lease: &Lease) -> Result<Plan, Failure> {
    let address = lease.address.split('/').next().and_then(|address| address.parse::<Ipv4Addr>().ok());
    let address = address.filter(|_| lease.address.contains('/')).ok_or_else(|| {
        refuse(format!("the server leased `{}`, which is no address with a prefix length", lease.address))
            .kind(FailureKind::Other)
    })?;
    let [a, b, c, d] = address.octets();
    let mac = format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
    let name = attachment.if_name.clone();
    let peer = format!("wv{}", attachment.container.chars().take(11).collect::<String>());
    let bridge = link(&attachment.network);
    let gateway = subnet.gateway.to_string();
    let veth = Veth { name: name.clone(), peer: peer.clone(), bridge, mac: Some(mac.clone()), mtu: None };
    let cidr = lease.address.clone();
    let route = Route {
        place: Place::Container,
        dest: "0.0.0.0/0".into(),
        via: Some(gateway.clone()),
        link: Some(name.clone()),
    };
    let pin = PinSource { link: peer, mac: mac.clone(), address: address.to_string() };
    let mut plan = Plan::default()
        .step(format!("link {name}"), Action::Veth(veth))
        .step(
            format!("leased address {cidr}"),
            Action::Address(Address { place: Place::Container, link: name.clone(), cidr: cidr.clone() }),
        )
        .step(format!("default route by {gateway}"), Action::Route(route))
        .step("no other sender", Action::Rule(FirewallRule::PinSource(pin)));
    plan.interfaces.push(InterfaceResult { name, mac, addresses: vec![cidr], gateway: Some(gateway) });
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use wharf_sdk::Value;

    fn network() -> Network {
        Network {
            id: "0123456789abcdef".into(),
            name: "office".into(),
            subnets: vec![],
            internal: false,
            options: vec![],
        }
    }

    fn attachment() -> Attachment {
        Attachment {
            container: "fedcba9876543210".into(),
            network: network(),
            if_name: "eth0".into(),
            addresses: vec![],
            mac: None,
            ports: vec![],
        }
    }

    /// What a server that answers so is asked, and what comes of it.
    fn ask<T>(
        status: u16,
        body: &str,
        what: impl Fn(&Server<'_>) -> Result<T, Failure>,
    ) -> (Result<T, Failure>, String) {
        let asked = RefCell::new(String::new());
        let call = |token: &str, request: &remote::Request| {
            let body_of_request = String::from_utf8_lossy(&request.body);
            *asked.borrow_mut() = format!("{token} {} {} {body_of_request}", request.method, request.url);
            Ok(Response { status, headers: vec![], body: body.as_bytes().to_vec() })
        };
        let result = what(&Server { address: "http://ipam/v1/".into(), call: &call });
        (result, asked.into_inner())
    }

    #[test]
    fn a_lease_is_asked_for_with_the_token_and_given_back() {
        let (lease, asked) =
            ask(201, r#"{"address":"10.88.0.7/24"}"#, |server| server.lease("t", &attachment()));
        assert_eq!(lease.unwrap().address, "10.88.0.7/24");
        assert_eq!(asked, r#"t POST http://ipam/v1/networks/office/leases {"container":"fedcba9876543210"}"#);
        for status in [204, 404] {
            let (given_back, asked) = ask(status, "", |server| server.give_back("t", &attachment()));
            assert!(given_back.is_ok());
            assert_eq!(asked, "t-release DELETE http://ipam/v1/networks/office/leases/fedcba9876543210 ");
        }
    }

    #[test]
    fn what_the_server_says_reaches_the_person() {
        for (status, body, kind, said) in [
            (409, "network is full\nmore", FailureKind::Conflict, "was answered with 409: network is full"),
            (404, "", FailureKind::NotFound, "was answered with 404"),
            (503, "", FailureKind::Transient, "was answered with 503"),
            (200, "[]", FailureKind::Other, "answered with something else than expected"),
        ] {
            let failure = ask(status, body, |server| server.subnet("t", &network())).0.unwrap_err();
            assert_eq!(failure.kind, kind);
            assert!(failure.message().contains(said), "{}", failure.message());
        }
    }

    #[test]
    fn a_container_gets_the_leased_address() {
        let subnet = Subnet { subnet: "10.88.0.0/24".into(), gateway: [10, 88, 0, 1].into() };
        let lease = |address: &str| Lease { address: address.into() };
        let plan = attach_plan(&attachment(), &subnet, &lease("10.88.0.7/24")).unwrap();
        assert_eq!(plan.interfaces[0].addresses, ["10.88.0.7/24"]);
        assert_eq!(plan.interfaces[0].mac, "02:42:0a:58:00:07");
        assert_eq!(plan.steps.len(), 4);
        for wrong in ["10.88.0.7", "x/24", ""] {
            assert!(attach_plan(&attachment(), &subnet, &lease(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(network_plan("wh-x", &subnet).steps.len(), 5);
    }

    #[test]
    fn the_server_is_a_setting() {
        let settings = |text: &str| vec![("server".into(), Value::Text(text.into()))];
        assert_eq!(server(&settings("http://a/v1")).unwrap(), "http://a/v1/");
        assert!(server(&settings("a/v1")).is_err());
        assert_eq!(server(&vec![]).unwrap_err().message(), "no server is set");
    }
}
