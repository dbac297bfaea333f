//! The program of a process and what it may do, read from the spec before the fork, so that a spec
//! that makes no sense fails early and the child has little left to think about.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxSeccomp, PosixRlimit, Process};
use rustix::fs::{Gid, Mode, Uid};
use rustix::process::DumpableBehavior;
use rustix::termios::Winsize;

use super::error::{CHDIR, SpawnError};
use crate::message::{Failure, Named};
use crate::{caps, defaults, limits, seccomp, sys};

/// A program, ready to be executed.
#[derive(Debug)]
pub(crate) struct Program {
    argv: Vec<CString>,
    envp: Vec<CString>,
    /// Directories of the container's `PATH`.
    search: Vec<PathBuf>,
    cwd: PathBuf,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    umask: u32,
    capabilities: caps::Sets,
    no_new_privileges: bool,
    seccomp: Option<seccomp::Filter>,
    rlimits: Vec<PosixRlimit>,
    oom_score_adj: Option<i32>,
    console_size: Option<Winsize>,
}

impl Program {
    /// Reads it from a spec.
    pub(crate) fn new(process: &Process, seccomp: Option<&LinuxSeccomp>) -> Result<Self, SpawnError> {
        let user = process.user();
        if [user.uid(), user.gid()].contains(&u32::MAX) {
            return Err(SpawnError::Invalid("4294967295 is not a user or group".to_owned()));
        }
        let args = process.args().as_deref().unwrap_or_default();
        if args.is_empty() {
            return Err(SpawnError::Invalid("no command".to_owned()));
        }
        let env = process.env().as_deref().unwrap_or_default();
        let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(defaults::PATH);
        Ok(Self {
            argv: c_strings(args)?,
            envp: c_strings(env)?,
            search: path
                .split(':')
                .map(|dir| PathBuf::from(if dir.is_empty() { "." } else { dir }))
                .collect(),
            cwd: process.cwd().clone(),
            uid: user.uid(),
            gid: user.gid(),
            groups: user.additional_gids().clone().unwrap_or_default(),
            umask: user.umask().unwrap_or(0o022),
            capabilities: caps::Sets::new(process.capabilities().as_ref()),
            no_new_privileges: process.no_new_privileges() == Some(true),
            seccomp: seccomp.map(seccomp::compile).transpose()?,
            rlimits: process.rlimits().clone().unwrap_or_default(),
            oom_score_adj: process.oom_score_adj(),
            console_size: process.console_size().map(|size| Winsize {
                ws_row: size.height().try_into().unwrap_or(u16::MAX),
                ws_col: size.width().try_into().unwrap_or(u16::MAX),
                ws_xpixel: 0,
                ws_ypixel: 0,
            }),
        })
    }

    /// Where it starts.
    pub(crate) fn cwd(&self) -> &PathBuf {
        &self.cwd
    }

    /// Whom it runs as.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// Of its terminal.
    pub(crate) fn console_size(&self) -> Option<Winsize> {
        self.console_size
    }

    /// What the kernel ends first; needs the host's `/proc`.
    pub(crate) fn set_oom_score(&self) -> Result<(), Failure> {
        self.oom_score_adj.map_or(Ok(()), limits::oom_score_adj)
    }

    /// Changes to the working directory, which must be inside the root (CVE-2024-21626).
    pub(crate) fn change_directory(&self) -> Result<(), Failure> {
        rustix::process::chdir(&self.cwd).at(CHDIR, &self.cwd)?;
        let now = sys::process::getcwd().at(CHDIR, &self.cwd)?;
        if now.first() == Some(&b'/') {
            return Ok(());
        }
        let now = PathBuf::from(std::ffi::OsString::from_vec(now));
        Err(Failure::text(CHDIR, Some(&self.cwd), format!("{} is outside of the container", now.display())))
    }

    /// Gives up everything that the program shall not have.
    ///
    /// Without `no_new_privileges` the kernel takes a filter only from the privileged, so it comes
    /// before they are dropped; with it, it comes last.
    pub(crate) fn confine(&self) -> Result<(), Failure> {
        limits::apply(&self.rlimits)?;
        new_session_keyring()?;
        if self.no_new_privileges {
            rustix::thread::set_no_new_privs(true).step("set no_new_privs")?;
        } else {
            self.filter()?;
        }
        self.capabilities.bound()?;
        self.change_user()?;
        self.capabilities.apply()?;
        if self.no_new_privileges {
            self.filter()?;
        }
        // Changing the user made the process dumpable, and this memory is the engine's.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide the memory")?;
        rustix::process::umask(Mode::from_raw_mode(self.umask & 0o777));
        Ok(())
    }

    fn change_user(&self) -> Result<(), Failure> {
        let step = "change the user";
        rustix::thread::set_keep_capabilities(true).step(step)?;
        let groups: Vec<_> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        rustix::thread::set_thread_groups(&groups).step("set the supplementary groups")?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid).step(step)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).step(step)?;
        rustix::thread::set_keep_capabilities(false).step(step)
    }

    fn filter(&self) -> Result<(), Failure> {
        match &self.seccomp {
            Some(filter) => filter.install().step("install the seccomp filter"),
            None => Ok(()),
        }
    }

    /// Becomes the program. Looks names without a slash up in the container's own `PATH`.
    pub(crate) fn execute(&self) -> Result<Infallible, Failure> {
        let step = "execute the program";
        let name = &self.argv[0];
        let shown = PathBuf::from(std::ffi::OsString::from_vec(name.as_bytes().to_vec()));
        if name.as_bytes().contains(&b'/') {
            return sys::process::execve(name, &self.argv, &self.envp).at(step, shown);
        }
        let mut denied = None;
        for directory in self.search.iter().filter(|_| !name.is_empty()) {
            let path = directory.join(&shown);
            let Ok(file) = CString::new(path.clone().into_os_string().into_vec()) else { continue };
            let Err(err) = sys::process::execve(&file, &self.argv, &self.envp);
            match err.raw_os_error() {
                // The file is there: its interpreter is what is missing.
                Some(libc::ENOENT) if path.is_file() => return Err(Failure::io(step, Some(&path), &err)),
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                Some(libc::EACCES) => denied = denied.or(Some((path, err))),
                _ => return Err(Failure::io(step, Some(&path), &err)),
            }
        }
        Err(match denied {
            Some((path, err)) => Failure::io(step, Some(&path), &err),
            None => Failure::io(step, Some(&shown), &std::io::Error::from_raw_os_error(libc::ENOENT)),
        })
    }
}

/// Without one of its own the process would see the keys of whoever started it. Some kernels have no
/// keyrings, some hosts forbid them: then there is nothing to see.
fn new_session_keyring() -> Result<(), Failure> {
    match sys::process::join_session_keyring() {
        Err(err) if matches!(err.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => Ok(()),
        other => other.step("make a session keyring"),
    }
}

fn c_strings(words: &[String]) -> Result<Vec<CString>, SpawnError> {
    let word = |word: &String| {
        CString::new(word.as_str()).map_err(|_| SpawnError::Invalid(format!("{word:?} has a NUL in it")))
    };
    words.iter().map(word).collect()
}
