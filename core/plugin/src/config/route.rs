//! `[registry."PREFIX"]`: where images whose names begin so come from and go to.

use wharf_model::registry::Route;

use super::ConfigError;
use super::document::Node;

const KEYS: [&str; 4] = ["location", "mirrors", "insecure", "plain-http"];

/// One table.
pub(super) fn route(prefix: &str, node: &Node<'_>) -> Result<Route, ConfigError> {
    let table = node.table()?;
    table.only(&KEYS)?;
    if !is_place(prefix) {
        let help =
            "write a registry's host, or a host and the beginning of a path, such as `docker.io/library`";
        return Err(
            table.wrong(format!("`{prefix}` is not the beginning of an image's name"), Some(help.into()))
        );
    }
    let flag = |name: &str| table.get(name).map(Node::boolean).transpose();
    let place = |node: &Node<'_>, text: &str| match is_place(text) {
        true => Ok(text.to_owned()),
        false => Err(node.wrong(
            format!("`{text}` is not a place of images"),
            Some("write HOST[:PORT][/PATH], without a scheme".into()),
        )),
    };
    let location = table.get("location").map(|node| place(node, node.text()?)).transpose()?;
    let mirrors = match table.get("mirrors") {
        Some(node) => node.texts()?.into_iter().map(|text| place(node, text)).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    Ok(Route {
        prefix: prefix.to_owned(),
        location,
        mirrors,
        insecure: flag("insecure")?.unwrap_or(false),
        plain_http: flag("plain-http")?,
    })
}

/// `HOST[:PORT][/PATH]`: what an image's name may begin with.
fn is_place(text: &str) -> bool {
    let (host, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
    let is_host = host.contains(['.', ':']) || host == "localhost";
    let name = format!("{host}/{}", path.unwrap_or("image"));
    let reference = name.parse::<wharf_model::Reference>().ok();
    is_host
        && !text.contains('@')
        && reference.is_some_and(|it| it.path() == path.unwrap_or("image") || host == "docker.io")
        && path.is_none_or(|path| !path.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_with_or_without_a_path() {
        for text in
            ["docker.io", "docker.io/library", "h.io:5000/a/b", "localhost", "127.0.0.1:5000", "[::1]:5000/a"]
        {
            assert!(is_place(text), "{text}");
        }
        for text in
            ["", "docker", "https://h.io", "h.io/", "h.io/A", "h.io/a:1", "h.io/a@sha256:1", "library/a"]
        {
            assert!(!is_place(text), "{text}");
        }
    }
}
