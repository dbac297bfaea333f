//! File systems in files, for storage drivers that keep each tree in one.
//!
//! A disk is a sparse file with a file system that its tool made; what the tool would choose by
//! chance or by the clock is fixed, so the same request gives the same file. It is mounted through a
//! loop device where nobody sees it: the mount is part of no namespace until it is moved into a
//! container's, and the device forgets the file when the mount is gone, also after a crash. So
//! nothing is left to clean up.
//!
//! A file is never shown by two devices at a time, because each would write on its own: whoever
//! mounts a file that is mounted already gets another view of the same file system.

mod device;
mod format;
mod part;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use serde::{Deserialize, Serialize};
use wharf_model::storage::Filesystem;

use crate::mount::said;
use crate::tree;
use device::Device;
pub use format::format;

/// Why a disk could not be made or mounted.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The file.
    #[error("cannot make {path} with {size} bytes", path = .path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// How long.
        size: u64,
        /// Why not.
        source: io::Error,
    },
    /// The copy.
    #[error("cannot copy {path} to {dest}", path = .path.display(), dest = .dest.display())]
    Copy {
        /// What.
        path: PathBuf,
        /// Where to.
        dest: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The tool is not installed.
    #[error("there is no {program} in {}", .looked.join(", "))]
    NoTool {
        /// Its name.
        program: &'static str,
        /// Where it was looked for.
        looked: Vec<&'static str>,
    },
    /// The tool refused.
    #[error("{program} cannot format {path}: {said}", path = .path.display())]
    Format {
        /// Its name.
        program: &'static str,
        /// Which file.
        path: PathBuf,
        /// Its own words.
        said: String,
    },
    /// It is no file, or has none of the known file systems.
    #[error("{path} holds none of the file systems ext4, xfs and btrfs", path = .path.display())]
    Unknown {
        /// Which.
        path: PathBuf,
    },
    /// No loop device.
    #[error("cannot attach {path} to a loop device", path = .path.display())]
    Attach {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It has no such directory, or it can not be shown alone.
    #[error("cannot mount {directory} of {path}", directory = .directory.display(), path = .path.display())]
    Part {
        /// Which file.
        path: PathBuf,
        /// Which directory.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused.
    #[error("cannot mount {path} as {filesystem}{said}", path = .path.display())]
    Mount {
        /// Which file.
        path: PathBuf,
        /// As what.
        filesystem: &'static str,
        /// The kernel's own words, after a colon, where there are some.
        said: String,
        /// Why not.
        source: io::Error,
    },
}

impl DiskError {
    /// What would get the user past this, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::NoTool { program, .. } => {
                let package = match *program {
                    "mkfs.xfs" => "xfsprogs",
                    "mkfs.btrfs" => "btrfs-progs",
                    _ => "e2fsprogs",
                };
                Some(format!("install the package {package}"))
            }
            Self::Attach { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("load the kernel module `loop`: modprobe loop".to_owned())
            }
            _ => None,
        }
    }
}

/// How a disk is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Nobody writes to the file, not even the file system itself.
    Sealed,
    /// This view cannot write; another one may.
    ReadOnly,
    /// All.
    ReadWrite,
}

/// Makes a sparse file of `size` bytes that only root may read.
///
/// # Errors
/// When there is one already, or the file system below cannot hold so long a file.
pub fn make(path: &Path, size: u64) -> Result<(), DiskError> {
    let failed = |source| DiskError::Make { path: path.to_owned(), size, source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.set_len(size).map_err(|source| {
        let _ = fs::remove_file(path); // the first error is the one to tell
        failed(source)
    })
}

/// Copies the file `source` to `dest`, which must not exist: blocks are shared where the file system
/// below can, and holes stay holes. What is written to a disk at this moment is written out first.
///
/// # Errors
/// When one cannot be read or the other not be written; then there is no `dest`.
pub fn clone(source: &Path, dest: &Path) -> Result<(), DiskError> {
    let failed = |cause| DiskError::Copy { path: source.to_owned(), dest: dest.to_owned(), source: cause };
    let from = File::open(source).map_err(failed)?;
    if device::is_written(source, &from).map_err(failed)? {
        write_out(source)?;
    }
    let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dest).map_err(failed)?;
    tree::copy_file(&from, &to).map_err(|cause| {
        let _ = fs::remove_file(dest); // the first error is the one to tell
        failed(cause)
    })
}

fn write_out(path: &Path) -> Result<(), DiskError> {
    let disk = Disk {
        file: path.to_owned(),
        filesystem: recognize(path)?,
        directory: PathBuf::new(),
        access: Access::ReadOnly,
    };
    let view = disk.detached()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&view, ".", flags, Mode::empty())
        .and_then(rustix::fs::syncfs)
        .map_err(|err| DiskError::Attach { path: path.to_owned(), source: err.into() })
}

/// Which file system a file holds, by its magic number.
///
/// # Errors
/// When it cannot be read or is none of those known here.
pub fn recognize(path: &Path) -> Result<Filesystem, DiskError> {
    let unknown = || DiskError::Unknown { path: path.to_owned() };
    let mut file = File::open(path).map_err(|_| unknown())?;
    let magics: [(Filesystem, u64, &[u8]); 3] = [
        (Filesystem::Ext4, 1080, &[0x53, 0xEF]),
        (Filesystem::Xfs, 0, b"XFSB"),
        (Filesystem::Btrfs, 65_600, b"_BHRfS_M"),
    ];
    let found = magics.into_iter().find(|(_, at, magic)| {
        let mut there = vec![0; magic.len()];
        let read = file.seek(SeekFrom::Start(*at)).and_then(|_| file.read_exact(&mut there));
        read.is_ok() && there == *magic
    });
    found.map(|(filesystem, ..)| filesystem).ok_or_else(unknown)
}

/// A disk that is to be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The file.
    pub file: PathBuf,
    /// What is in it.
    pub filesystem: Filesystem,
    /// Which directory of it is shown, empty for its root; one that is missing is made.
    pub directory: PathBuf,
    /// How much may be written.
    pub access: Access,
}

impl Disk {
    /// Mounts it where nobody sees it: a directory descriptor to work below, through which nothing
    /// can be executed and no device opened.
    ///
    /// # Errors
    /// When there is no loop device, or the kernel refuses.
    pub fn detached(&self) -> Result<OwnedFd, DiskError> {
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        self.open(attributes)
    }

    /// As [`Disk::detached`], with these attributes.
    pub(crate) fn open(&self, attributes: MountAttrFlags) -> Result<OwnedFd, DiskError> {
        let whole = self.open_whole(attributes)?;
        if self.directory.as_os_str().is_empty() {
            return Ok(whole);
        }
        part::of(whole.as_fd(), &self.directory).map_err(|source| DiskError::Part {
            path: self.file.clone(),
            directory: self.directory.clone(),
            source,
        })
    }

    fn open_whole(&self, attributes: MountAttrFlags) -> Result<OwnedFd, DiskError> {
        let attach = |source| DiskError::Attach { path: self.file.clone(), source };
        // A descriptor of its own: the device keeps the one that it is given.
        let lock = File::open(&self.file).map_err(attach)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|err| attach(err.into()))?;
        let attributes = match self.access {
            Access::ReadWrite => attributes,
            Access::ReadOnly | Access::Sealed => attributes | MountAttrFlags::MOUNT_ATTR_RDONLY,
        };
        let sealed = self.access == Access::Sealed;
        let first = device::attach(&self.file, sealed).map_err(attach)?;
        let mounted = mount(&first, self.filesystem, attributes);
        // After a power cut, the file system itself has to write once before it can be read.
        let mounted = match mounted {
            Err((_, rustix::io::Errno::ROFS)) if first.read_only => {
                drop(first);
                mount(&device::attach(&self.file, false).map_err(attach)?, self.filesystem, attributes)
            }
            decided => decided,
        };
        mounted.map_err(|(said, cause)| DiskError::Mount {
            path: self.file.clone(),
            filesystem: self.filesystem.as_str(),
            said,
            source: cause.into(),
        })
    }
}

fn mount(
    device: &Device,
    filesystem: Filesystem,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, (String, rustix::io::Errno)> {
    let context = rustix::mount::fsopen(filesystem.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|err| (String::new(), err))?;
    let made = || {
        rustix::mount::fsconfig_set_string(context.as_fd(), "source", device.path().as_str())?;
        if device.read_only {
            rustix::mount::fsconfig_set_flag(context.as_fd(), "ro")?;
        }
        // Copies of a file have its UUID, too.
        if filesystem == Filesystem::Xfs {
            rustix::mount::fsconfig_set_flag(context.as_fd(), "nouuid")?;
        }
        rustix::mount::fsconfig_create(context.as_fd())?;
        rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    made().map_err(|err| (said(context.as_fd()), err))
}

/// A path for the calls that take no descriptor of a directory.
fn below(directory: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}
