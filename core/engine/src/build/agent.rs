//! `build --ssh`: an ssh agent of whoever builds, for the programs of a build.
//!
//! A program never gets the agent's own socket. It gets one of ours, whose owner and permission bits the
//! Dockerfile names, and behind it stands a thread that passes on the two requests that use a key: which
//! keys there are (11), and sign this (13). Whatever would change the agent is answered with a failure.
//!
//! Instead of an agent, whoever builds may name private keys in files: then one is started that knows them
//! (`agent/key.rs`).
//!
//! On the wire (draft-ietf-sshm-ssh-agent): each message is its length as four bytes, the highest first,
//! then that many bytes, of which the first says what it is.

mod key;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::net::{Shutdown, shutdown};

pub(super) use key::KeyAgent;

/// What names the agent of a session.
pub(super) const SOCKET_VARIABLE: &str = "SSH_AUTH_SOCK";

/// What agents themselves take no more than.
const LONGEST: u32 = 256 << 10;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is none in the session.
    #[error("invalid empty ssh agent socket: make sure {SOCKET_VARIABLE} is set")]
    NoSession,
    /// The id is empty.
    #[error("invalid --ssh `{0}`: expected default, ID, ID=SOCKET or ID=KEY[,KEY]")]
    Syntax(String),
    /// The socket.
    #[error("cannot use {path} as the socket of an ssh agent or as a key", path = .path.display())]
    Socket {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is neither.
    #[error("{path} is neither the socket of an ssh agent nor a private key", path = .path.display())]
    Neither {
        /// Which file.
        path: PathBuf,
    },
    /// An agent among keys.
    #[error("{path} is the socket of an ssh agent, which stands alone", path = .path.display())]
    Mixed {
        /// Which file.
        path: PathBuf,
    },
    /// OpenSSH is not here.
    #[error("cannot use the key {key}: there is no program ssh-agent")]
    NoProgram {
        /// Which key.
        key: String,
    },
    /// An agent of ours does not start.
    #[error("cannot start an ssh agent")]
    Program(#[source] io::Error),
    /// A key can not be used.
    #[error("cannot use the key {key}: {said}")]
    Unusable {
        /// Which key.
        key: String,
        /// Why not.
        said: String,
    },
    /// A RUN needs one that was not given.
    #[error("ssh `{id}`: not found")]
    NotGiven {
        /// Which one.
        id: String,
        /// One that was given, and is called nearly that.
        meant: Option<String>,
    },
}

impl AgentError {
    /// What to do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Neither { path } if path.extension().is_some_and(|end| end == "pub") => {
                Some(format!("name the private key: {}", path.with_extension("").display()))
            }
            Self::Mixed { .. } => Some("name keys only, or one agent".to_owned()),
            Self::NoProgram { .. } => Some("install OpenSSH's client, openssh-client on Debian".to_owned()),
            Self::Unusable { key, said } if said.contains("UNPROTECTED") || said.contains("too open") => {
                Some(format!("keep it for yourself: `chmod 600 {key}`"))
            }
            Self::Unusable { key, .. } => Some(format!(
                "give it to an agent, which asks for a passphrase: `eval $(ssh-agent); ssh-add {key}`, then build \
                 with `--ssh default`"
            )),
            Self::NotGiven { meant: Some(meant), .. } => Some(format!("did you mean {meant}?")),
            Self::NotGiven { id, .. } => {
                Some(format!("give it with `--ssh {id}`, `--ssh {id}=SOCKET` or `--ssh {id}=KEY`"))
            }
            Self::NoSession => {
                Some("start one with `eval $(ssh-agent)`, or write `--ssh ID=SOCKET`".to_owned())
            }
            _ => None,
        }
    }
}

/// Who answers for the keys of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// An agent that is there, at its socket.
    Socket(PathBuf),
    /// One that is started for these private keys.
    Keys(Vec<PathBuf>),
}

/// `default`, `ID`, `ID=SOCKET` or `ID=KEY[,KEY]`; with nothing else, the session's agent is meant.
///
/// # Errors
/// When there is no such socket, or a file is no private key.
pub fn find(text: &str, session: Option<PathBuf>) -> Result<(String, Agent), AgentError> {
    let (id, path) = text.split_once('=').unwrap_or((text, ""));
    if id.is_empty() {
        return Err(AgentError::Syntax(text.to_owned()));
    }
    let session = session.filter(|path| !path.as_os_str().is_empty());
    let agent = match path {
        "" => session.map(Agent::Socket).ok_or(AgentError::NoSession)?,
        // A comma may be part of a name.
        one if is_socket(Path::new(one)) => Agent::Socket(one.into()),
        keys => Agent::Keys(keys.split(',').map(PathBuf::from).collect()),
    };
    match &agent {
        Agent::Socket(path) if !is_socket(path) => private_key(path)?,
        Agent::Socket(_) => {}
        Agent::Keys(keys) => keys.iter().try_for_each(|key| private_key(key))?,
    }
    Ok((id.to_owned(), agent))
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Whether it looks like one; what it is worth, OpenSSH finds out when a step needs it.
fn private_key(path: &Path) -> Result<(), AgentError> {
    if is_socket(path) {
        return Err(AgentError::Mixed { path: path.to_owned() });
    }
    let failed = |source| AgentError::Socket { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(AgentError::Neither { path: path.to_owned() });
    }
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(64).read_to_end(&mut head)).map_err(failed)?;
    let head = String::from_utf8_lossy(&head);
    match head.starts_with("-----BEGIN ") && head.contains("PRIVATE KEY") {
        true => Ok(()),
        false => Err(AgentError::Neither { path: path.to_owned() }),
    }
}

/// Passes requests on for as long as it lives.
pub(super) struct Forward {
    listener: UnixListener,
    thread: Option<JoinHandle<()>>,
}

impl Forward {
    /// From a socket of ours to that of an agent.
    pub(super) fn start(listener: UnixListener, agent: PathBuf) -> io::Result<Self> {
        let own = listener.try_clone()?;
        let thread = std::thread::Builder::new().name("ssh agent".to_owned()).spawn(move || {
            while let Ok((client, _)) = own.accept() {
                let agent = agent.clone();
                // It ends with its client at the latest, and that ends with its container.
                std::thread::spawn(move || serve(client, &agent));
            }
        })?;
        Ok(Self { listener, thread: Some(thread) })
    }
}

/// Nobody can connect from here on.
impl Drop for Forward {
    fn drop(&mut self) {
        let woken = shutdown(&self.listener, Shutdown::Both);
        if let (Ok(()), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// A client that says nonsense, or an agent that is gone, ends the connection.
fn serve(mut client: UnixStream, agent: &Path) {
    let Ok(mut agent) = UnixStream::connect(agent) else { return };
    let _ = pass_on(&mut client, &mut agent);
}

fn pass_on(client: &mut (impl Read + Write), agent: &mut (impl Read + Write)) -> io::Result<()> {
    while let Some(request) = receive(client)? {
        let answer = match request.first() {
            Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)) => {
                send(agent, &request)?;
                receive(agent)?.ok_or(ErrorKind::UnexpectedEof)?
            }
            _ => vec![FAILURE],
        };
        send(client, &answer)?;
    }
    Ok(())
}

/// `None` is a closed connection.
fn receive(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes(length);
    if !(1..=LONGEST).contains(&length) {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut message = Vec::new();
    if from.take(length.into()).read_to_end(&mut message)? < length as usize {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}

fn send(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_be_bytes(), message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was said to it, and what it answers with.
    struct Talk<'a> {
        input: &'a [u8],
        output: Vec<u8>,
    }

    impl Read for Talk<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.input.read(buffer)
        }
    }

    impl Write for Talk<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.output.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn message(bytes: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        send(&mut message, bytes).unwrap();
        message
    }

    #[test]
    fn keys_are_used_and_never_changed() {
        // Which keys; forget all of them (19); add one (17).
        let asked = [message(&[11]), message(&[19]), message(&[17, 1, 2])].concat();
        let mut client = Talk { input: &asked, output: Vec::new() };
        let known = message(&[12, 0, 0, 0, 0]);
        let mut agent = Talk { input: &known, output: Vec::new() };

        pass_on(&mut client, &mut agent).unwrap();

        assert_eq!(agent.output, message(&[11]));
        assert_eq!(client.output, [known.clone(), message(&[5]), message(&[5])].concat());
    }

    #[test]
    fn nonsense_ends_the_connection() {
        for text in [&[0, 0, 0, 0][..], &[0xff, 0xff, 0xff, 0xff, 11], &[0, 0, 0, 9, 11]] {
            let mut client = Talk { input: text, output: Vec::new() };
            let mut agent = Talk { input: &[], output: Vec::new() };
            assert!(pass_on(&mut client, &mut agent).is_err(), "for {text:?}");
            assert_eq!((client.output, agent.output), (vec![], vec![]));
        }
    }

    #[test]
    fn an_agent_is_a_socket() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, key) = (dir.path().join("socket"), dir.path().join("id_rsa"));
        let _listener = UnixListener::bind(&socket).unwrap();
        std::fs::write(&key, "key").unwrap();
        let given = format!("work={}", socket.display());
        let at = Agent::Socket(socket.clone());
        assert_eq!(find(&given, None).unwrap(), ("work".to_owned(), at.clone()));
        assert_eq!(find("default", Some(socket.clone())).unwrap(), ("default".to_owned(), at));
        assert!(matches!(find("default", None), Err(AgentError::NoSession)));
        assert!(matches!(find("default", Some(PathBuf::new())), Err(AgentError::NoSession)));
        assert!(matches!(find("default", Some(dir.path().join("gone"))), Err(AgentError::Socket { .. })));
        assert!(matches!(find("=x", None), Err(AgentError::Syntax(_))));

        let named = |paths: &[&Path]| {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            find(&format!("default={}", paths.join(",")), None)
        };
        assert!(matches!(named(&[&key]), Err(AgentError::Neither { .. })));
        assert!(matches!(named(&[dir.path()]), Err(AgentError::Neither { .. })));
        std::fs::write(&key, "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
        let other = dir.path().join("other");
        std::fs::copy(&key, &other).unwrap();
        let keys = Agent::Keys(vec![key.clone(), other.clone()]);
        assert_eq!(named(&[&key, &other]).unwrap(), ("default".to_owned(), keys));
        assert!(matches!(named(&[&key, &socket]), Err(AgentError::Mixed { .. })));
        let public = key.with_extension("pub");
        std::fs::write(&public, "ssh-ed25519 AAAA").unwrap();
        let hint = named(&[&public]).unwrap_err().next_step();
        assert_eq!(hint, Some(format!("name the private key: {}", key.display())));
    }
}
