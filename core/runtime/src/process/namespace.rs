//! Which namespaces a new process gets, and which it joins.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::error::SpawnError;
use crate::message::{Failure, Named};
use crate::parent::PidNamespace;
use crate::{net, sys};

/// The namespaces of a spec.
#[derive(Debug)]
pub(crate) struct Namespaces {
    new: UnshareFlags,
    /// A time namespace is made where the kernel can.
    time: bool,
    new_pid: bool,
    joined: Vec<Joined>,
    joined_pid: Option<File>,
    /// `CLOCK monotonic|boottime`, seconds, nanoseconds.
    time_offsets: String,
    hostname: Option<String>,
    domainname: Option<String>,
}

#[derive(Debug)]
struct Joined {
    kind: LinkNameSpaceType,
    path: PathBuf,
    fd: OwnedFd,
}

impl Namespaces {
    /// Reads them from a spec and opens those to join.
    pub(crate) fn new(spec: &Spec, netns: Option<BorrowedFd<'_>>) -> Result<Self, SpawnError> {
        let linux =
            spec.linux().as_ref().ok_or_else(|| SpawnError::Invalid("no linux section".to_owned()))?;
        let mut all = Self {
            new: UnshareFlags::empty(),
            time: false,
            new_pid: false,
            joined: Vec::new(),
            joined_pid: None,
            time_offsets: String::new(),
            hostname: spec.hostname().clone(),
            domainname: spec.domainname().clone(),
        };
        for namespace in linux.namespaces().iter().flatten() {
            match (namespace.typ(), namespace.path()) {
                (LinuxNamespaceType::Network, _) if netns.is_some() => {}
                (kind, None) => all.make(kind)?,
                (kind, Some(path)) => all.join(kind, path)?,
            }
        }
        if let Some(netns) = netns {
            let path = PathBuf::from("network");
            let fd = netns
                .try_clone_to_owned()
                .map_err(|source| SpawnError::Namespace { path: path.clone(), source })?;
            all.joined.push(Joined { kind: LinkNameSpaceType::Network, path, fd });
        }
        for (clock, offset) in linux.time_offsets().iter().flatten() {
            all.time_offsets += &format!(
                "{clock} {} {}\n",
                offset.secs().unwrap_or_default(),
                offset.nanosecs().unwrap_or_default()
            );
        }
        if !all.new.contains(UnshareFlags::NEWNS) {
            return Err(SpawnError::Unsupported(
                "a container without a mount namespace of its own".to_owned(),
            ));
        }
        Ok(all)
    }

    fn make(&mut self, kind: LinuxNamespaceType) -> Result<(), SpawnError> {
        match kind {
            LinuxNamespaceType::Mount => self.new |= UnshareFlags::NEWNS,
            LinuxNamespaceType::Cgroup => self.new |= UnshareFlags::NEWCGROUP,
            LinuxNamespaceType::Uts => self.new |= UnshareFlags::NEWUTS,
            LinuxNamespaceType::Ipc => self.new |= UnshareFlags::NEWIPC,
            LinuxNamespaceType::Pid => self.new_pid = true,
            LinuxNamespaceType::Time => self.time = true,
            LinuxNamespaceType::User => {
                return Err(SpawnError::Unsupported("a user namespace".to_owned()));
            }
            LinuxNamespaceType::Network => {
                let namespace = net::Namespace::create().map_err(SpawnError::Network)?;
                let path = PathBuf::from("network");
                self.joined.push(Joined { kind: LinkNameSpaceType::Network, path, fd: namespace.into() });
            }
        }
        Ok(())
    }

    fn join(&mut self, kind: LinuxNamespaceType, path: &Path) -> Result<(), SpawnError> {
        let file =
            File::open(path).map_err(|source| SpawnError::Namespace { path: path.to_owned(), source })?;
        let kind = match kind {
            LinuxNamespaceType::Cgroup => LinkNameSpaceType::ControlGroup,
            LinuxNamespaceType::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
            LinuxNamespaceType::Ipc => LinkNameSpaceType::InterProcessCommunication,
            LinuxNamespaceType::Network => LinkNameSpaceType::Network,
            LinuxNamespaceType::Time => LinkNameSpaceType::Time,
            LinuxNamespaceType::Pid => {
                self.joined_pid = Some(file);
                return Ok(());
            }
            LinuxNamespaceType::Mount | LinuxNamespaceType::User => {
                return Err(SpawnError::Unsupported(format!("joining a {kind:?} namespace by path")));
            }
        };
        self.joined.push(Joined { kind, path: path.to_owned(), fd: file.into() });
        Ok(())
    }

    /// Whether the process sees its own control group as the top.
    pub(crate) fn has_cgroup(&self) -> bool {
        self.new.contains(UnshareFlags::NEWCGROUP)
    }

    /// What the parent must do about it before the fork.
    pub(crate) fn pid(&self) -> PidNamespace<'_> {
        match &self.joined_pid {
            Some(file) => PidNamespace::At(file.as_fd()),
            None if self.new_pid => PidNamespace::New,
            None => PidNamespace::Same,
        }
    }

    /// Descriptors that the child needs.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.joined.iter().map(|joined| joined.fd.as_raw_fd())
    }

    /// Moves the calling process: joins first, so that what is new is made in the right place.
    pub(crate) fn enter(&self) -> Result<(), Failure> {
        for joined in &self.joined {
            move_into_link_name_space(joined.fd.as_fd(), Some(joined.kind))
                .at("join a namespace", &joined.path)?;
        }
        sys::process::unshare(self.new).step("make namespaces")?;
        self.enter_time()?;
        if let Some(name) = &self.hostname {
            rustix::system::sethostname(name.as_bytes()).step("set the host name")?;
        }
        if let Some(name) = &self.domainname {
            rustix::system::setdomainname(name.as_bytes()).step("set the domain name")?;
        }
        Ok(())
    }

    /// The process itself moves when it executes its program. Kernels before 5.6 have none: that is
    /// no loss unless clocks shall differ.
    fn enter_time(&self) -> Result<(), Failure> {
        if !self.time {
            return Ok(());
        }
        let step = "make a time namespace";
        match sys::process::unshare(UnshareFlags::NEWTIME) {
            Err(err) if err.raw_os_error() == Some(libc::EINVAL) && self.time_offsets.is_empty() => Ok(()),
            Ok(()) if !self.time_offsets.is_empty() => {
                let path = "/proc/self/timens_offsets";
                std::fs::write(path, &self.time_offsets).at(step, path)
            }
            other => other.step(step),
        }
    }
}
