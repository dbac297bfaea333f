//! Sources that are addresses.

use percent_encoding::percent_decode_str;
use wharf_sdk::{Failure, refuse};

/// What a file from the web is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The name.
    pub(super) name: String,
    /// The address names none.
    pub(super) is_default: bool,
}

/// Whether a source is an address, of a file or a git repository.
pub(super) fn is_remote(source: &str) -> bool {
    is_http(source) || is_git(source)
}

/// Whether a source is the address of a git repository: `git@host:`, `git://`, `ssh://`, or
/// `https://.../x.git` with a fragment or without.
pub(super) fn is_git(source: &str) -> bool {
    let other_scheme = ["git@", "git://", "ssh://"].iter().any(|scheme| source.starts_with(scheme));
    other_scheme || is_http(source) && path_of(source).trim_end_matches('/').ends_with(".git")
}

/// The last name of the address's path; `index.html` when it has none, as wget does.
///
/// # Errors
/// When the address has no host.
pub(super) fn file_name(url: &str) -> Result<Named, Failure> {
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    if host.is_empty() || host.starts_with(['/', '?', '#']) {
        return Err(refuse(format!("`{url}` has no host")));
    }
    let raw = path_of(url).rsplit('/').next().unwrap_or_default();
    let decoded = percent_decode_str(raw).decode_utf8_lossy().into_owned();
    let plain = !matches!(decoded.as_str(), "" | "." | "..") && !decoded.contains(['/', '\0']);
    if plain {
        return Ok(Named { name: decoded, is_default: false });
    }
    Ok(Named { name: "index.html".into(), is_default: true })
}

fn is_http(source: &str) -> bool {
    let scheme = source.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"))
}

/// The path of an address, without query and fragment; empty when there is none.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    rest.split_once('/').map_or("", |(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_the_address() {
        for (url, name, is_default) in [
            ("http://www.baidu.com", "index.html", true),
            ("http://www.baidu.com/", "index.html", true),
            ("https://a.b/x/y.tar.gz?z=/q#f", "y.tar.gz", false),
            ("https://a.b/dir/", "index.html", true),
            ("https://a.b?x=/y", "index.html", true),
            ("https://a.b/a%20b", "a b", false),
            ("https://a.b/%2e%2e", "index.html", true),
            ("https://a.b/a%2fb", "index.html", true),
        ] {
            assert_eq!(file_name(url), Ok(Named { name: name.into(), is_default }), "for {url}");
        }
        assert!(file_name("http:///x").is_err());
    }

    #[test]
    fn addresses_are_told_from_paths_and_repositories() {
        for (source, remote, git) in [
            ("http://a/b", true, false),
            ("HTTPS://a/b", true, false),
            ("https://github.com/a/b.git", true, true),
            ("https://github.com/a/b.git#main:docs", true, true),
            ("git@github.com:a/b", true, true),
            ("b.git", false, false),
            ("httpd/conf", false, false),
        ] {
            assert_eq!((is_remote(source), is_git(source)), (remote, git), "for {source}");
        }
    }
}
