//! Files that hooks provide: mounted read-only in a program's view, and never part of a layer.
//!
//! ```text
//! <the program's data directory>/provided/<number>
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wharf_model::hook::ProvidedFile;

use crate::container::{Mount, MountKind};

/// The kernel's own directories, where a file can not be put.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A file that a hook put into a container; what it holds is in the container's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provided {
    /// Where it is in the container.
    pub target: String,
    /// The hook.
    pub owner: String,
}

/// Whether a file can be provided beside others.
pub(super) fn check<'a>(
    file: &ProvidedFile,
    mut others: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    let target = file.target.as_str();
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    let wrong = |why: &str| Err(format!("provide {target:?}: {why}"));
    if !target.strip_prefix('/').is_some_and(|path| path.split('/').all(plain)) {
        return wrong("that is not an absolute path without `..`");
    }
    let below =
        |top: &str| target.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if KERNEL.iter().any(|top| below(top)) {
        return wrong("that is the kernel's own directory");
    }
    if others.any(|other| other == target) { wrong("another hook has provided it") } else { Ok(()) }
}

/// Writes what is provided below a data directory, for [`mounts`].
pub(crate) fn write(data: &Path, files: &[ProvidedFile]) -> io::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o711).create(data.join("provided"))?;
    for (number, file) in files.iter().enumerate() {
        let path = path(data, number);
        fs::write(&path, &file.content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode & 0o777))?;
    }
    Ok(())
}

/// How a program sees what was written.
pub(crate) fn mounts<'a>(data: &Path, targets: impl Iterator<Item = &'a str>) -> Vec<Mount> {
    let mount = |(number, target): (usize, &str)| Mount {
        kind: MountKind::Bind,
        name: String::new(),
        source: path(data, number).to_string_lossy().into_owned(),
        resolved: String::new(),
        target: target.to_owned(),
        read_only: true,
        propagation: String::new(),
        anonymous: false,
        options: Vec::new(),
    };
    targets.enumerate().map(mount).collect()
}

fn path(data: &Path, number: usize) -> PathBuf {
    data.join("provided").join(number.to_string())
}
