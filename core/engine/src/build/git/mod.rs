//! The files of a git repository, for ADD and as a build context.
//!
//! The host's `git` does the work, in an environment of its own: no configuration of the user or the
//! host, no hooks, no questions, no programs that a repository names, and only the protocols https,
//! http, git and ssh. What a name stands for is asked in every build; the commit is part of the cache
//! key, and it is fetched, without its history, only when the step is carried out.
//!
//! The same commit gives the same bytes: files are 0644 or 0755 and as old as the commit; where
//! `.git` is kept, logs, hooks and what tells when and where it was made are gone from it.

mod address;
mod program;
#[cfg(test)]
mod tests;
mod tidy;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

pub(super) use address::{Address, without_password};
use program::Git;

use super::fetch::Scratch;
use super::provenance::Material;
use super::request::BuildError;
use crate::{Engine, home};

/// Why a repository's files can not be had.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program is not installed.
    #[error("cannot fetch {address}: the program `git` is not installed")]
    NoProgram {
        /// The repository.
        address: String,
    },
    /// Something that would be read as an option, or a protocol that is not allowed.
    #[error("{address}: {cause}")]
    Address {
        /// As written.
        address: String,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// git failed.
    #[error("cannot {doing} {address}: {said}")]
    Failed {
        /// Completes "cannot ...".
        doing: &'static str,
        /// The repository, with what was asked for.
        address: String,
        /// Its own words.
        said: String,
    },
    /// There is no such branch, tag or commit.
    #[error("{address}: the repository has no such branch, tag or commit")]
    NoReference {
        /// The repository, with what was asked for.
        address: String,
    },
    /// It is another commit.
    #[error("{address} is commit {found}, expected {expected}")]
    Checksum {
        /// The repository, with what was asked for.
        address: String,
        /// As promised; may be the beginning only.
        expected: String,
        /// As it is.
        found: String,
    },
    /// A file of the working tree.
    #[error("{address}: cannot use {path}", path = .path.display())]
    Keep {
        /// The repository, with what was asked for.
        address: String,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl GitError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::NoProgram { .. } => Some("install the package git".to_owned()),
            Self::Failed { said, .. } if said.contains("could not read Username") => {
                Some("a private repository takes its token in the address: https://TOKEN@host/...".to_owned())
            }
            Self::NoReference { .. } => Some("`git ls-remote ADDRESS` lists what there is".to_owned()),
            _ => None,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) url: String,
    /// A branch, a tag or a commit; the default branch without it.
    pub(super) reference: Option<String>,
    /// What the commit's name must begin with.
    pub(super) checksum: Option<String>,
    /// `.git` stays.
    pub(super) keep_git_dir: bool,
}

/// What that is at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pinned {
    source: Source,
    /// All of its name.
    pub(super) commit: String,
    /// What the server calls it: `refs/heads/main`, or the commit itself.
    wanted: String,
}

impl Source {
    /// For messages: without a password.
    fn shown(&self) -> String {
        let url = address::without_password(&self.url);
        match &self.reference {
            Some(reference) => format!("{url}#{reference}"),
            None => url,
        }
    }

    fn check(&self) -> Result<(), GitError> {
        let wrong = |cause| Err(GitError::Address { address: self.shown(), cause });
        if !address::is_allowed(&self.url) {
            return wrong("only https, http, git and ssh repositories can be fetched");
        }
        if self
            .reference
            .as_ref()
            .is_some_and(|name| name.starts_with('-') || name.contains(['\n', '\0', ' ']))
        {
            return wrong("that is no name of a branch, a tag or a commit");
        }
        Ok(())
    }

    /// Asks the repository what the reference stands for; a whole commit is not asked about.
    pub(super) fn pin(self) -> Result<Pinned, GitError> {
        self.check()?;
        let (commit, wanted) = match self.reference.as_deref().filter(|name| is_commit(name)) {
            Some(commit) => (commit.to_lowercase(), commit.to_lowercase()),
            None => self.look_up()?,
        };
        match &self.checksum {
            Some(expected) if !commit.starts_with(expected.as_str()) => {
                Err(GitError::Checksum { address: self.shown(), expected: expected.clone(), found: commit })
            }
            _ => Ok(Pinned { source: self, commit, wanted }),
        }
    }

    fn look_up(&self) -> Result<(String, String), GitError> {
        let name = self.reference.as_deref().unwrap_or("HEAD");
        let pattern = format!("{name}^{{}}");
        let shown = self.shown();
        let listing = Git::anywhere(&shown).run("reach", ["ls-remote", "--", &self.url, name, &pattern])?;
        chosen(&listing, name).ok_or(GitError::NoReference { address: shown })
    }
}

/// The hex digits of SHA-1 or SHA-256.
fn is_commit(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The commit that a name stands for, and its whole name: what is written in full, then a branch,
/// then a tag. A tag that is an object of its own is listed a second time with what it points to.
fn chosen(listing: &str, name: &str) -> Option<(String, String)> {
    let lines: Vec<(&str, &str)> = listing.lines().filter_map(|line| line.split_once('\t')).collect();
    let find = |full: &str| {
        let commit = |name: &str| lines.iter().find(|(_, other)| *other == name).map(|(commit, _)| *commit);
        let found = commit(&format!("{full}^{{}}")).or_else(|| commit(full))?;
        is_commit(found).then(|| (found.to_owned(), full.to_owned()))
    };
    let full =
        if name == "HEAD" { name.to_owned() } else { format!("refs/{}", name.trim_start_matches("refs/")) };
    let branch = format!("refs/heads/{}", name.trim_start_matches("refs/heads/"));
    let tag = format!("refs/tags/{}", name.trim_start_matches("refs/tags/"));
    [full, branch, tag].iter().find_map(|full| find(full))
}

/// The files of a commit, in a directory that goes with this.
#[derive(Debug)]
pub(super) struct Checkout {
    directory: Scratch,
    shown: String,
}

impl Checkout {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path of the repository with its links followed, none of which may lead out of it.
    pub(super) fn inside(&self, path: &Path) -> Result<PathBuf, GitError> {
        let keep = |source| GitError::Keep { address: self.shown.clone(), path: path.to_owned(), source };
        let top = fs::canonicalize(self.path()).map_err(keep)?;
        let found = fs::canonicalize(top.join(path)).map_err(keep)?;
        if found.starts_with(&top) {
            return Ok(found);
        }
        Err(GitError::Address { address: self.shown.clone(), cause: "a link leads out of the repository" })
    }

    pub(super) fn open(&self) -> Result<OwnedFd, BuildError> {
        let path = self.path();
        home::open(path).map_err(|error| BuildError::File { path: path.to_owned(), source: error.into() })
    }
}

impl Pinned {
    /// What it is, for whoever asks what a build was made of.
    pub(super) fn material(&self) -> Material {
        Material::commit(&self.source.url, self.source.reference.as_deref(), &self.commit)
    }

    /// What goes into a cache key beside the op itself.
    pub(super) fn key(&self) -> &str {
        &self.commit
    }

    /// Fetches the commit into a new directory.
    pub(super) fn check_out(&self, engine: &Engine) -> Result<Checkout, BuildError> {
        let directory = Scratch::make(engine)?;
        let shown = self.source.shown();
        let keep = |path: &Path| {
            let path = path.to_owned();
            let address = shown.clone();
            move |source| GitError::Keep { address, path, source }
        };
        let git = Git::at(directory.path(), &shown);
        self.fill(&git)?;
        let time = git.run("read", ["log", "-1", "--format=%ct", &self.commit])?;
        let time = time.trim().parse().unwrap_or(0);
        if self.source.keep_git_dir {
            tidy::repositories(&git)?;
        } else {
            tidy::remove_repositories(directory.path()).map_err(keep(directory.path()))?;
        }
        tidy::settle(directory.path(), time).map_err(keep(directory.path()))?;
        Ok(Checkout { directory, shown })
    }

    fn fill(&self, git: &Git<'_>) -> Result<(), GitError> {
        let format = if self.commit.len() == 64 { "sha256" } else { "sha1" };
        let format = format!("--object-format={format}");
        git.run("begin", ["init", "--quiet", "--template=", &format, "."])?;
        git.run("begin", ["remote", "add", "origin", &self.source.url])?;
        self.fetch(git)?;
        git.run("check out", ["checkout", "--quiet", "--force", "--detach", &self.commit, "--"])?;
        if git.directory().join(".gitmodules").exists() {
            self.fetch_submodules(git)?;
        }
        Ok(())
    }

    /// One commit where the server lets us; else, as for a server that only has files, everything.
    fn fetch(&self, git: &Git<'_>) -> Result<(), GitError> {
        let of_tag = format!("{0}:{0}", self.wanted);
        let wanted = if self.wanted.starts_with("refs/tags/") { &of_tag } else { &self.wanted };
        let shallow = ["fetch", "--quiet", "--force", "--no-tags", "--depth=1", "--", "origin", wanted];
        let first = git.run("fetch", shallow);
        if first.is_ok() && self.is_there(git) {
            return Ok(());
        }
        let all =
            ["fetch", "--quiet", "--force", "--tags", "--", "origin", "+refs/heads/*:refs/remotes/origin/*"];
        git.run("fetch", all)?;
        if self.is_there(git) {
            return Ok(());
        }
        first?;
        Err(GitError::NoReference { address: self.source.shown() })
    }

    fn is_there(&self, git: &Git<'_>) -> bool {
        git.run("read", ["cat-file", "-e", &format!("{}^{{commit}}", self.commit)]).is_ok()
    }

    fn fetch_submodules(&self, git: &Git<'_>) -> Result<(), GitError> {
        let update = ["submodule", "--quiet", "update", "--init", "--recursive", "--force"];
        let shallow = git.run("fetch the submodules of", update.into_iter().chain(["--depth=1"]));
        shallow.or_else(|_| git.run("fetch the submodules of", update)).map(drop)
    }
}
