//! Loop devices: a file as a block device.
//!
//! Whoever attaches holds a lock on the file meanwhile, so two who come at the same time find the
//! same device.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::sys::block;

/// Others may take the device that we were told is free.
const ATTEMPTS: u32 = 64;
/// Somebody reads a sealed file, or unmounts it at this moment.
const PATIENCE: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// A device that shows a file for as long as this, or a mount of it, is there.
#[derive(Debug)]
pub(super) struct Device {
    /// `/dev/loop<number>`.
    pub(super) number: u32,
    /// It cannot be written to.
    pub(super) read_only: bool,
    _open: File,
}

impl Device {
    pub(super) fn path(&self) -> String {
        format!("/dev/loop{}", self.number)
    }
}

/// Whether a device shows `path` that can be written to.
pub(super) fn is_written(path: &Path, file: &File) -> io::Result<bool> {
    Ok(find(path, file)?.is_some_and(|device| !device.read_only))
}

/// The device that shows `path` already, or a new one.
///
/// # Errors
/// When there is no loop device to be had, or the file is in use in a way that excludes this one.
pub(super) fn attach(path: &Path, sealed: bool) -> io::Result<Device> {
    let file = OpenOptions::new().read(true).write(!sealed).custom_flags(libc::O_NOFOLLOW).open(path)?;
    for _ in 0..PATIENCE {
        match find(path, &file)? {
            Some(device) if device.read_only && !sealed => thread::sleep(PAUSE),
            Some(device) => return Ok(device),
            None => return fresh(&file, sealed),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "somebody else has it mounted read-only"))
}

fn fresh(file: &File, read_only: bool) -> io::Result<Device> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    let flags = block::AUTOCLEAR | block::DIRECT_IO | if read_only { block::READ_ONLY } else { 0 };
    for _ in 0..ATTEMPTS {
        let number = block::free_loop(control.as_fd())?;
        let open = OpenOptions::new().read(true).write(!read_only).open(format!("/dev/loop{number}"))?;
        match block::configure_loop(open.as_fd(), file.as_fd(), flags) {
            Ok(()) => return Ok(Device { number, read_only, _open: open }),
            Err(err) if err.raw_os_error() == Some(libc::EBUSY) => {}
            Err(err) => return Err(err),
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "every free loop device was taken by somebody else"))
}

/// A device in use has the directory `loop` in sysfs.
fn find(path: &Path, file: &File) -> io::Result<Option<Device>> {
    let (of_file, canonical) = (file.metadata()?, fs::canonicalize(path)?);
    for entry in fs::read_dir("/sys/block")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("loop")?.parse::<u32>().ok());
        let Some(number) = number else { continue };
        let Ok(shown) = fs::read_to_string(format!("/sys/block/loop{number}/loop/backing_file")) else {
            continue;
        };
        // A subvolume's device is not the one that the kernel tells.
        let same_path = Path::new(shown.trim_end_matches('\n')) == canonical;
        if let Some(device) = open(number)
            && let Ok(info) = block::loop_info(device.as_fd())
            && info.inode == of_file.ino()
            && (info.device == of_file.dev() || same_path)
        {
            let read_only = info.flags & block::READ_ONLY != 0;
            return Ok(Some(Device { number, read_only, _open: device }));
        }
    }
    Ok(None)
}

/// It may be gone by now.
fn open(number: u32) -> Option<File> {
    File::open(format!("/dev/loop{number}")).ok()
}
