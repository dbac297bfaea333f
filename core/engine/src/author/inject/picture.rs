//! What there is, as sorted lines, and how two of them differ.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use wharf_model::Digest;
use wharf_store::Store;

/// Lines, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture(Vec<String>);

impl Picture {
    pub(super) fn new(mut lines: Vec<String>) -> Self {
        lines.sort();
        Self(lines)
    }

    /// Without the lines that begin so.
    pub(super) fn without(&self, beginning: &str) -> Self {
        Self(self.0.iter().filter(|line| !line.starts_with(beginning)).cloned().collect())
    }

    /// What came and what went since `before`.
    pub(super) fn since(&self, before: &Self) -> Vec<String> {
        let came = self.0.iter().filter(|line| !before.0.contains(line)).map(|line| format!("left: {line}"));
        let went = before.0.iter().filter(|line| !self.0.contains(line)).map(|line| format!("gone: {line}"));
        came.chain(went).collect()
    }
}

/// What a storage driver has: its files, its state, and what the kernel mounted of them.
pub(super) fn of_driver(root: &Path, store: &Store, driver: &str) -> io::Result<Picture> {
    let mut lines = Vec::new();
    for area in ["layer", "container", "volume"] {
        let directory = root.join(area);
        if directory.exists() {
            files(&directory, area, &mut lines)?;
        }
    }
    lines.extend(state(store, driver));
    lines.extend(mounts(root)?);
    lines.extend(loop_devices(root));
    Ok(Picture::new(lines))
}

/// What the driver remembers.
pub(super) fn state(store: &Store, driver: &str) -> Vec<String> {
    let state = store.driver_state(driver);
    let keys = state.keys("", u32::MAX).unwrap_or_default();
    let value = |key: &String| state.get(key).ok().flatten().unwrap_or_default();
    keys.iter().map(|key| format!("state {key} = {}", Digest::of(value(key)).short())).collect()
}

fn files(directory: &Path, shown: &str, lines: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let shown = format!("{shown}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        let stat = fs::symlink_metadata(&path)?;
        let kind = stat.file_type();
        let what = if kind.is_dir() {
            "directory".to_owned()
        } else if kind.is_symlink() {
            format!("link to {}", fs::read_link(&path)?.display())
        } else if kind.is_file() {
            format!("file {}", contents(&path, stat.len())?)
        } else if kind.is_char_device() {
            format!("device {}", stat.rdev())
        } else {
            "special file".to_owned()
        };
        lines.push(format!("{shown} ({what}, {:o}, {}:{})", stat.mode() & 0o7777, stat.uid(), stat.gid()));
        if kind.is_dir() {
            files(&path, &shown, lines)?;
        }
    }
    Ok(())
}

/// A disk image is large and empty: its length has to do.
fn contents(path: &Path, length: u64) -> io::Result<String> {
    const READ: u64 = 1 << 20;
    if length > READ {
        return Ok(format!("of {length} bytes"));
    }
    Ok(Digest::of(fs::read(path)?).short())
}

fn mounts(root: &Path) -> io::Result<Vec<String>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let root = root.to_string_lossy();
    Ok(table.lines().filter(|line| line.contains(&*root)).map(|line| format!("mount {line}")).collect())
}

fn loop_devices(root: &Path) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let backing =
        devices.filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
    let root = root.to_string_lossy().into_owned();
    backing
        .filter(|file| file.contains(&root))
        .map(|file| format!("loop device of {}", file.trim_end()))
        .collect()
}
