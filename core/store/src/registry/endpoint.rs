//! Where a repository is asked: the registry that its name says, its mirrors, and the scheme.
//!
//! `docker.io` is at `registry-1.docker.io`. TLS is spoken with everybody but this machine's own
//! addresses, unless the config says otherwise; an address of this machine that has a directory of
//! certificates, or port 443, speaks TLS as well.

use std::net::IpAddr;

use reqwest::Url;
use wharf_model::Reference;
use wharf_model::registry::Route;

use super::error::RegistryError;
use crate::record::repository;

/// Docker's own registry, in names of images.
pub const DOCKER: &str = "docker.io";
/// Where it is asked.
pub(super) const DOCKER_HOST: &str = "registry-1.docker.io";

/// A repository on one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Scheme, host and port.
    pub(super) base: Url,
    /// The name of the registry that logins are for: host and port.
    pub(super) registry: String,
    /// The path there.
    pub(super) repository: String,
    /// Any certificate will do.
    pub(super) insecure: bool,
    /// There is another place with the same, so that nobody waits long for this one.
    pub(super) is_mirror: bool,
}

impl Endpoint {
    /// An address below `/v2/<repository>/`.
    pub(super) fn url(&self, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{rest}", self.repository));
        url
    }

    /// As errors show it.
    pub(super) fn host(&self) -> String {
        shown(&self.base)
    }

    /// As errors show the repository.
    pub(super) fn full(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

/// Scheme, host and port.
pub(super) fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether two addresses are of the same server.
pub(super) fn same(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// An address of this machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    plain == "localhost"
        || plain.ends_with(".localhost")
        || plain.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Where to ask for an image: mirrors first, then the registry itself.
pub(super) fn to_pull(
    name: &Reference,
    routes: &[Route],
    has_certificates: &dyn Fn(&str) -> bool,
) -> Result<Vec<Endpoint>, RegistryError> {
    let route = route(name, routes);
    let mirrors = route.iter().flat_map(|route| &route.mirrors);
    let mut all = Vec::new();
    for mirror in mirrors {
        let below = below(name, &route.map(|route| route.prefix.clone()).unwrap_or_default());
        let mirror = endpoint(&joined(mirror, &below), routes, has_certificates)?;
        all.push(Endpoint { is_mirror: true, ..mirror });
    }
    all.push(to_push(name, routes, has_certificates)?);
    Ok(all)
}

/// Where to send an image.
pub(super) fn to_push(
    name: &Reference,
    routes: &[Route],
    has_certificates: &dyn Fn(&str) -> bool,
) -> Result<Endpoint, RegistryError> {
    let route = route(name, routes);
    let place = match route.and_then(|route| Some((route, route.location.as_ref()?))) {
        Some((route, location)) => joined(location, &below(name, &route.prefix)),
        None => repository(name),
    };
    let mut found = endpoint(&place, routes, has_certificates)?;
    if let Some(route) = route.filter(|route| route.location.is_some()) {
        // What is said of the prefix holds for where it leads, unless that has words of its own.
        found.insecure |= route.insecure;
        if let Some(plain) = route.plain_http {
            set_scheme(&mut found.base, plain);
        }
    }
    Ok(found)
}

/// Another machine's store, which knows images by their whole names.
pub(super) fn of_line(host: &str, name: &Reference) -> Result<Endpoint, RegistryError> {
    let failed =
        |error: url::ParseError| RegistryError::Setup { host: host.to_owned(), reason: error.to_string() };
    // An address of version 6 has brackets in a URL, and a machine whose name nobody knows has one there.
    let texts = [format!("http://{host}/"), format!("http://[{host}]/")];
    let base = texts.iter().find_map(|text| Url::parse(text).ok());
    let base = base.map_or_else(|| Url::parse("http://other-machine/"), Ok).map_err(failed)?;
    Ok(Endpoint {
        base,
        registry: host.to_owned(),
        repository: repository(name),
        insecure: false,
        is_mirror: false,
    })
}

/// A registry as such, by host and port.
pub(super) fn of_registry(
    registry: &str,
    routes: &[Route],
    has_certificates: &dyn Fn(&str) -> bool,
) -> Result<Endpoint, RegistryError> {
    endpoint(registry, routes, has_certificates)
}

/// The route with the longest prefix.
fn route<'r>(name: &Reference, routes: &'r [Route]) -> Option<&'r Route> {
    longest(&repository(name), routes)
}

fn longest<'r>(repository: &str, routes: &'r [Route]) -> Option<&'r Route> {
    routes.iter().filter(|route| route.covers(repository)).max_by_key(|route| route.prefix.len())
}

fn below(name: &Reference, prefix: &str) -> String {
    repository(name).strip_prefix(prefix).unwrap_or_default().trim_start_matches('/').to_owned()
}

fn joined(place: &str, below: &str) -> String {
    let place = place.trim_end_matches('/');
    if below.is_empty() { place.to_owned() } else { format!("{place}/{below}") }
}

/// `host[:port]/path`.
fn endpoint(
    place: &str,
    routes: &[Route],
    has_certificates: &dyn Fn(&str) -> bool,
) -> Result<Endpoint, RegistryError> {
    let (registry, path) = place.split_once('/').unwrap_or((place, ""));
    let server = if registry == DOCKER { DOCKER_HOST } else { registry };
    let route = longest(place, routes);
    let plain = match route.and_then(|route| route.plain_http) {
        Some(plain) => plain,
        None => speaks_plain(server) && !has_certificates(server),
    };
    let scheme = if plain { "http" } else { "https" };
    let base = Url::parse(&format!("{scheme}://{server}/"));
    let base =
        base.map_err(|error| RegistryError::Setup { host: server.to_owned(), reason: error.to_string() })?;
    Ok(Endpoint {
        base,
        registry: registry.to_owned(),
        repository: path.to_owned(),
        insecure: route.is_some_and(|route| route.insecure),
        is_mirror: false,
    })
}

fn speaks_plain(server: &str) -> bool {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !server.ends_with(']') => (host, port),
        _ => (server, ""),
    };
    is_loopback(host) && port != "443"
}

fn set_scheme(base: &mut Url, plain: bool) {
    // Between these two schemes a change always succeeds.
    let _ = base.set_scheme(if plain { "http" } else { "https" });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(name: &str, routes: &[Route]) -> Vec<String> {
        let name = name.parse().unwrap();
        let certificates = |host: &str| host == "localhost:5443";
        let all = to_pull(&name, routes, &certificates).unwrap();
        all.iter().map(|endpoint| endpoint.url("x").to_string()).collect()
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for (name, place) in [
            ("a", "https://registry-1.docker.io/v2/library/a/x"),
            ("h.io/b/a", "https://h.io/v2/b/a/x"),
            ("h.io:80/a", "https://h.io:80/v2/a/x"),
            ("localhost:5000/a", "http://localhost:5000/v2/a/x"),
            ("127.3.2.1:5000/a", "http://127.3.2.1:5000/v2/a/x"),
            ("[::1]:5000/a", "http://[::1]:5000/v2/a/x"),
            ("[::2]:5000/a", "https://[::2]:5000/v2/a/x"),
            ("localhost:443/a", "https://localhost/v2/a/x"),
            ("localhost:5443/a", "https://localhost:5443/v2/a/x"),
            ("localhost.evil.io/a", "https://localhost.evil.io/v2/a/x"),
        ] {
            assert_eq!(places(name, &[]), [place], "{name}");
        }
    }

    #[test]
    fn the_longest_prefix_says_where_to_go() {
        let routes = [
            Route {
                prefix: "docker.io".into(),
                mirrors: vec!["m.io/hub".into(), "localhost:1".into()],
                ..Route::default()
            },
            Route { prefix: "docker.io/mine".into(), location: Some("h.io/ours".into()), ..Route::default() },
            Route { prefix: "h.io".into(), plain_http: Some(true), ..Route::default() },
        ];
        assert_eq!(
            places("a", &routes),
            [
                "https://m.io/v2/hub/library/a/x",
                "http://localhost:1/v2/library/a/x",
                "https://registry-1.docker.io/v2/library/a/x"
            ]
        );
        assert_eq!(places("mine/b", &routes), ["http://h.io/v2/ours/b/x"]);
        assert_eq!(places("h.io/c", &routes), ["http://h.io/v2/c/x"]);
    }
}
