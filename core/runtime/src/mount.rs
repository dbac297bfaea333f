//! Root file systems: overlays and directories, mounted where nobody else sees them.
//!
//! A [`RootMount`] is all that the storage driver's answer has become by the time it reaches the
//! kernel. [`detached`] makes a mount that is part of no namespace: whoever holds the descriptor
//! works below it, and it is gone when the descriptor is closed, also after a crash.
//! [`in_namespace`] puts one at a path of the calling process' own mount namespace. Neither ever
//! adds a line to the host's mount table, so nothing is left to clean up.
//!
//! Layers are handed to overlayfs one by one (`lowerdir+`, Linux 6.7). Older kernels take them in
//! one string of at most a page: there the layers are opened first and named by their descriptor
//! numbers, relative to `/proc/self/fd`, so that a page holds hundreds of them. Which kernel it is
//! is asked, not tried: before 6.5 overlayfs takes any option and complains when it is mounted.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags,
};
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, DiskError};
use crate::sys::mount::{MountChange, change_mount};

/// overlayfs's own limit of lower directories.
const MOST_LAYERS: usize = 500;
/// `fsconfig` takes no longer strings, the final NUL not counted.
const LONGEST_VALUE: usize = 255;
/// `mount` takes at most a page of options, the final NUL counted.
const LONGEST_OPTIONS: usize = 4095;

/// One mount that makes (a part of) a root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootMount {
    /// An overlay; read-only without `upper`.
    Overlay {
        /// Topmost first.
        lower: Vec<PathBuf>,
        /// Where changes go.
        upper: Option<PathBuf>,
        /// overlayfs's own scratch directory, on the same file system as `upper`.
        work: Option<PathBuf>,
        /// Further options of overlayfs: `name` or `name=value`.
        options: Vec<String>,
    },
    /// A directory as it is, with what is mounted below it.
    Bind {
        /// Which.
        source: PathBuf,
        /// No writes.
        read_only: bool,
    },
    /// A file system in a file.
    Image(Disk),
}

/// Why a root file system was not mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// No mount, or an overlay of nothing.
    #[error("a root file system needs at least one directory")]
    Empty,
    /// [`detached`] takes one mount: a stack needs a namespace to live in.
    #[error("cannot stack {0} mounts outside of a mount namespace")]
    Stack(usize),
    /// More layers than the kernel can stack.
    #[error("{count} layers are more than the {limit} that overlayfs of this kernel can stack")]
    TooManyLayers {
        /// How many were asked for.
        count: usize,
        /// How many would do.
        limit: usize,
    },
    /// A directory is not there, or is none.
    #[error("cannot open directory {path}", path = .path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// overlayfs refused an option.
    #[error("overlayfs refused `{option}`{said}")]
    Option {
        /// The option with its value.
        option: String,
        /// The kernel's own words, after a colon, where there are some.
        said: String,
        /// Why.
        source: io::Error,
    },
    /// overlayfs refused the whole.
    #[error("cannot mount the overlay{said}")]
    Overlay {
        /// The kernel's own words, after a colon, where there are some.
        said: String,
        /// Why.
        source: io::Error,
    },
    /// A directory could not be cloned.
    #[error("cannot bind {path}", path = .path.display())]
    Bind {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file system in a file could not be mounted.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The mount could not be put where it belongs.
    #[error("cannot put the root file system at {target}", target = .target.display())]
    Place {
        /// Where.
        target: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Mounts the only element of `mounts` where nobody sees it: a directory descriptor to work below.
///
/// Nothing can be executed through it, and no device opened.
///
/// # Errors
/// When the list does not have exactly one element or the kernel refuses.
pub fn detached(mounts: &[RootMount]) -> Result<OwnedFd, MountError> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    detached_with(mounts, attributes)
}

/// As [`detached`], for a container to see: what is in it can be executed.
///
/// # Errors
/// When the list does not have exactly one element or the kernel refuses.
pub fn visible(mounts: &[RootMount]) -> Result<OwnedFd, MountError> {
    detached_with(mounts, MountAttrFlags::empty())
}

fn detached_with(mounts: &[RootMount], attributes: MountAttrFlags) -> Result<OwnedFd, MountError> {
    match mounts {
        [] => Err(MountError::Empty),
        [mount] => match open(mount, attributes)? {
            Opened::Mount(mount) => Ok(mount),
            Opened::OldKernel(overlay) => overlay.detached(),
        },
        more => Err(MountError::Stack(more.len())),
    }
}

/// A mount as far as it can be made outside of the container's control group, whose rules about
/// devices would be in the way of a file system in a file.
#[derive(Debug)]
pub struct Prepared<'a> {
    mount: &'a RootMount,
    made: Option<OwnedFd>,
}

impl Prepared<'_> {
    /// What [`in_namespace`] needs from the process that prepared it.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.made.as_ref().map(AsFd::as_fd)
    }
}

/// Makes what [`in_namespace`] could not make by itself; it is gone with the answer.
///
/// # Errors
/// When the kernel refuses.
pub fn prepare(mounts: &[RootMount]) -> Result<Vec<Prepared<'_>>, MountError> {
    mounts.iter().map(prepare_one).collect()
}

fn prepare_one(mount: &RootMount) -> Result<Prepared<'_>, MountError> {
    let made = match mount {
        RootMount::Image(disk) => Some(disk.open(MountAttrFlags::empty())?),
        RootMount::Overlay { .. } | RootMount::Bind { .. } => None,
    };
    Ok(Prepared { mount, made })
}

/// Mounts `mounts` on each other at `target`, in the mount namespace of the calling thread, which
/// must be the container's own: what is mounted is seen by everybody in it.
///
/// Starts no thread, so that a freshly cloned child may call it.
///
/// # Errors
/// When the list is empty or the kernel refuses.
pub fn in_namespace(mounts: &[Prepared<'_>], target: &Path) -> Result<(), MountError> {
    if mounts.is_empty() {
        return Err(MountError::Empty);
    }
    for Prepared { mount, made } in mounts {
        if let Some(made) = made {
            place(made.as_fd(), target)?;
            continue;
        }
        match open(mount, MountAttrFlags::empty())? {
            Opened::Mount(mount) => place(mount.as_fd(), target)?,
            Opened::OldKernel(overlay) => overlay.mount_at(target)?,
        }
    }
    Ok(())
}

/// What became of an attempt with the new mount calls.
enum Opened<'a> {
    Mount(OwnedFd),
    OldKernel(Overlay<'a>),
}

/// The fields of [`RootMount::Overlay`].
#[derive(Clone, Copy)]
struct Overlay<'a> {
    lower: &'a [PathBuf],
    upper: Option<&'a Path>,
    work: Option<&'a Path>,
    options: &'a [String],
}

/// Two shapes that overlayfs does not take are binds: one directory without an upper one, and an
/// upper one alone.
fn open(mount: &RootMount, attributes: MountAttrFlags) -> Result<Opened<'_>, MountError> {
    match mount {
        RootMount::Bind { source, read_only } => bind(source, *read_only).map(Opened::Mount),
        RootMount::Image(disk) => Ok(Opened::Mount(disk.open(attributes)?)),
        RootMount::Overlay { lower, upper, work, options } => match (lower.as_slice(), upper) {
            ([], None) => Err(MountError::Empty),
            ([], Some(only)) => bind(only, false).map(Opened::Mount),
            ([only], None) => bind(only, true).map(Opened::Mount),
            (lower, upper) => {
                Overlay { lower, upper: upper.as_deref(), work: work.as_deref(), options }.open(attributes)
            }
        },
    }
}

fn bind(source: &Path, read_only: bool) -> Result<OwnedFd, MountError> {
    let clone = || -> io::Result<OwnedFd> {
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let mount = rustix::mount::open_tree(CWD, source, flags)?;
        if read_only {
            let set = libc::MOUNT_ATTR_RDONLY;
            change_mount(mount.as_fd(), MountChange { set, recursive: true, ..MountChange::default() })?;
        }
        Ok(mount)
    };
    clone().map_err(|err| MountError::Bind { path: source.to_owned(), source: err })
}

fn place(mount: BorrowedFd<'_>, target: &Path) -> Result<(), MountError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", CWD, target, flags)
        .map_err(|err| MountError::Place { target: target.to_owned(), source: err.into() })
}

fn open_directory(path: &Path) -> Result<OwnedFd, MountError> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|err| MountError::Open { path: path.to_owned(), source: err.into() })
}

impl<'a> Overlay<'a> {
    fn open(self, attributes: MountAttrFlags) -> Result<Opened<'a>, MountError> {
        if self.lower.len() > MOST_LAYERS {
            return Err(MountError::TooManyLayers { count: self.lower.len(), limit: MOST_LAYERS });
        }
        if !takes_layers_one_by_one() {
            return Ok(Opened::OldKernel(self));
        }
        let context = match rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
            Ok(context) => context,
            Err(rustix::io::Errno::NOSYS) => return Ok(Opened::OldKernel(self)),
            Err(err) => return Err(MountError::Overlay { said: String::new(), source: err.into() }),
        };
        for layer in self.lower {
            set_directory(context.as_fd(), "lowerdir+", layer)?;
        }
        for (option, directory) in [("upperdir", self.upper), ("workdir", self.work)] {
            if let Some(directory) = directory {
                set_directory(context.as_fd(), option, directory)?;
            }
        }
        for option in self.options {
            set_option(context.as_fd(), option)?;
        }
        mount_context(context.as_fd(), attributes).map(Opened::Mount)
    }

    /// For kernels without `lowerdir+`: mounts with mount(2), which needs a namespace, on a thread
    /// that has one of its own, and takes a copy of the mount out of there.
    fn detached(self) -> Result<OwnedFd, MountError> {
        thread::scope(|scope| {
            let made = scope.spawn(move || {
                let root = Path::new("/");
                own_mount_namespace()
                    .map_err(|source| MountError::Place { target: root.to_owned(), source })?;
                let target = self.lower.first().map_or(root, PathBuf::as_path);
                self.mount_at(target)?;
                bind(target, false)
            });
            made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The same by mount(2), with a page of options. They are named relative to a directory that the
    /// calling thread changes to for a moment, so it gets a working directory of its own first: no other
    /// thread of the process is led astray.
    fn mount_at(self, target: &Path) -> Result<(), MountError> {
        let here = open_directory(Path::new("."))?;
        let lower = self.lower.iter().map(|path| open_directory(path)).collect::<Result<Vec<_>, _>>()?;
        let upper = self.upper.map(open_directory).transpose()?;
        let work = self.work.map(open_directory).transpose()?;
        let at = open_directory(target)?;
        let options = self.page(&lower, upper.as_ref(), work.as_ref())?;
        let mount = || -> io::Result<()> {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
            rustix::process::chdir("/proc/self/fd")?;
            let at = at.as_raw_fd().to_string();
            let done = rustix::mount::mount(
                "overlay",
                at.as_str(),
                "overlay",
                MountFlags::empty(),
                options.as_c_str(),
            );
            rustix::process::fchdir(&here)?;
            Ok(done?)
        };
        mount().map_err(|source| MountError::Overlay { said: String::new(), source })
    }

    fn page(
        self,
        lower: &[OwnedFd],
        upper: Option<&OwnedFd>,
        work: Option<&OwnedFd>,
    ) -> Result<CString, MountError> {
        let numbers: Vec<String> = lower.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
        let mut text = format!("lowerdir={}", numbers.join(":"));
        for (option, directory) in [("upperdir", upper), ("workdir", work)] {
            if let Some(directory) = directory {
                text.push_str(&format!(",{option}={}", directory.as_raw_fd()));
            }
        }
        for option in self.options {
            text.push_str(&format!(",{option}"));
        }
        if text.len() > LONGEST_OPTIONS {
            let spare = text.len() - LONGEST_OPTIONS;
            let limit = numbers.len().saturating_sub(spare.div_ceil(4));
            return Err(MountError::TooManyLayers { count: numbers.len(), limit });
        }
        CString::new(text).map_err(|err| MountError::Overlay { said: String::new(), source: err.into() })
    }
}

/// Whether the kernel knows `lowerdir+`. One whose release is no number is taken for a new one.
fn takes_layers_one_by_one() -> bool {
    let name = rustix::system::uname();
    release(&name.release().to_string_lossy()).is_none_or(|release| release >= (6, 7))
}

/// `6.1.0-56-amd64` as 6 and 1.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Gives the calling thread a mount namespace whose changes nobody else sees.
pub(crate) fn own_mount_namespace() -> io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    Ok(())
}

/// Names a directory to overlayfs; one whose path is too long, or would be unescaped, by its
/// descriptor.
fn set_directory(context: BorrowedFd<'_>, option: &str, path: &Path) -> Result<(), MountError> {
    let bytes = path.as_os_str().as_bytes();
    let (_open, value) = if bytes.len() > LONGEST_VALUE || bytes.contains(&b'\\') {
        let directory = open_directory(path)?;
        let value = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        (Some(directory), value)
    } else {
        (None, path.to_owned())
    };
    rustix::mount::fsconfig_set_string(context, option, &value)
        .map_err(|err| refused(context, &format!("{option}={}", path.display()), err))
}

fn set_option(context: BorrowedFd<'_>, option: &str) -> Result<(), MountError> {
    let set = match option.split_once('=') {
        Some((name, value)) => rustix::mount::fsconfig_set_string(context, name, value),
        None => rustix::mount::fsconfig_set_flag(context, option),
    };
    set.map_err(|err| refused(context, option, err))
}

fn mount_context(context: BorrowedFd<'_>, attributes: MountAttrFlags) -> Result<OwnedFd, MountError> {
    rustix::mount::fsconfig_create(context)
        .and_then(|()| rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes))
        .map_err(|err| MountError::Overlay { said: said(context), source: err.into() })
}

fn refused(context: BorrowedFd<'_>, option: &str, err: rustix::io::Errno) -> MountError {
    MountError::Option { option: option.to_owned(), said: said(context), source: err.into() }
}

/// What the kernel has to say about a mount that it refused, after a colon. The messages wait in
/// the context, one a read, as `e overlay: text`.
pub(crate) fn said(context: BorrowedFd<'_>) -> String {
    let mut all = String::new();
    let mut buffer = [0_u8; 1024];
    while let Ok(length @ 1..) = rustix::io::read(context, &mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        let text = text.trim_end().trim_start_matches(['e', 'w', 'i']).trim_start();
        all.push_str(": ");
        all.push_str(text.strip_prefix("overlay: ").unwrap_or(text));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            println!("skipped: needs uid 0");
        }
        root
    }

    fn layers(at: &Path, count: usize) -> Vec<PathBuf> {
        let make = |number: usize| {
            let layer = at.join(format!("layer-{number}"));
            fs::create_dir_all(&layer).unwrap();
            fs::write(layer.join("top"), number.to_string()).unwrap();
            fs::write(layer.join(format!("of-{number}")), "").unwrap();
            layer
        };
        (0..count).rev().map(make).collect()
    }

    fn directories(at: &Path, names: &[&str]) -> Vec<PathBuf> {
        let make = |name: &&str| {
            fs::create_dir_all(at.join(name)).unwrap();
            at.join(name)
        };
        names.iter().map(make).collect()
    }

    fn overlay(lower: Vec<PathBuf>, writable: Option<(&Path, &Path)>) -> RootMount {
        let (upper, work) = writable.unzip();
        RootMount::Overlay {
            lower,
            upper: upper.map(Path::to_owned),
            work: work.map(Path::to_owned),
            options: vec![],
        }
    }

    fn read(mount: &OwnedFd, path: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/self/fd/{}/{path}", mount.as_raw_fd()))
    }

    fn in_own_namespace(body: impl FnOnce() + Send) {
        thread::scope(|scope| {
            scope.spawn(|| {
                own_mount_namespace().unwrap();
                body();
            });
        });
    }

    #[test]
    fn privileged_detached_overlay_shows_the_topmost_layer_and_keeps_changes() {
        if !root() {
            return;
        }
        let box_ = tempfile::tempdir().unwrap();
        let dirs = directories(box_.path(), &["upper", "work"]);
        let mount = detached(&[overlay(layers(box_.path(), 3), Some((&dirs[0], &dirs[1])))]).unwrap();

        assert_eq!(read(&mount, "top").unwrap(), "2");
        fs::write(format!("/proc/self/fd/{}/new", mount.as_raw_fd()), "x").unwrap();
        assert!(dirs[0].join("new").exists());
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!table.contains(box_.path().to_str().unwrap()), "a mount is visible");
    }

    #[test]
    fn privileged_500_layers_are_mounted_and_501_are_refused() {
        if !root() {
            return;
        }
        let box_ = tempfile::tempdir().unwrap();
        let mut lower = layers(box_.path(), 501);
        let refused = detached(&[overlay(lower.clone(), None)]).unwrap_err();
        assert!(matches!(refused, MountError::TooManyLayers { count: 501, limit: 500 }));
        lower.truncate(500);
        let mount = detached(&[overlay(lower, None)]).unwrap();
        assert_eq!(read(&mount, "top").unwrap(), "500");
        assert!(read(&mount, "of-1").is_ok());
    }

    #[test]
    fn privileged_old_kernels_way_gives_the_same() {
        if !root() {
            return;
        }
        let box_ = tempfile::tempdir().unwrap();
        let dirs = directories(box_.path(), &["upper", "work", "target"]);
        let lower = layers(box_.path(), 300);
        let old = Overlay { lower: &lower, upper: Some(&dirs[0]), work: Some(&dirs[1]), options: &[] };
        let mount = old.detached().unwrap();
        assert_eq!(read(&mount, "top").unwrap(), "299");
        assert!(read(&mount, "of-0").is_ok());
        drop(mount);
        let target = &dirs[2];
        in_own_namespace(|| {
            old.mount_at(target).unwrap();
            assert_eq!(fs::read_to_string(target.join("top")).unwrap(), "299");
        });
    }

    /// Whether relative paths of this thread lead where they did, looked at until the others are done.
    fn stays_where_it_is(done: &AtomicUsize, all: usize) {
        let here = std::env::current_dir().unwrap();
        let mut looks = 0_u32;
        while done.load(Ordering::Relaxed) < all || looks < 100 {
            assert!(fs::metadata("Cargo.toml").is_ok(), "a relative path leads elsewhere");
            assert_eq!(std::env::current_dir().unwrap(), here);
            looks += 1;
        }
    }

    const MOUNTS: usize = 100;

    #[test]
    fn privileged_no_other_thread_notices_how_old_kernels_are_asked() {
        if !root() {
            return;
        }
        let box_ = tempfile::tempdir().unwrap();
        let lower = layers(box_.path(), 3);
        let old = Overlay { lower: &lower, upper: None, work: None, options: &[] };
        let done = AtomicUsize::new(0);
        // The threads of one namespace of its own, which share a working directory.
        in_own_namespace(|| {
            thread::scope(|scope| {
                for number in 0..4 {
                    let target = directories(box_.path(), &[&format!("target-{number}")]).remove(0);
                    let done = &done;
                    scope.spawn(move || {
                        for _ in 0..MOUNTS {
                            old.mount_at(&target).unwrap();
                            assert_eq!(fs::read_to_string(target.join("top")).unwrap(), "2");
                            rustix::mount::unmount(&target, rustix::mount::UnmountFlags::DETACH).unwrap();
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    });
                }
                stays_where_it_is(&done, 4);
            });
        });
        // Those of the process.
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..MOUNTS {
                        assert_eq!(read(&old.detached().unwrap(), "top").unwrap(), "2");
                        let new = detached(&[overlay(lower.clone(), None)]).unwrap();
                        assert_eq!(read(&new, "top").unwrap(), "2");
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            stays_where_it_is(&done, 4);
        });
    }

    #[test]
    fn privileged_long_and_odd_paths_are_named_by_descriptor() {
        if !root() {
            return;
        }
        let box_ = tempfile::tempdir().unwrap();
        let deep = box_.path().join("a,b:c\\d").join("x".repeat(200)).join("y".repeat(200));
        let dirs = directories(&deep, &["upper", "work"]);
        let mount = detached(&[overlay(layers(&deep, 2), Some((&dirs[0], &dirs[1])))]).unwrap();
        assert_eq!(read(&mount, "top").unwrap(), "1");
    }

    #[test]
    fn privileged_mounts_are_stacked_in_a_namespace() {
        if !root() {
            return;
        }
        let box_ = tempfile::tempdir().unwrap();
        let target = box_.path().join("target");
        fs::create_dir(&target).unwrap();
        let lower = layers(box_.path(), 2);
        let read_only = RootMount::Bind { source: lower[0].clone(), read_only: true };
        in_own_namespace(|| {
            let mounts = [overlay(lower.clone(), None), read_only];
            in_namespace(&prepare(&mounts).unwrap(), &target).unwrap();
            assert_eq!(fs::read_to_string(target.join("top")).unwrap(), "1");
            assert!(!target.join("of-0").exists(), "the bind is on top");
            let err = fs::write(target.join("top"), "").unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::ReadOnlyFilesystem);
        });
        assert!(!target.join("top").exists(), "the mount left its namespace");
    }

    #[test]
    fn privileged_single_directories_are_bound() {
        if !root() {
            return;
        }
        let box_ = tempfile::tempdir().unwrap();
        let lower = layers(box_.path(), 1);
        let mount = detached(&[overlay(lower.clone(), None)]).unwrap();
        let path = format!("/proc/self/fd/{}/new", mount.as_raw_fd());
        assert_eq!(fs::write(path, "").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
        let mount = detached(&[overlay(vec![], Some((&lower[0], &lower[0])))]).unwrap();
        fs::write(format!("/proc/self/fd/{}/new", mount.as_raw_fd()), "").unwrap();
        assert!(lower[0].join("new").exists());
    }

    #[test]
    fn privileged_errors_name_the_thing() {
        if !root() {
            return;
        }
        let box_ = tempfile::tempdir().unwrap();
        let lower = layers(box_.path(), 2);
        let gone = vec![box_.path().join("gone"), lower[0].clone()];
        let text = detached(&[overlay(gone, None)]).unwrap_err().to_string();
        assert!(text.contains("lowerdir+=") && text.contains("gone"), "{text}");
        let RootMount::Overlay { lower, upper, work, .. } = overlay(lower, None) else { unreachable!() };
        let odd = RootMount::Overlay { lower, upper, work, options: vec!["nonsense=1".into()] };
        let text = detached(&[odd]).unwrap_err().to_string();
        assert!(text.starts_with("overlayfs refused `nonsense=1`: "), "{text}");
        assert!(matches!(detached(&[]), Err(MountError::Empty)));
    }

    #[test]
    fn a_release_is_compared_by_its_first_two_numbers() {
        for (text, parsed) in [
            ("6.18.0", Some((6, 18))),
            ("6.1.0-56-cloud-amd64", Some((6, 1))),
            ("5.15.167.4-microsoft", Some((5, 15))),
            ("6.10-rc1", Some((6, 10))),
            ("unknown", None),
        ] {
            assert_eq!(release(text), parsed, "{text}");
        }
    }
}
