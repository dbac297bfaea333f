//! Addresses of repositories as people write them for a build context:
//! `https://host/repository.git#reference:directory`.

use super::Source;

const SCHEMES: [&str; 4] = ["https://", "http://", "git://", "ssh://"];

/// A repository, and the directory of it that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) source: Source,
    /// Empty for its root.
    pub(crate) directory: String,
}

impl Address {
    /// `None` when it is not the address of a repository but a path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
        // As people have typed it since before docker knew other hosts.
        let of_github = format!("https://{}.git", url.trim_end_matches(".git"));
        let url = if url.starts_with("github.com/") { &of_github } else { url };
        let is_file = url.starts_with("http://") || url.starts_with("https://");
        let is_git = !is_file || url.split('?').next()?.trim_end_matches('/').ends_with(".git");
        if !is_allowed(url) || !is_git {
            return None;
        }
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let source = Source {
            url: url.to_owned(),
            reference: Some(reference.to_owned()).filter(|name| !name.is_empty()),
            checksum: None,
            keep_git_dir: false,
        };
        Some(Self { source, directory: plain(directory)? })
    }
}

/// A directory below the root, without `.` and `..`.
fn plain(directory: &str) -> Option<String> {
    let parts: Vec<&str> = directory.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.contains(&"..")).then(|| parts.join("/"))
}

/// Whether it has one of the schemes, or is ssh's `user@host:path`.
pub(super) fn is_allowed(url: &str) -> bool {
    let scheme = SCHEMES.iter().any(|scheme| {
        let rest = url.strip_prefix(scheme);
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['-', '/']))
    });
    scheme || is_scp_like(url)
}

fn is_scp_like(url: &str) -> bool {
    let Some((host, path)) = url.split_once(':') else { return false };
    let Some((user, host)) = host.split_once('@') else { return false };
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    word(user) && word(host) && !path.is_empty() && !path.starts_with('-')
}

/// `https://user:***@host/...`
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host_end = rest.find('/').unwrap_or(rest.len());
    match rest[..host_end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}{}", &rest[host_end..]),
        None => url.to_owned(),
    }
}
