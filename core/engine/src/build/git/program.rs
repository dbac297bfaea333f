//! The program `git`, in an environment of its own.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::GitError;

/// Every setting that could make a repository run something, and those that change its bytes.
const SETTINGS: [&str; 16] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.autocrlf=false",
    "core.symlinks=true",
    "core.fileMode=true",
    "credential.helper=",
    "init.defaultBranch=main",
    "advice.detachedHead=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.version=2",
    "safe.directory=*",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
];
/// Neither the keys nor the settings of whoever runs the engine: a Dockerfile must not speak with
/// them to a host of its choice.
const SSH: &str = "ssh -F none -o BatchMode=yes -o ConnectTimeout=30 -o IdentityFile=none";
const LONGEST: usize = 2000;

/// Runs it in one directory, about one repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct Git<'a> {
    directory: &'a Path,
    shown: &'a str,
}

impl<'a> Git<'a> {
    /// In no repository.
    pub(super) fn anywhere(shown: &'a str) -> Self {
        Self { directory: Path::new("/"), shown }
    }

    pub(super) fn at(directory: &'a Path, shown: &'a str) -> Self {
        Self { directory, shown }
    }

    pub(super) fn directory(&self) -> &'a Path {
        self.directory
    }

    /// What it prints; `doing` completes "cannot ...".
    pub(super) fn run<S: AsRef<OsStr>>(
        &self,
        doing: &'static str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String, GitError> {
        let output = self.command(arguments).output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => GitError::NoProgram { address: self.shown.to_owned() },
            _ => self.failed(doing, error.to_string()),
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(self.failed(doing, said(&output.stderr)))
    }

    fn failed(&self, doing: &'static str, said: String) -> GitError {
        GitError::Failed { doing, address: self.shown.to_owned(), said }
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("git");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.args(arguments).current_dir(self.directory).stdin(Stdio::null()).env_clear();
        for kept in
            ["PATH", "http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE"]
        {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CEILING_DIRECTORIES", self.directory)
            .env("GIT_ALLOW_PROTOCOL", "https:http:git:ssh")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("SSH_ASKPASS", "true")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("GIT_SSH_COMMAND", SSH);
        command
    }
}

/// The last lines, in one, without what could move a cursor.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(LONGEST)..]).into_owned();
    let lines = text.lines().map(|line| line.trim().trim_start_matches("fatal: ").to_owned());
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    let joined = lines.join("; ");
    let plain: String = joined.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    if plain.is_empty() { "git gave no reason".to_owned() } else { plain }
}
