//! `--chown`: names to numbers, by the `/etc/passwd` and `/etc/group` of a root file system.
//!
//! Those files come from an image and may be anything: they are looked up inside the root, must be
//! regular files, and are read up to a bound.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

use wharf_model::build::Owner;

use super::resolve::{Last, open_file, resolve};

/// A user and a group, as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Why an owner has no numbers.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Nobody has the name.
    #[error("no user `{0}` in /etc/passwd")]
    NoUser(String),
    /// No group has the name.
    #[error("no group `{0}` in /etc/group")]
    NoGroup(String),
    /// A number, but not an id.
    #[error("`{0}` is not an id: expected at most {MAX_ID}")]
    Range(String),
    /// The file is not one, too long, or cannot be read.
    #[error("cannot read /{path}")]
    Read {
        /// Which file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// As runc and docker: ids are 31 bits.
const MAX_ID: u32 = i32::MAX as u32;
const ROOT: &str = "root";
const MAX_SIZE: u64 = 16 << 20;
const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";

/// Looks the names of `owner` up. A number is never a name; alone it is its own group. No user at all
/// (`:group`) is root, and so is `root` where no file says who that is.
///
/// # Errors
/// When a name is not there, a number is too large, or a file cannot be read.
pub fn resolve_owner(root: BorrowedFd<'_>, owner: &Owner) -> Result<Ids, OwnerError> {
    let (uid, own_gid) = match number(&owner.user)? {
        Some(uid) => (uid, uid),
        None if owner.user.is_empty() && owner.group.as_deref().is_some_and(|group| !group.is_empty()) => {
            (0, 0)
        }
        None => user(&read(root, PASSWD)?, &owner.user)?,
    };
    let gid = match owner.group.as_deref() {
        None | Some("") => own_gid,
        Some(group) => match number(group)? {
            Some(gid) => gid,
            None => self::group(&read(root, GROUP)?, group)?,
        },
    };
    Ok(Ids { uid, gid })
}

fn number(text: &str) -> Result<Option<u32>, OwnerError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let id = text.parse().ok().filter(|id| *id <= MAX_ID);
    id.map(Some).ok_or_else(|| OwnerError::Range(text.to_owned()))
}

fn user(passwd: &str, name: &str) -> Result<(u32, u32), OwnerError> {
    let ids = lines(passwd, name).find_map(|fields| {
        let uid = number(fields.get(2)?).ok()??;
        let gid = number(fields.get(3)?).ok()??;
        Some((uid, gid))
    });
    let root = (name == ROOT).then_some((0, 0));
    ids.or(root).ok_or_else(|| OwnerError::NoUser(name.to_owned()))
}

fn group(groups: &str, name: &str) -> Result<u32, OwnerError> {
    let gid = lines(groups, name).find_map(|fields| number(fields.get(2)?).ok()?);
    let root = (name == ROOT).then_some(0);
    gid.or(root).ok_or_else(|| OwnerError::NoGroup(name.to_owned()))
}

/// The fields of the lines whose first one is `name`.
fn lines<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let fields = text.lines().map(|line| line.trim().split(':').collect::<Vec<_>>());
    fields.filter(move |fields| fields.first() == Some(&name) && !name.is_empty())
}

/// A missing file has no names.
fn read(root: BorrowedFd<'_>, path: &'static str) -> Result<String, OwnerError> {
    let text = || -> io::Result<String> {
        let resolved = resolve(root, Path::new(path), Last::Follow)?;
        if resolved.stat.is_none() {
            return Ok(String::new());
        }
        let mut bytes = Vec::new();
        let file = File::from(open_file(root, &resolved.path)?);
        file.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_SIZE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 16 MiB"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    text().map_err(|source| OwnerError::Read { path, source })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn root() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/:/bin/sh\nbroken:x\nme:x:1000:100::/:\n7:x:1:1::/:\nme:x:2:2::/:\n";
        std::fs::write(dir.path().join(PASSWD), passwd).unwrap();
        std::fs::write(dir.path().join(GROUP), "staff:x:50:me\n").unwrap();
        let fd = File::open(dir.path()).unwrap();
        (dir, fd)
    }

    fn ids(root: &File, user: &str, group: Option<&str>) -> Result<Ids, OwnerError> {
        let owner = Owner { user: user.into(), group: group.map(str::to_owned) };
        resolve_owner(root.as_fd(), &owner)
    }

    #[test]
    fn names_and_numbers() {
        let (_dir, root) = root();
        for (user, group, uid, gid) in [
            ("me", None, 1000, 100),
            ("me", Some("staff"), 1000, 50),
            ("me", Some("7"), 1000, 7),
            ("7", None, 7, 7),
            ("7", Some("0"), 7, 0),
            ("7", Some(""), 7, 7),
            ("", Some("staff"), 0, 50),
            ("root", Some("root"), 0, 0),
        ] {
            assert_eq!(ids(&root, user, group).unwrap(), Ids { uid, gid }, "{user}:{group:?}");
        }
        for (user, group) in
            [("nobody", None), ("broken", None), ("", None), ("me", Some("no")), ("4294967295", None)]
        {
            assert!(ids(&root, user, group).is_err(), "{user}:{group:?}");
        }
    }

    #[test]
    fn hostile_files_are_refused_and_missing_ones_empty() {
        let (dir, root) = root();
        let passwd = dir.path().join(PASSWD);
        std::fs::remove_file(&passwd).unwrap();
        assert!(matches!(ids(&root, "me", None), Err(OwnerError::NoUser(_))));
        assert_eq!(ids(&root, "root", None).unwrap(), Ids { uid: 0, gid: 0 });
        nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(ids(&root, "me", None), Err(OwnerError::Read { .. })));
        std::fs::remove_file(&passwd).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", &passwd).unwrap();
        assert!(matches!(ids(&root, "me", None), Err(OwnerError::NoUser(_))));
        std::fs::remove_file(&passwd).unwrap();
        File::create(&passwd).unwrap().set_len(MAX_SIZE + 1).unwrap();
        assert!(matches!(ids(&root, "me", None), Err(OwnerError::Read { .. })));
    }
}
