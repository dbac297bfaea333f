//! The container's root file system, from an empty mount namespace to `pivot_root`.
//!
//! ```text
//! 1 sources     what is bound from the host is copied (open_tree) while it can still be seen
//! 2 private     no mount of ours reaches the host; what was handed over is found from here on
//! 3 root        the storage driver's mounts, at a place of this namespace
//! 4 mounts      kernel file systems and binds, each on a descriptor inside the root
//! 5 settings    sysctls, masked and read-only paths
//! 6 pivot       the root becomes `/`, the host's is unmounted
//! ```
//!
//! Always true: nothing on the host is named by a path that the image, a volume or the container
//! can influence.

mod cgroups;
pub(crate) mod file_system;
mod handed;
pub(crate) mod options;
mod sysctl;
pub(crate) mod target;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use libc::{MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_SHARED};
use oci_spec::runtime::{LinuxDevice, Mount, Spec};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags};

use crate::cgroup::Cgroup;
use crate::message::{Failure, Named};
use crate::sys::mount::{MountChange, change_mount};
use crate::{dev, mask, mount};
use options::{Options, Recursive};
use target::{Kind, Root};

/// Where the new root is put for the moment: a directory that every host has, and that nothing is
/// needed from any more by then.
const PLACE: &str = "/sys";

/// What the root file system is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// The spec: mounts, masks, devices, settings.
    pub(crate) spec: &'a Spec,
    /// The storage driver's mounts.
    pub(crate) root: &'a [mount::Prepared<'a>],
    /// Mounts that were made already.
    pub(crate) handed: &'a [OwnedFd],
    /// What is shown below `/sys/fs/cgroup`.
    pub(crate) cgroup: &'a Cgroup,
    /// Whether the process has a control group namespace of its own.
    pub(crate) own_cgroup_namespace: bool,
}

/// A root that was built and not yet moved to.
#[derive(Debug)]
pub(crate) struct Built {
    root: Root,
    dev: Option<OwnedFd>,
    /// What `/dev` becomes when all is in it.
    dev_change: MountChange,
    pts: Option<OwnedFd>,
}

/// Builds the root; the process already is in its own namespaces.
pub(crate) fn build(parts: Parts<'_>) -> Result<Built, Failure> {
    let mounts = parts.spec.mounts().as_deref().unwrap_or_default();
    let mut prepared = mounts.iter().map(|mount| prepare(mount, parts)).collect::<Result<Vec<_>, _>>()?;
    make_private()?;
    prepared.iter_mut().try_for_each(|mount| mount.take_handed(parts.handed))?;
    let mut built =
        Built { root: mount_root(parts.root)?, dev: None, dev_change: MountChange::default(), pts: None };
    let devices =
        parts.spec.linux().as_ref().and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    for mount in prepared {
        built.mount(mount, devices)?;
    }
    Ok(built)
}

/// A mount of the spec with what it needs from the host.
#[derive(Debug)]
struct Prepared {
    destination: PathBuf,
    options: Options,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A copy of a mount of the host.
    Bind(OwnedFd),
    /// One of those that were made already.
    Handed(handed::Handed),
    /// The control groups.
    Cgroups(cgroups::Trees),
    /// A new file system.
    New(String),
}

fn prepare(mount: &Mount, parts: Parts<'_>) -> Result<Prepared, Failure> {
    let options = Options::parse(mount.options().iter().flatten().map(String::as_str));
    let kind = mount.typ().as_deref().unwrap_or("bind");
    let what = match (options.bind, kind) {
        (None, "cgroup" | "cgroup2") => {
            What::Cgroups(cgroups::open(parts.cgroup, parts.own_cgroup_namespace, options.set)?)
        }
        (None, handed::KIND) => What::Handed(handed::Handed::parse(mount)?),
        (Some(recursive), _) => What::Bind(open_source(mount, recursive, &options)?),
        (None, "bind") => What::Bind(open_source(mount, Recursive::No, &options)?),
        (None, kind) => What::New(kind.to_owned()),
    };
    Ok(Prepared { destination: mount.destination().clone(), options, what })
}

impl Prepared {
    /// From here on it is a mount like that of a bind.
    fn take_handed(&mut self, given: &[OwnedFd]) -> Result<(), Failure> {
        if let What::Handed(handed) = &self.what {
            self.what = What::Bind(handed.take(given, self.options.set)?);
        }
        Ok(())
    }
}

fn open_source(mount: &Mount, recursive: Recursive, options: &Options) -> Result<OwnedFd, Failure> {
    let step = "open the source of a mount";
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    let copy = file_system::copy(source, recursive).at(step, source)?;
    let (kind, all) = options.propagation.unwrap_or((MS_PRIVATE, Recursive::Yes));
    // A shared one stays in the host's peer group: that is what was asked for.
    if kind != MS_SHARED {
        let change =
            MountChange { propagation: kind, recursive: all == Recursive::Yes, ..MountChange::default() };
        change_mount(copy.as_fd(), change).at(step, source)?;
    }
    // Never more than the host's own mount allows: `rw` does not undo its `ro`.
    let change =
        MountChange { set: options.set, clear: options.clear & !MOUNT_ATTR_RDONLY, ..MountChange::default() };
    if (change.set, change.clear) != (0, 0) {
        change_mount(copy.as_fd(), change).at(step, source)?;
    }
    if options.set_below != 0 {
        let change = MountChange { set: options.set_below, recursive: true, ..MountChange::default() };
        change_mount(copy.as_fd(), change).at(step, source)?;
    }
    Ok(copy)
}

fn make_private() -> Result<(), Failure> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).step("make the mounts private")
}

fn mount_root(mounts: &[mount::Prepared<'_>]) -> Result<Root, Failure> {
    let step = "mount the root file system";
    mount::in_namespace(mounts, Path::new(PLACE)).map_err(|err| Failure::text(step, None, chain(&err)))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, PLACE, flags, Mode::empty()).at(step, PLACE)?;
    let private = MountChange { propagation: MS_PRIVATE, recursive: true, ..MountChange::default() };
    change_mount(root.as_fd(), private).at(step, PLACE)?;
    Ok(Root::new(root))
}

/// An error with its causes, for a message that crosses to another process.
fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Built {
    fn mount(&mut self, mount: Prepared, devices: &[LinuxDevice]) -> Result<(), Failure> {
        let path = mount.destination.as_path();
        match mount.what {
            What::Bind(copy) => {
                let kind = Kind::of(copy.as_fd()).at("look at the source of a mount", path)?;
                self.root.target(path, kind)?.place(copy.as_fd())
            }
            // None is left by now.
            What::Handed(_) => Ok(()),
            What::Cgroups(trees) => cgroups::mount(trees, &self.root.plain_target(path)?, mount.options.set),
            What::New(kind) => self.mount_new(path, &kind, &mount.options, devices),
        }
    }

    fn mount_new(
        &mut self,
        path: &Path,
        kind: &str,
        options: &Options,
        devices: &[LinuxDevice],
    ) -> Result<(), Failure> {
        let target = match kind {
            "proc" | "sysfs" => self.root.plain_target(path)?,
            _ => self.root.target(path, Kind::Directory)?,
        };
        let data: Vec<_> = options.data.iter().map(String::as_str).collect();
        let is_dev = kind == "tmpfs" && target.path() == Path::new("/dev");
        let late = if is_dev { options.set & MOUNT_ATTR_RDONLY } else { 0 };
        let mount = file_system::create(kind, &data, options.set & !late)
            .at(&format!("mount a file system of type {kind}"), path)?;
        target.place(mount.as_fd())?;
        if is_dev {
            dev::populate(mount.as_fd(), devices)?;
            self.dev = Some(mount);
            self.dev_change = MountChange { set: late, ..MountChange::default() };
        } else if kind == "devpts" {
            self.pts = Some(mount);
        }
        Ok(())
    }

    /// Opens a terminal in the container's own devpts and makes it `/dev/console`.
    pub(crate) fn open_terminal(
        &self,
        uid: u32,
        size: Option<rustix::termios::Winsize>,
    ) -> Result<dev::Terminal, Failure> {
        let Some(pts) = &self.pts else {
            return Err(Failure::text("open a terminal", None, "the spec mounts no devpts"));
        };
        let terminal = dev::Terminal::open(pts.as_fd(), uid, size)?;
        if let Some(dev) = &self.dev {
            terminal.bind_console(dev.as_fd())?;
        }
        Ok(terminal)
    }

    /// Makes the working directory when it is missing: root's, 0755.
    pub(crate) fn make_directory(&self, path: &Path) -> Result<(), Failure> {
        let step = "make the working directory";
        self.root.open_or_make(&target::clean(path), Kind::Directory).at(step, path).map(drop)
    }

    /// Writes the kernel settings, hides and protects paths, and makes `/dev` and the root read-only
    /// where the spec says so.
    pub(crate) fn close(&self, spec: &Spec) -> Result<(), Failure> {
        if let (Some(dev), true) = (&self.dev, self.dev_change.set != 0) {
            change_mount(dev.as_fd(), self.dev_change).step("make /dev read-only")?;
        }
        let Some(linux) = spec.linux() else { return Ok(()) };
        sysctl::apply(linux)?;
        let masked = linux.masked_paths().as_deref().unwrap_or_default();
        if !masked.is_empty() {
            mask::hide(&self.root, masked, self.null()?.as_fd())?;
        }
        mask::freeze(&self.root, linux.readonly_paths().as_deref().unwrap_or_default())?;
        if spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly) == Some(true) {
            let change = MountChange { set: MOUNT_ATTR_RDONLY, ..MountChange::default() };
            change_mount(self.root.as_fd(), change).step("make the root read-only")?;
        }
        Ok(())
    }

    /// Our own null device; where the spec has no `/dev` of ours, one on a file system of its own.
    fn null(&self) -> Result<OwnedFd, Failure> {
        match &self.dev {
            Some(dev) => dev::null(dev.as_fd()),
            None => {
                let step = "make a null device";
                let own = file_system::create("tmpfs", &["mode=755", "size=64k"], 0).step(step)?;
                // Placed where the pivot unmounts it; a copy of a mount needs a mount of this namespace.
                let hidden =
                    rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step(step)?;
                target::place(own.as_fd(), hidden.as_fd()).step(step)?;
                dev::populate(own.as_fd(), &[])?;
                dev::null(own.as_fd())
            }
        }
    }

    /// Makes it the root of this process and unmounts everything else.
    pub(crate) fn pivot(self, spec: &Spec) -> Result<(), Failure> {
        let step = "move to the new root";
        rustix::process::fchdir(&self.root).step(step)?;
        rustix::process::pivot_root(".", ".").step(step)?;
        rustix::mount::unmount(".", UnmountFlags::DETACH).step("unmount the host's root")?;
        rustix::process::chdir("/").step(step)?;
        let word =
            spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref()).unwrap_or("");
        match options::propagation(word) {
            Some((kind, recursive)) if kind != MS_PRIVATE => {
                let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step(step)?;
                let recursive = recursive == Recursive::Yes;
                let change = MountChange { propagation: kind, recursive, ..MountChange::default() };
                change_mount(root.as_fd(), change).step("set the propagation of the root")
            }
            _ => Ok(()),
        }
    }
}
