//! Sources that are git repositories.
//!
//! ```text
//! https://host/name.git#reference:directory        git@host:name.git#reference
//! https://host/name.git?branch=main&subdir=docs    also ref, tag, commit, checksum, keep-git-dir
//! ```

use percent_encoding::percent_decode_str;
use wharf_sdk::{Failure, refuse};

/// What an address asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Repository {
    /// Without query and fragment.
    pub(super) url: String,
    /// A branch, a tag or a commit.
    pub(super) reference: Option<String>,
    /// Without slashes around it; empty for the root.
    pub(super) directory: String,
    /// What the commit must begin with.
    pub(super) checksum: Option<String>,
    /// `.git` stays or goes.
    pub(super) keep_git_dir: Option<bool>,
}

impl Repository {
    /// # Errors
    /// Names the part that is wrong.
    pub(super) fn parse(address: &str) -> Result<Self, Failure> {
        let (rest, fragment) = address.split_once('#').unwrap_or((address, ""));
        let (url, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut repository = Self { url: url.into(), ..Self::default() };
        repository.refer(reference)?;
        repository.descend(directory)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            repository.set(key, &value).map_err(|failure| failure.help(HELP))?;
        }
        Ok(repository)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Failure> {
        match key {
            "ref" => self.refer(value),
            "branch" => self.refer(&format!("refs/heads/{value}")),
            "tag" => self.refer(&format!("refs/tags/{value}")),
            "subdir" => self.descend(value),
            "commit" | "checksum" => commit(value).map(|commit| self.checksum = Some(commit)),
            "keep-git-dir" => switch(key, value).map(|on| self.keep_git_dir = Some(on)),
            "submodules" => match switch(key, value)? {
                true => Ok(()),
                false => Err(refuse("submodules can not be left out")),
            },
            other => Err(refuse(format!("unexpected query \"{other}\" in the address of a repository"))),
        }
    }

    fn refer(&mut self, name: &str) -> Result<(), Failure> {
        if name.is_empty() {
            return Ok(());
        }
        if self.reference.as_ref().is_some_and(|before| before != name) {
            return Err(refuse(format!("{} is asked for two references", self.url)));
        }
        self.reference = Some(name.into());
        Ok(())
    }

    fn descend(&mut self, directory: &str) -> Result<(), Failure> {
        let mut parts: Vec<&str> = Vec::new();
        for part in directory.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        let directory = parts.join("/");
        if !directory.is_empty() && !self.directory.is_empty() && self.directory != directory {
            return Err(refuse(format!("{} is asked for two directories", self.url)));
        }
        if !directory.is_empty() {
            self.directory = directory;
        }
        Ok(())
    }
}

const HELP: &str = "known: ref, branch, tag, subdir, commit, checksum and keep-git-dir";

fn switch(key: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(refuse(format!("{key}={value}: expected true or false"))),
    }
}

/// The beginning of a commit's name, in lower case.
///
/// # Errors
/// When it is not one.
pub(super) fn commit(text: &str) -> Result<String, Failure> {
    let hex = (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex {
        return Ok(text.to_ascii_lowercase());
    }
    Err(refuse(format!("`{text}` is not a commit")).help("write at least 7 of its hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(url: &str, reference: &str, directory: &str) -> Repository {
        let reference = Some(reference.to_owned()).filter(|name| !name.is_empty());
        Repository { url: url.into(), reference, directory: directory.into(), ..Repository::default() }
    }

    #[test]
    fn addresses_name_references_and_directories() {
        for (address, expected) in [
            ("https://a/b.git", repository("https://a/b.git", "", "")),
            ("https://a/b.git#v1", repository("https://a/b.git", "v1", "")),
            ("https://a/b.git#v1:/x/../y/", repository("https://a/b.git", "v1", "y")),
            ("git@a:b.git#:docs", repository("git@a:b.git", "", "docs")),
            ("https://a/b.git?branch=x&subdir=d%20e", repository("https://a/b.git", "refs/heads/x", "d e")),
            ("https://a/b.git?tag=1#refs/tags/1:d", repository("https://a/b.git", "refs/tags/1", "d")),
            ("https://a/b.git?submodules=true&ref=m", repository("https://a/b.git", "m", "")),
        ] {
            assert_eq!(Repository::parse(address), Ok(expected), "for {address}");
        }
        let pinned = Repository::parse("https://a/b.git?commit=ABCDEF0&keep-git-dir=1").unwrap();
        assert_eq!((pinned.checksum.as_deref(), pinned.keep_git_dir), (Some("abcdef0"), Some(true)));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named() {
        for (address, said) in [
            ("https://a/b.git?x=1", "unexpected query \"x\" in the address of a repository"),
            ("https://a/b.git?ref=a#b", "https://a/b.git is asked for two references"),
            ("https://a/b.git?subdir=a#b:c", "https://a/b.git is asked for two directories"),
            ("https://a/b.git?commit=xyz", "`xyz` is not a commit"),
            ("https://a/b.git?keep-git-dir=no", "keep-git-dir=no: expected true or false"),
            ("https://a/b.git?submodules=0", "submodules can not be left out"),
        ] {
            assert_eq!(Repository::parse(address).unwrap_err().message(), said, "for {address}");
        }
    }
}
