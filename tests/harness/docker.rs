//! A docker daemon of one's own, where `dockerd` is installed: in namespaces of its own, on a root that goes with the
//! test. One that runs already is never asked.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{has, host, sandbox::workshop};

/// It runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Docker {
    /// Takes the daemon, and what that started, with it when it ends.
    namespaces: Child,
    /// Images and containers.
    root: TempDir,
    /// Short, because it holds sockets.
    run_root: TempDir,
}

/// What the daemon writes outside of its roots goes to a copy of `/etc`. It makes no bridge and no rules.
const START: &str = "cp -a /etc \"$1/etc\" && mount --bind \"$1/etc\" /etc && exec dockerd \
     --data-root \"$1/data\" --exec-root \"$2/exec\" --pidfile \"$2/pid\" -H \"unix://$2/socket\" \
     --storage-driver vfs --bridge none --iptables=false --ip-forward=false";

impl Docker {
    /// `None`, said aloud, where it is missing or does not start.
    pub(crate) fn start() -> Option<Self> {
        if !has("dockerd") || !has("docker") {
            eprintln!("skipped: dockerd or docker is not installed");
            return None;
        }
        let root = tempfile::Builder::new().prefix("docker").tempdir_in(workshop()).unwrap();
        let run_root = tempfile::Builder::new().prefix("wt-").tempdir_in("/run").unwrap();
        let log = std::fs::File::create(root.path().join("log")).unwrap();
        let namespaces = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--cgroup",
                "--ipc",
                "--uts",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["sh", "-c", START, "dockerd"])
            .args([root.path(), run_root.path()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let docker = Self { namespaces, root, run_root };
        let end = Instant::now() + Duration::from_secs(20);
        while !docker.ask(&["version"]).status.success() {
            if Instant::now() > end {
                let log = std::fs::read_to_string(docker.root.path().join("log")).unwrap_or_default();
                eprintln!("skipped: dockerd does not start here: {log}");
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(docker)
    }

    /// Types a command; it has to succeed.
    #[track_caller]
    pub(crate) fn types(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn ask(&self, args: &[&str]) -> Output {
        let mut docker = Command::new("docker");
        docker.args(args).env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        // The builder that needs nothing but the daemon, and no login of whoever runs the tests.
        docker.env("DOCKER_BUILDKIT", "0").env("DOCKER_CONFIG", self.root.path());
        docker.output().unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.run_root.path().join("socket")
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // It is the first process of its namespace: everything in it ends with it.
        let daemon = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.namespaces.id()));
        for pid in daemon.unwrap_or_default().split_whitespace() {
            host(&["kill", "-TERM", pid]);
        }
        let end = Instant::now() + Duration::from_secs(10);
        while matches!(self.namespaces.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.namespaces.kill();
        let _ = self.namespaces.wait();
    }
}
