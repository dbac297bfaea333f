//! An image to another machine, or from there, without a registry: over `ssh`.
//!
//! ```text
//! push:  wharf (offers its store) -- ssh HOST wharf load --stdio NAME            (asks, and keeps)
//! load:  wharf (asks, and keeps)  -- ssh HOST wharf serve-registry --stdio NAME  (offers its store)
//! ```
//!
//! On the line is HTTP/2 with what registries are asked; whoever offers is the one that is read from. So a
//! layer that is there already does not travel, and everything is verified as it is with a registry.
//! Who may do this is `ssh`'s business, and that of whoever may run wharf on the other machine.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, ExitStatus};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;

use reqwest::Url;
use rustix::event::{PollFd, PollFlags, poll};
use wharf_model::hook::ImageTransfer;
use wharf_model::{Reference, ReferenceError};
use wharf_store::registry::{self, Line, Pulled, Session};
use wharf_store::{RecordError, ResolveError};

use super::pull::{PullImageError, PullListener};
use crate::Engine;
use crate::event::Entry;
use crate::hook::{AskedTransfer, HookError};

/// What shells say when there is no such program (POSIX, "Exit Status for Commands").
const NOT_FOUND: i32 = 127;
/// What `ssh` says when it did not get there.
const UNREACHED: i32 = 255;

/// An image on another machine: `ssh://[USER@]HOST[:PORT]/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// As whom; whatever `ssh` is configured to when it is not said.
    pub user: Option<String>,
    /// The machine.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
    /// The image there.
    pub name: Reference,
}

/// How the other machine is reached.
#[derive(Debug, Clone)]
pub struct Via {
    /// `ssh`, or what is used in its place, with its first arguments.
    pub ssh: Vec<String>,
    /// What starts wharf on the other machine, as a shell there understands it.
    pub wharf: String,
}

/// Why an image did not get to another machine, or from there.
#[derive(Debug, thiserror::Error)]
pub enum ElsewhereError {
    /// It is no such address.
    #[error("{0} is not ssh://[USER@]HOST[:PORT]/NAME")]
    Address(String),
    /// The name in it is not one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// The image is not here.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A hook refused.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The program that should get there can not be started.
    #[error("cannot start {program}")]
    Start {
        /// Which.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// There is no line to it.
    #[error("cannot make a line to {host}")]
    Line {
        /// The machine.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// It ended with an error, which it has told on standard error.
    #[error("{host} did not {what}: {status}")]
    There {
        /// The machine.
        host: String,
        /// What it was asked to do.
        what: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// What came is not right, or can not be kept.
    #[error(transparent)]
    Pull(#[from] PullImageError),
    /// The records.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl ElsewhereError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        let step = match self {
            Self::Address(_) => "for example ssh://server.example/app:v1",
            Self::Start { .. } => "install OpenSSH's client, or name another program in WHARF_SSH",
            Self::There { status, host, .. } => match status.code() {
                Some(NOT_FOUND) => {
                    return Some(format!(
                        "install wharf on {host} where its shell finds it, or say in WHARF_REMOTE how to start it there"
                    ));
                }
                Some(UNREACHED) => return Some(format!("see whether `ssh {host}` works")),
                _ => return None,
            },
            Self::Hook(error) => return error.next_step(),
            Self::Pull(error) => return error.next_step(),
            _ => return None,
        };
        Some(step.to_owned())
    }
}

impl FromStr for Elsewhere {
    type Err = ElsewhereError;

    /// A user or a host that `ssh` would take for an option is none.
    fn from_str(text: &str) -> Result<Self, ElsewhereError> {
        let wrong = || ElsewhereError::Address(text.to_owned());
        let url = Url::parse(text).map_err(|_| wrong())?;
        let plain = |part: &str| !part.is_empty() && !part.starts_with('-') && !part.contains('%');
        let host = url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        let host = host.filter(|host| plain(host)).ok_or_else(wrong)?;
        let user = Some(url.username()).filter(|user| !user.is_empty());
        let whole = url.scheme() == "ssh" && url.password().is_none() && url.query().is_none();
        if !whole || url.fragment().is_some() || user.is_some_and(|user| !plain(user)) {
            return Err(wrong());
        }
        let name = url.path().trim_start_matches('/').parse()?;
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port: url.port(), name })
    }
}

impl Elsewhere {
    /// `ssh` with what wharf is to do there. A reference holds nothing that a shell would understand.
    fn command(&self, via: &Via, verb: &str) -> Result<Command, ElsewhereError> {
        let (program, arguments) = via.ssh.split_first().ok_or_else(|| ElsewhereError::Start {
            program: "ssh".to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        let mut command = Command::new(program);
        command.args(arguments).arg("-T");
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &self.user {
            command.args(["-l", user]);
        }
        command.arg("--").arg(&self.host).arg(format!("{} {verb} {}", via.wharf, self.name));
        Ok(command)
    }

    fn ended(&self, what: &'static str, status: ExitStatus) -> Result<(), ElsewhereError> {
        if status.success() {
            return Ok(());
        }
        Err(ElsewhereError::There { host: self.host.clone(), what, status })
    }

    fn line_failed(&self, source: io::Error) -> ElsewhereError {
        ElsewhereError::Line { host: self.host.clone(), source }
    }
}

impl Engine {
    /// Sends an image to another machine, where it gets the same name. What that machine has to say
    /// goes to standard error.
    ///
    /// # Errors
    /// When there is none of that name here, a hook refuses, or the other machine does not take it.
    pub fn push_elsewhere(&'static self, to: &Elsewhere, via: &Via) -> Result<(), ElsewhereError> {
        let image = self.store.resolve(&to.name.to_string())?;
        let transfer = ImageTransfer {
            reference: to.name.to_string(),
            digest: Some(image.manifest),
            layers: image.layers.iter().map(|layer| layer.blob.unwrap_or(layer.diff_id)).collect(),
        };
        let mut asked = AskedTransfer::Push(transfer);
        self.ask_aloud(&mut asked)?;
        let (ours, theirs) = UnixStream::pair().map_err(|source| to.line_failed(source))?;
        let mut command = to.command(via, "load --stdio")?;
        let mut there = start(&mut command, theirs)?;
        drop(command);
        // How it ended over there says more than how the line did.
        let _ = registry::serve_line(&self.offer(vec![to.name.clone()]), ours);
        let status = there.wait().map_err(|source| to.line_failed(source))?;
        to.ended("take it", status)?;
        self.note([Entry::image("push", &image.id, Some(to.name.familiar()))]);
        self.tell_hooks(&asked);
        Ok(())
    }

    /// Brings an image from another machine, with its name there.
    ///
    /// # Errors
    /// When the other machine does not give it, a hook refuses it, or it can not be kept.
    pub fn load_elsewhere(
        &self,
        from: &Elsewhere,
        via: &Via,
        show: &mut PullListener<'_>,
    ) -> Result<Pulled, ElsewhereError> {
        let mut command = from.command(via, "serve-registry --stdio")?;
        let mut ended = Ok(None);
        let pulled = self.pull_over(&from.name, &from.host, show, |stream| {
            ended = start(&mut command, stream).map(Some);
            Ok(())
        });
        drop(command);
        let status = ended?.map(|mut there| there.wait()).transpose();
        let status = status.map_err(|source| from.line_failed(source))?;
        match (pulled, status) {
            (Err(ElsewhereError::Pull(_)), Some(status)) if is_telling(status) => {
                from.ended("give it", status)?;
                Err(ElsewhereError::Address(from.host.clone()))
            }
            (pulled, _) => pulled,
        }
    }

    /// Brings an image from whoever is at the other end of standard input and output.
    ///
    /// # Errors
    /// As [`Engine::load_elsewhere`].
    pub fn load_from_line(
        &self,
        name: &Reference,
        input: File,
        output: File,
        show: &mut PullListener<'_>,
    ) -> Result<Pulled, ElsewhereError> {
        let (mut input, mut output) = (input, output);
        self.pull_over(name, "the other machine", show, |stream| {
            let (mut to, mut from) = (stream.try_clone()?, stream);
            // They end with the line, or with the process.
            thread::spawn(move || {
                let _ = io::copy(&mut input, &mut to);
                to.shutdown(std::net::Shutdown::Write)
            });
            thread::spawn(move || io::copy(&mut from, &mut output));
            Ok(())
        })
    }

    /// Pulls through a socket; whoever connects to it is given to `connect`.
    fn pull_over(
        &self,
        name: &Reference,
        host: &str,
        show: &mut PullListener<'_>,
        connect: impl FnOnce(UnixStream) -> io::Result<()> + Send,
    ) -> Result<Pulled, ElsewhereError> {
        let failed = |source| ElsewhereError::Line { host: host.to_owned(), source };
        let dir = tempfile::tempdir_in(self.run_root()).map_err(failed)?;
        let socket = dir.path().join("line");
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let (stopped, stop) = io::pipe().map_err(failed)?;
        let session = Arc::new(Session::over(Line { socket, host: host.to_owned() }));
        let (pulled, connected) = thread::scope(|scope| {
            let connecting = scope.spawn(|| accept(listener, stopped.into()).map(connect));
            let pulled = self.pull_through(session, name, None, show);
            drop(stop);
            (pulled, connecting.join())
        });
        if let Ok(Some(Err(source))) = connected {
            return Err(failed(source));
        }
        Ok(pulled?)
    }
}

/// Whether it did not end because the line was closed on our side.
fn is_telling(status: ExitStatus) -> bool {
    matches!(status.code(), Some(code) if code != 0)
}

fn start(command: &mut Command, stream: UnixStream) -> Result<std::process::Child, ElsewhereError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| ElsewhereError::Start { program: program.clone(), source };
    let input = OwnedFd::from(stream);
    let output = input.try_clone().map_err(failed)?;
    command.stdin(input).stdout(output).spawn().map_err(failed)
}

/// The one who connects; `None` when `stop` ends before.
fn accept(listener: UnixListener, stop: OwnedFd) -> Option<UnixStream> {
    let mut wanted = [
        PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
    ];
    while let Err(rustix::io::Errno::INTR) = poll(&mut wanted, None) {}
    let comes = wanted[0].revents().contains(PollFlags::IN);
    if comes { listener.accept().ok().map(|(stream, _)| stream) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read: Elsewhere = "ssh://root@h.io:2222/server:v1".parse().unwrap();
        assert_eq!((read.user.as_deref(), read.host.as_str(), read.port), (Some("root"), "h.io", Some(2222)));
        assert_eq!(read.name.familiar(), "server:v1");
        let via = Via { ssh: vec!["ssh".into()], wharf: "sudo wharf".into() };
        let command = read.command(&via, "load --stdio").unwrap();
        let words: Vec<_> = command.get_args().map(|word| word.to_str().unwrap()).collect();
        let remote = "sudo wharf load --stdio docker.io/library/server:v1";
        assert_eq!(words, ["-T", "-p", "2222", "-l", "root", "--", "h.io", remote]);
        let six: Elsewhere = "ssh://[::1]/ghcr.io/a/b".parse().unwrap();
        assert_eq!((six.host.as_str(), six.name.to_string().as_str()), ("::1", "ghcr.io/a/b:latest"));
    }

    #[test]
    fn what_ssh_would_take_for_an_option_is_no_host() {
        for text in [
            "ssh://-oProxyCommand=touch/a",
            "ssh://-lroot@h/a",
            "ssh://u:p@h/a",
            "ssh:///a",
            "ssh://h",
            "ssh://h/",
            "ssh://h/a?b",
            "ssh://h/a;reboot",
            "ssh://h/$(reboot)",
            "ssh://%2doProxy/a",
            "http://h/a",
            "h/a",
        ] {
            assert!(text.parse::<Elsewhere>().is_err(), "{text}");
        }
    }
}
