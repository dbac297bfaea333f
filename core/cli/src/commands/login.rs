use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use wharf_engine::Engine;
use wharf_engine::image::{DOCKER, Keeper, LoginError};

use crate::globals::Globals;
use crate::output::{self, say};
use crate::report::Report;

/// Bytes of a password on standard input.
const LONGEST: u64 = 64 << 10;

/// Log in to a registry; docker's login counts as well
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// User
    #[arg(short, long)]
    username: Option<String>,
    /// Password, for others to see in the list of processes
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// HOST[:PORT]; docker's own without it
    server: Option<String>,
}

/// Log out from a registry
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    /// HOST[:PORT]; docker's own without it
    server: Option<String>,
}

impl Login {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        if self.password_stdin && self.username.is_none() {
            let message = "Must provide --username with --password-stdin";
            return Err(Report::message(1, message).hint("name the user with `--username USER`"));
        }
        let engine = globals.engine()?;
        let registry = registry(self.server.as_deref());
        if self.password.is_some() {
            say("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        }
        if self.username.is_none() && self.password.is_none() && is_logged_in(engine, registry) {
            output::lines(["Login Succeeded"])?;
            return Ok(0);
        }
        let (user, password) = self.ask()?;
        let keeper = engine.log_in(registry, &user, &password).map_err(failed)?;
        if let Keeper::File(path) = keeper {
            say(&format!(
                "WARNING! Your password is stored unencrypted in {}. A program that keeps logins, named as \
                 \"credsStore\" there, removes this warning.",
                path.display()
            ));
        }
        output::lines(["Login Succeeded"])?;
        Ok(0)
    }

    fn ask(&self) -> Result<(String, String), Report> {
        let user = match &self.username {
            Some(user) => user.clone(),
            None => line("Username: ")?,
        };
        let password = match &self.password {
            Some(password) => password.clone(),
            None if self.password_stdin => from_stdin()?,
            None => hidden("Password: ")?,
        };
        if user.is_empty() || password.is_empty() {
            return Err(Report::message(1, "a user and a password are needed, and neither may be empty"));
        }
        Ok((user, password))
    }
}

impl Logout {
    pub(crate) fn run(&self, globals: &Globals) -> Result<u8, Report> {
        let engine = globals.engine()?;
        let registry = registry(self.server.as_deref());
        let was = engine.log_out(registry).map_err(failed)?;
        let words = if was { "Removing login credentials for" } else { "Not logged in to" };
        output::lines([format!("{words} {registry}")])?;
        Ok(0)
    }
}

/// Host and port; people also write whole addresses.
fn registry(server: Option<&str>) -> &str {
    let server = server.unwrap_or(DOCKER);
    let plain = server.split_once("://").map_or(server, |(_, rest)| rest);
    let host = plain.split('/').next().unwrap_or_default();
    if matches!(host, "" | "index.docker.io" | "registry-1.docker.io") { DOCKER } else { host }
}

/// A login that is not good any more is asked for anew.
fn is_logged_in(engine: &Engine, registry: &str) -> bool {
    match engine.is_logged_in(registry) {
        Ok(true) => {
            say("Authenticating with existing credentials...");
            true
        }
        Ok(false) => false,
        Err(error) => {
            say(&format!("the login that is kept is not good any more: {error}"));
            false
        }
    }
}

fn terminal() -> Result<(), Report> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Report::message(1, "Cannot perform an interactive login from a non TTY device")
        .hint("name the user with --username, and give the password with --password-stdin"))
}

fn line(prompt: &str) -> Result<String, Report> {
    terminal()?;
    let mut out = io::stderr().lock();
    write!(out, "{prompt}")?;
    out.flush()?;
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Without showing what is typed.
fn hidden(prompt: &str) -> Result<String, Report> {
    terminal()?;
    let stdin = io::stdin();
    let before = tcgetattr(stdin.as_fd()).map_err(io::Error::from)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(stdin.as_fd(), OptionalActions::Flush, &silent).map_err(io::Error::from)?;
    let typed = line(prompt);
    let restored = tcsetattr(stdin.as_fd(), OptionalActions::Now, &before);
    say("");
    restored.map_err(io::Error::from)?;
    typed
}

/// The line feed at the end is the shell's.
fn from_stdin() -> Result<String, Report> {
    let mut text = String::new();
    io::stdin().lock().take(LONGEST).read_to_string(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn failed(error: LoginError) -> Report {
    let hint = error.next_step();
    let report = Report::failed(error);
    hint.into_iter().fold(report, Report::hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_its_host_and_port() {
        for (typed, found) in [
            (None, "docker.io"),
            (Some("https://index.docker.io/v1/"), "docker.io"),
            (Some("h.io:5000"), "h.io:5000"),
            (Some("https://h.io/v2/"), "h.io"),
            (Some("h.io/team"), "h.io"),
        ] {
            assert_eq!(registry(typed), found);
        }
    }
}
