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
use wharf_model::{Platform, Reference, ReferenceError};
use wharf_store::registry::{self, Line, PullError, Pulled, RegistryError, Session};
use wharf_store::{RecordError, ResolveError};

use super::line::pass_on;
use super::pull::{PullImageError, PullListener};
use crate::Engine;
use crate::event::Entry;
use crate::hook::{AskedTransfer, HookError};

/// What shells say when there is no such program (POSIX, "Exit Status for Commands").
const NOT_FOUND: i32 = 127;
/// What the other machine is asked for by a load.
const GIVE: &str = "give it";
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
    /// The other one says nothing but errors.
    pub quiet: bool,
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
    /// Its platform's name is nothing to say to a shell.
    #[error("cannot send an image for the platform {0:?}: it is more than letters, digits, `.`, `-` and `_`")]
    Platform(String),
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
    /// It has no such image, what came is not right, or it can not be kept.
    #[error("cannot load {} from {host}", name.familiar())]
    Load {
        /// Which.
        name: Reference,
        /// The machine.
        host: String,
        /// Why not.
        source: Box<PullError>,
    },
    /// What came over standard input is not right, or can not be kept.
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
            Self::There { status, host, what } => match status.code() {
                Some(NOT_FOUND) => {
                    return Some(format!(
                        "install wharf on {host} where its shell finds it, or say in WHARF_REMOTE how to start it there"
                    ));
                }
                Some(UNREACHED) => return Some(format!("see whether `ssh {host}` works")),
                _ if *what == GIVE => return Some(what_is_there(host)),
                _ => return None,
            },
            Self::Hook(error) => return error.next_step(),
            Self::Pull(error) => return error.next_step(),
            Self::Load { source, host, .. } => match &**source {
                PullError::Registry(RegistryError::Missing { .. }) => return Some(what_is_there(host)),
                other => return other.next_step(),
            },
            _ => return None,
        };
        Some(step.to_owned())
    }
}

fn what_is_there(host: &str) -> String {
    format!("`ssh {host} wharf images` shows what is there")
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
    /// `ssh` with what wharf is to do there. A reference holds nothing that a shell would understand; a
    /// platform may be what a stranger's image says of itself, so it is looked at.
    fn command(
        &self,
        via: &Via,
        verb: &[&str],
        platform: Option<&Platform>,
    ) -> Result<Command, ElsewhereError> {
        let mut words: Vec<String> = verb.iter().map(|&word| word.to_owned()).collect();
        words.insert(0, via.wharf.clone());
        words.push(self.name.to_string());
        if let Some(platform) = platform.map(Platform::to_string) {
            let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-".contains(it);
            if !platform.chars().all(is_plain) {
                return Err(ElsewhereError::Platform(platform));
            }
            words.push(format!("--platform={platform}"));
        }
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
        command.arg("--").arg(&self.host).arg(words.join(" "));
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
    /// goes to standard error. Of an index all images go that are here, each over a line of its own, unless
    /// one platform is asked for.
    ///
    /// # Errors
    /// When there is none of that name here, a hook refuses, or the other machine does not take it.
    pub fn push_elsewhere(
        &'static self,
        to: &Elsewhere,
        via: &Via,
        platform: Option<&Platform>,
    ) -> Result<(), ElsewhereError> {
        let image = self.store.resolve_for(&to.name.familiar(), platform)?;
        if !image.names.contains(&to.name) {
            return Err(ResolveError::Unknown { name: to.name.familiar() }.into());
        }
        let transfer = ImageTransfer {
            reference: to.name.to_string(),
            digest: Some(image.manifest),
            layers: image.layers.iter().map(|layer| layer.blob.unwrap_or(layer.diff_id)).collect(),
        };
        let mut asked = AskedTransfer::Push(transfer);
        self.ask_aloud(&mut asked)?;
        for platform in self.platforms_to_send(&to.name, platform)? {
            self.send_over(to, via, platform.as_ref())?;
        }
        self.note([Entry::transfer("push", &to.name)]);
        self.tell_hooks(&asked);
        Ok(())
    }

    /// The images that go; `None` is the only one there is. The one for this machine comes last, as pulls
    /// of all platforms have it.
    fn platforms_to_send(
        &self,
        name: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Vec<Option<Platform>>, ElsewhereError> {
        if platform.is_some() || self.store.index_of(name)?.is_none() {
            return Ok(vec![platform.cloned()]);
        }
        let variants = self.store.variants(name)?;
        let mut platforms: Vec<_> = variants.iter().map(|image| image.config.platform()).collect();
        platforms.sort_by_key(|platform| platform.is_like(&Platform::host()));
        Ok(platforms.into_iter().map(Some).collect())
    }

    fn send_over(
        &'static self,
        to: &Elsewhere,
        via: &Via,
        platform: Option<&Platform>,
    ) -> Result<(), ElsewhereError> {
        let (ours, theirs) = UnixStream::pair().map_err(|source| to.line_failed(source))?;
        let verb: &[&str] = if via.quiet { &["load", "--quiet", "--stdio"] } else { &["load", "--stdio"] };
        let mut there = start(to.command(via, verb, platform)?, theirs)?;
        // How it ended over there says more than how the line did.
        let _ = registry::serve_line(&self.offer(vec![to.name.clone()]), ours);
        let status = there.wait().map_err(|source| to.line_failed(source))?;
        to.ended("take it", status)
    }

    /// Brings an image from another machine, with its name there; without a platform the one for this
    /// machine, where there are several.
    ///
    /// # Errors
    /// When the other machine does not give it, a hook refuses it, or it can not be kept.
    pub fn load_elsewhere(
        &self,
        from: &Elsewhere,
        via: &Via,
        platform: Option<&Platform>,
        show: &mut PullListener<'_>,
    ) -> Result<Pulled, ElsewhereError> {
        let command = from.command(via, &["serve-registry", "--stdio"], None)?;
        let mut ended = Ok(None);
        let pulled = self.pull_over((&from.name, platform), &from.host, show, |stream| {
            ended = start(command, stream).map(Some);
            Ok(())
        });
        let status = ended?.map(|mut there| there.wait()).transpose();
        let status = status.map_err(|source| from.line_failed(source))?;
        // What ssh or the other wharf ended with says more than that the line did.
        if matches!(pulled, Err(ElsewhereError::Pull(_)))
            && let Some(status) = status.filter(|status| is_telling(*status))
        {
            from.ended(GIVE, status)?;
        }
        pulled.map_err(|error| match error {
            ElsewhereError::Pull(PullImageError::Pull { name, source }) => {
                ElsewhereError::Load { name, host: from.host.clone(), source: Box::new(source) }
            }
            other => other,
        })
    }

    /// Brings an image from whoever is at the other end of standard input and output.
    ///
    /// # Errors
    /// As [`Engine::load_elsewhere`].
    pub fn load_from_line(
        &self,
        wanted: (&Reference, Option<&Platform>),
        line: (File, File),
        show: &mut PullListener<'_>,
    ) -> Result<Pulled, ElsewhereError> {
        self.pull_over(wanted, "the other machine", show, |stream| pass_on(line, stream).map(drop))
    }

    /// Pulls through a socket; whoever connects to it is given to `connect`.
    fn pull_over(
        &self,
        (name, platform): (&Reference, Option<&Platform>),
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
            let connecting = scope.spawn(|| {
                let stream = accept(listener, stopped.into());
                // Nobody else connects; whoever kills us from now on leaves no directory behind.
                drop(dir);
                stream.map(connect)
            });
            let pulled = self.pull_through(session, name, platform, show);
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

/// The command is used up, and with it our copy of its end of the line: so the line ends when the program does.
fn start(mut command: Command, stream: UnixStream) -> Result<std::process::Child, ElsewhereError> {
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
        let via = Via { ssh: vec!["ssh".into()], wharf: "sudo wharf".into(), quiet: false };
        let command = read.command(&via, &["load", "--stdio"], None).unwrap();
        let words: Vec<_> = command.get_args().map(|word| word.to_str().unwrap()).collect();
        let remote = "sudo wharf load --stdio docker.io/library/server:v1";
        assert_eq!(words, ["-T", "-p", "2222", "-l", "root", "--", "h.io", remote]);
        let six: Elsewhere = "ssh://[::1]/ghcr.io/a/b".parse().unwrap();
        assert_eq!((six.host.as_str(), six.name.to_string().as_str()), ("::1", "ghcr.io/a/b:latest"));
    }

    #[test]
    fn a_platform_is_not_said_to_a_shell_as_a_stranger_wrote_it() {
        let to: Elsewhere = "ssh://h/a".parse().unwrap();
        let via = Via { ssh: vec!["ssh".into()], wharf: "wharf".into(), quiet: false };
        let arm = Platform { os: "linux".into(), architecture: "arm".into(), variant: Some("v7".into()) };
        let command = to.command(&via, &["load", "--stdio"], Some(&arm)).unwrap();
        let last = command.get_args().last().unwrap().to_str().unwrap();
        assert_eq!(last, "wharf load --stdio docker.io/library/a:latest --platform=linux/arm/v7");
        let hostile = Platform { architecture: "amd64;reboot".into(), ..arm };
        let error = to.command(&via, &["load"], Some(&hostile)).unwrap_err().to_string();
        assert!(error.contains("amd64;reboot"), "{error}");
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
