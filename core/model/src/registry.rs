//! How registries are reached, as the config says.

/// `[registry."PREFIX"]`: where images whose names begin so come from and go to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// A host, or a host and the beginning of a path, in whole components: `docker.io/library`.
    pub prefix: String,
    /// What stands in its place when a server is asked; the prefix itself without it.
    pub location: Option<String>,
    /// Asked before the registry itself, in this order; never pushed to.
    pub mirrors: Vec<String>,
    /// Whoever answers is believed, whatever certificate it has.
    pub insecure: bool,
    /// HTTP without TLS. Without a word of it: for this machine's own addresses only.
    pub plain_http: Option<bool>,
}

impl Route {
    /// Whether the route is for a repository, named with its host.
    pub fn covers(&self, repository: &str) -> bool {
        let rest = repository.strip_prefix(&self.prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_of_whole_components() {
        let route = |prefix: &str| Route { prefix: prefix.to_owned(), ..Route::default() };
        for (prefix, repository, covered) in [
            ("docker.io", "docker.io/library/a", true),
            ("docker.io/library", "docker.io/library/a", true),
            ("docker.io/library/a", "docker.io/library/a", true),
            ("docker.io/lib", "docker.io/library/a", false),
            ("docker", "docker.io/library/a", false),
        ] {
            assert_eq!(route(prefix).covers(repository), covered, "{prefix} {repository}");
        }
    }
}
