//! Who a container's process runs as: `USER` and `--user` against the container's own files.
//!
//! `/etc/passwd` and `/etc/group` belong to the image, which may be hostile: they are opened inside
//! the root, must be regular files (a FIFO would hang us), and are read up to a bound. A string of
//! digits is always a number, even when somebody is named so; the first entry that fits wins.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// More than any real file; a bigger one is refused.
const LARGEST: u64 = 8 << 20;
/// The largest number that the kernel's interfaces agree on.
const LAST: u32 = i32::MAX as u32;

/// A user, a group, and what comes with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Supplementary groups: only when no group was named.
    pub additional: Vec<u32>,
    /// `HOME`; `/` for somebody without an entry.
    pub home: String,
}

/// Why nobody fits.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// A number that could mean another user to the kernel.
    #[error("{0} is not a user or group: numbers go from 0 to {LAST}")]
    Range(String),
    /// A hostile or broken file.
    #[error("cannot read {path} of the container")]
    File {
        /// Which.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Finds `user` (empty, `name`, `1000`, each with `:group`) in the container whose root is `root`.
///
/// # Errors
/// When a name has no entry, a number is out of range, or a file is not a plain one.
pub fn resolve(root: BorrowedFd<'_>, user: &str) -> Result<Identity, UserError> {
    let passwd = read(root, "/etc/passwd")?;
    let group = read(root, "/etc/group")?;
    find(user, &passwd, &group)
}

/// Reads a file of the container; a missing one is empty.
fn read(root: BorrowedFd<'_>, path: &'static str) -> Result<String, UserError> {
    match read_plain(root, Path::new(path)) {
        Ok(text) => Ok(text),
        Err(err) if matches!(err.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(String::new()),
        Err(source) => Err(UserError::File { path, source }),
    }
}

fn read_plain(root: BorrowedFd<'_>, path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let look = OFlags::PATH | OFlags::CLOEXEC;
    let open = |flags| loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), inside) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    };
    // Looked at before it is opened: opening a device may already do something.
    plain(&rustix::fs::fstat(open(look)?)?)?;
    let file = open(flags)?;
    plain(&rustix::fs::fstat(&file)?)?;
    let mut bytes = Vec::new();
    File::from(file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn plain(stat: &rustix::fs::Stat) -> io::Result<()> {
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(())
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

fn find(user: &str, passwd: &str, group: &str) -> Result<Identity, UserError> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let entry = match number(name)? {
        Some(uid) => {
            passwd.lines().filter_map(Entry::parse).find(|entry| entry.uid == uid).unwrap_or(Entry::bare(uid))
        }
        None => {
            let found = passwd.lines().filter_map(Entry::parse).find(|entry| entry.name == name);
            found.ok_or_else(|| UserError::NoUser(name.to_owned()))?
        }
    };
    check(entry.uid)?;
    let (gid, additional) = match group_name {
        Some(group_name) => (find_group(group_name, group)?, Vec::new()),
        None => (check(entry.gid)?, memberships(entry.name, group)),
    };
    let home = if entry.home.is_empty() { "/" } else { entry.home };
    Ok(Identity { uid: entry.uid, gid, additional, home: home.to_owned() })
}

/// Digits are a number, whatever they are called.
fn number(text: &str) -> Result<Option<u32>, UserError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let range = || UserError::Range(text.to_owned());
    check(text.parse().map_err(|_| range())?).map(Some).map_err(|_| range())
}

fn check(id: u32) -> Result<u32, UserError> {
    if id <= LAST { Ok(id) } else { Err(UserError::Range(id.to_string())) }
}

fn find_group(name: &str, group: &str) -> Result<u32, UserError> {
    if let Some(gid) = number(name)? {
        return Ok(gid);
    }
    let found = group.lines().filter_map(Group::parse).find(|entry| entry.name == name);
    check(found.ok_or_else(|| UserError::NoGroup(name.to_owned()))?.gid)
}

fn memberships(user: &str, group: &str) -> Vec<u32> {
    if user.is_empty() {
        return Vec::new();
    }
    let groups = group.lines().filter_map(Group::parse);
    let mine = groups
        .filter(|entry| entry.gid <= LAST && entry.members.split(',').any(|member| member.trim() == user));
    let mut gids: Vec<_> = mine.map(|entry| entry.gid).collect();
    gids.dedup();
    gids
}

/// A line of `/etc/passwd`.
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Entry<'a> {
    /// Lines that are none are skipped.
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let uid = fields.nth(1)?.trim().parse().ok()?;
        let gid = fields.next()?.trim().parse().ok()?;
        let home = fields.nth(1).unwrap_or("");
        Some(Self { name, uid, gid, home })
    }

    /// Of a number without a line.
    fn bare(uid: u32) -> Self {
        Self { name: "", uid, gid: 0, home: "" }
    }
}

/// A line of `/etc/group`.
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let gid = fields.nth(1)?.trim().parse().ok()?;
        Some(Self { name, gid, members: fields.next().unwrap_or("") })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;

    const PASSWD: &str = "# who\nroot:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33::/srv:/bin/sh\nweb:x:34:34::/:\n\
                          1000:x:5:5::/five:\nout:x:4294967295:0::/:\n";
    const GROUP: &str = "root:x:0:root\nwww:x:33:\nextra:x:50:web,other\nmore:x:51:other, web\n";

    #[test]
    fn users_and_groups() {
        for (user, uid, gid, additional, home) in [
            ("", 0, 0, vec![0], "/root"),
            ("root", 0, 0, vec![0], "/root"),
            ("web", 33, 33, vec![50, 51], "/srv"),
            ("web:extra", 33, 50, vec![], "/srv"),
            ("web:7", 33, 7, vec![], "/srv"),
            ("33", 33, 33, vec![50, 51], "/srv"),
            ("1000", 1000, 0, vec![], "/"),
            ("1000:www", 1000, 33, vec![], "/"),
        ] {
            let expected = Identity { uid, gid, additional, home: home.to_owned() };
            assert_eq!(find(user, PASSWD, GROUP).unwrap(), expected, "for {user:?}");
        }
    }

    #[test]
    fn names_without_entry_and_numbers_out_of_range_are_refused() {
        for (user, message) in [
            ("nobody", "unable to find user nobody: no matching entries in passwd file"),
            ("web:none", "unable to find group none: no matching entries in group file"),
            ("4294967295", "4294967295 is not a user or group: numbers go from 0 to 2147483647"),
            ("2147483648", "2147483648 is not a user or group: numbers go from 0 to 2147483647"),
            ("-1", "-1 is not a user or group: numbers go from 0 to 2147483647"),
            ("out", "4294967295 is not a user or group: numbers go from 0 to 2147483647"),
            ("0:99999999999", "99999999999 is not a user or group: numbers go from 0 to 2147483647"),
        ] {
            assert_eq!(find(user, PASSWD, GROUP).unwrap_err().to_string(), message, "for {user:?}");
        }
    }

    #[test]
    fn hostile_files_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let passwd = dir.path().join("etc/passwd");
        let resolve = || resolve(root.as_fd(), "1000");

        assert_eq!(resolve().unwrap().uid, 1000, "no file at all");
        let mode = Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, &passwd, FileType::Fifo, mode, 0).unwrap();
        assert!(resolve().is_err(), "a FIFO");
        fs::remove_file(&passwd).unwrap();
        fs::create_dir(&passwd).unwrap();
        assert!(resolve().is_err(), "a directory");
        fs::remove_dir(&passwd).unwrap();
        File::create(&passwd).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(resolve().is_err(), "a huge one");
        fs::remove_file(&passwd).unwrap();
        symlink("/etc/shadow", &passwd).unwrap();
        fs::write(dir.path().join("etc/shadow"), "u:x:1000:7::/inside:\n").unwrap();
        assert_eq!(resolve().unwrap().home, "/inside", "a link stays inside the root");
    }
}
