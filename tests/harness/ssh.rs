//! Another machine as far as `ssh` can tell: OpenSSH's server on a port of the loopback, whose sessions find a
//! wharf of their own.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Sandbox, eventually, free_port, host, program};

/// It runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Ssh {
    process: Child,
    directory: TempDir,
    port: u16,
}

/// The server separates privileges with a user that its package makes, and keeps its helpers and an empty
/// directory at places that were compiled in. It gets all of that in a mount namespace of its own.
const START: &str = "\
mkdir -p /run/sshd
grep -q ^sshd: /etc/passwd || mount --bind \"$1/passwd\" /etc/passwd
[ ! -d \"$2/usr/lib/openssh\" ] || mount --bind \"$2/usr/lib/openssh\" /usr/lib/openssh
exec \"$3\" -D -e -f \"$1/config\"";

impl Ssh {
    /// A machine whose wharf is that of a sandbox; `None`, said aloud, where there is no server.
    pub(crate) fn to(there: &Sandbox) -> Option<Self> {
        let Some((tools, server)) = server() else {
            eprintln!("skipped: needs OpenSSH's server, which ./dev test brings");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let (path, port) = (directory.path().display().to_string(), free_port());
        for name in ["host", "user"] {
            let file = format!("{path}/{name}");
            host(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &file]);
        }
        fs::write(directory.path().join("config"), config(&path, port, there)).unwrap();
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let users = users + "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n";
        fs::write(directory.path().join("passwd"), users).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let process = Command::new("unshare")
            .args(["--mount", "--propagation", "slave", "sh", "-ec", START, "sh", &path])
            .args([&tools, &server])
            .env("LD_LIBRARY_PATH", libraries(&tools))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { process, directory, port };
        eventually("sshd listens", || {
            let log = fs::read_to_string(server.directory.path().join("log")).unwrap_or_default();
            assert!(!log.contains("fatal") && !log.contains("terminating"), "sshd: {log}");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(server)
    }

    /// The address of an image there.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("ssh://root@127.0.0.1:{}/{image}", self.port)
    }

    /// What `WHARF_SSH` is set to, so that nothing of whoever runs the test is used.
    pub(crate) fn client(&self) -> String {
        let path = self.directory.path().display();
        format!(
            "ssh -F none -i {path}/user -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        )
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn config(path: &str, port: u16, there: &Sandbox) -> String {
    let mut text = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {path}/host\nPidFile none\nAuthorizedKeysFile {path}/user.pub\n\
         StrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nPrintLastLog no\nSetEnv"
    );
    let command = there.command::<&str>([]);
    let variables = command.get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)));
    for (name, value) in variables.filter(|(name, _)| *name != "WHARF_SSH") {
        let programs = program().parent().unwrap().display().to_string();
        let value = if name == "PATH" { format!("{programs}:{value}") } else { value.to_owned() };
        text += &format!(" {name}={value}");
    }
    text + "\n"
}

/// Where `./dev test` unpacks it, or where it is installed; and below which directory.
fn server() -> Option<(PathBuf, PathBuf)> {
    let tools = std::env::var_os("WHARF_TOOLS").map(|tools| PathBuf::from(tools).join("sshd"));
    let places = tools.into_iter().chain([PathBuf::from("/")]);
    places.map(|root| (root.clone(), root.join("usr/sbin/sshd"))).find(|(_, server)| server.exists())
}

/// The libraries that came with it.
fn libraries(tools: &Path) -> String {
    let below = |path: &str| fs::read_dir(tools.join(path)).into_iter().flatten().flatten();
    let found = ["lib", "usr/lib"].into_iter().flat_map(below).map(|entry| entry.path());
    let found = found.filter(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    found.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}
