//! Private keys in files: an ssh agent that knows them, for as long as a build needs it.
//!
//! The agent is OpenSSH's own, which reads every kind of key there is. It runs a shell that gives it the keys,
//! says where it listens, and waits for the end of its input; then, and when there is a key that can not be
//! read, it ends the agent. So the agent ends with the build, whatever ends that. Nobody is asked for a
//! passphrase.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::AgentError;

/// What the agent runs; its arguments are the keys. Ctrl-C is for the build, which ends the input. The
/// agent has the build's signal mask, in which what would ask it to end may be blocked.
const SCRIPT: &str = "trap '' INT\n\
                      ssh-add -q -- \"$@\" < /dev/null && printf '%s\\n' \"$SSH_AUTH_SOCK\" && cat > /dev/null\n\
                      kill -KILL \"$SSH_AGENT_PID\"\n\
                      rm -f \"$SSH_AUTH_SOCK\" && rmdir \"${SSH_AUTH_SOCK%/*}\" 2> /dev/null";

/// An agent of ours.
#[derive(Debug)]
pub(in crate::build) struct KeyAgent {
    program: Child,
    socket: PathBuf,
}

impl KeyAgent {
    /// One that knows these keys.
    pub(in crate::build) fn start(keys: &[PathBuf]) -> Result<Self, AgentError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => AgentError::NoProgram { key: shown(keys) },
            _ => AgentError::Program(source),
        };
        let mut program = Command::new("ssh-agent")
            .args(["sh", "-c", SCRIPT, "sh"])
            .args(keys)
            .env_remove("SSH_AUTH_SOCK")
            .env("SSH_ASKPASS", "false")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut line = String::new();
        if let Some(output) = program.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(AgentError::Program)?;
        }
        let agent = Self { program, socket: Path::new(line.trim_end()).to_owned() };
        if line.is_empty() { Err(agent.refused(keys)) } else { Ok(agent) }
    }

    pub(in crate::build) fn socket(&self) -> &Path {
        &self.socket
    }

    fn refused(mut self, keys: &[PathBuf]) -> AgentError {
        let mut text = String::new();
        if let Some(errors) = self.program.stderr.take() {
            // What was read until it broke off is as good as any.
            let _ = errors.take(4096).read_to_string(&mut text);
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('@'));
        let said: Vec<&str> = lines.collect();
        let said = if said.is_empty() { "it may have a passphrase".to_owned() } else { said.join("; ") };
        AgentError::Unusable { key: shown(keys), said }
    }
}

/// The end of its input ends it.
impl Drop for KeyAgent {
    fn drop(&mut self) {
        drop(self.program.stdin.take());
        let _ = self.program.wait();
    }
}

fn shown(keys: &[PathBuf]) -> String {
    keys.iter().map(|key| key.display().to_string()).collect::<Vec<_>>().join(", ")
}
