//! What a storage or network driver may know about the host.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use wharf_model::storage::HostFacts;

/// The facts of this host, `root` being where the engine keeps its things. What cannot be found out
/// is empty.
pub fn host(root: &Path) -> HostFacts {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    HostFacts {
        kernel,
        rootless: !rustix::process::geteuid().is_root(),
        filesystems: parse_filesystems(&filesystems),
        root_fstype: fstype(root).unwrap_or_default(),
        links: links().unwrap_or_default(),
    }
}

/// `nodev` may stand before the name.
fn parse_filesystems(text: &str) -> Vec<String> {
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect();
    names.sort_unstable();
    names
}

/// By the number of the mount, because a subvolume's device is not its mount's.
fn fstype(path: &Path) -> io::Result<String> {
    let open = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", open.as_raw_fd()))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    Ok(id.and_then(|id| parse_fstype(&mounts, id)).unwrap_or_default().to_owned())
}

/// `36 35 98:0 /root /mount options [optional]... - type source options`
fn parse_fstype<'a>(mounts: &'a str, id: &str) -> Option<&'a str> {
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(id))?;
    line.split_once(" - ")?.1.split(' ').next()
}

/// Links are symbolic links to their devices; settings of drivers are files.
fn links() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/sys/class/net")? {
        let entry = entry?;
        if entry.file_type()?.is_symlink() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filesystems_are_the_last_word_of_each_line() {
        let text = "nodev\tsysfs\nnodev\toverlay\n\text4\n\n";
        assert_eq!(parse_filesystems(text), ["ext4", "overlay", "sysfs"]);
    }

    #[test]
    fn the_type_of_a_mount_is_behind_the_dash() {
        let mounts = "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      22 1 0:20 / /proc rw - proc proc rw\n";
        for (id, expected) in [("1", Some("ext4")), ("22", Some("proc")), ("2", None)] {
            assert_eq!(parse_fstype(mounts, id), expected, "{id}");
        }
    }

    #[test]
    fn this_host_has_facts() {
        let facts = host(Path::new("/proc"));
        assert_eq!(facts.root_fstype, "proc");
        assert!(!facts.kernel.is_empty() && facts.filesystems.contains(&"proc".to_owned()));
        assert!(facts.links.contains(&"lo".to_owned()));
    }
}
