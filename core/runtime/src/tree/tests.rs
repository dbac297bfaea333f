//! Trees with everything that a root file system may hold.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, XattrFlags};

use super::*;

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs uid 0");
    }
    root
}

/// What `ls -l` would tell, without the inode.
fn facts(path: &Path) -> (u32, u32, u32, u64, i64, i64, u64) {
    let stat = fs::symlink_metadata(path).unwrap();
    (stat.mode(), stat.uid(), stat.gid(), stat.size(), stat.mtime(), stat.mtime_nsec(), stat.rdev())
}

fn attribute(path: &Path, name: &str) -> Vec<u8> {
    let mut value = [0; 64];
    let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
    value[..length].to_vec()
}

fn age(path: &Path, seconds: u64) {
    let file = fs::File::open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::new(seconds, 123_456_789)).unwrap();
}

fn furnish(at: &Path) {
    fs::create_dir_all(at.join("dir/inner")).unwrap();
    fs::write(at.join("dir/file"), "text").unwrap();
    fs::set_permissions(at.join("dir/file"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(at.join("dir/file"), at.join("dir/inner/same")).unwrap();
    symlink("/nowhere/at/all", at.join("link")).unwrap();
    std::os::unix::fs::lchown(at.join("link"), Some(7), Some(8)).unwrap();
    let make = |name: &str, kind, device| {
        rustix::fs::mknodat(CWD, at.join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
    };
    make("whiteout", FileType::CharacterDevice, 0);
    make("disk", FileType::BlockDevice, rustix::fs::makedev(7, 3));
    make("pipe", FileType::Fifo, 0);
    make("socket", FileType::Socket, 0);
    let set = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::lsetxattr(at.join(name), key, value, XattrFlags::empty()).unwrap();
    };
    set("dir", "trusted.overlay.opaque", b"y");
    set("dir/inner", "user.note", b"hello");
    set("link", "trusted.note", b"of a link");
    let sparse = fs::File::create(at.join("sparse")).unwrap();
    sparse.write_all_at(b"x", 8 << 20).unwrap();
    sparse.set_len(16 << 20).unwrap();
    std::os::unix::fs::chown(at.join("dir"), Some(1000), Some(1001)).unwrap();
    fs::set_permissions(at.join("dir"), fs::Permissions::from_mode(0o1500)).unwrap();
    age(&at.join("dir/file"), 1_000_000);
    age(&at.join("dir/inner"), 2_000_000);
    age(&at.join("dir"), 3_000_000);
    age(at, 4_000_000);
}

#[test]
fn privileged_a_clone_is_like_its_source() {
    if !root() {
        return;
    }
    let box_ = tempfile::tempdir().unwrap();
    let (source, dest) = (box_.path().join("source"), box_.path().join("dest"));
    furnish(&source);
    clone(&source, &dest).unwrap();

    let names = ["", "dir", "dir/file", "dir/inner", "link", "whiteout", "disk", "pipe", "socket", "sparse"];
    for name in names {
        assert_eq!(facts(&source.join(name)), facts(&dest.join(name)), "{name}");
    }
    assert_eq!(fs::read_to_string(dest.join("dir/file")).unwrap(), "text");
    assert_eq!(fs::read_link(dest.join("link")).unwrap(), Path::new("/nowhere/at/all"));
    let inode = |name: &str| fs::metadata(dest.join(name)).unwrap().ino();
    assert_eq!(inode("dir/file"), inode("dir/inner/same"));
    assert_eq!(attribute(&dest.join("dir"), "trusted.overlay.opaque"), b"y");
    assert_eq!(attribute(&dest.join("dir/inner"), "user.note"), b"hello");
    assert_eq!(attribute(&dest.join("link"), "trusted.note"), b"of a link");
    let sparse = fs::read(dest.join("sparse")).unwrap();
    assert_eq!(sparse.iter().filter(|byte| **byte != 0).count(), 1);
    assert!(fs::metadata(dest.join("sparse")).unwrap().blocks() < 1000, "the holes were filled");
    remove(&source).unwrap();
    assert!(!source.exists());
}

#[test]
fn a_clone_goes_nowhere_when_something_is_there() {
    let box_ = tempfile::tempdir().unwrap();
    let (source, dest) = (box_.path().join("source"), box_.path().join("dest"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&dest).unwrap();
    fs::write(dest.join("kept"), "").unwrap();
    let err = clone(&source, &dest).unwrap_err();
    assert_eq!(err.to_string(), format!("cannot write {}", dest.display()));
    assert!(dest.join("kept").exists());
    assert!(matches!(clone(&box_.path().join("none"), &dest), Err(TreeError::Read { .. })));
}

#[test]
fn removing_does_not_follow_links() {
    let box_ = tempfile::tempdir().unwrap();
    let at = |name: &str| box_.path().join(name);
    fs::create_dir_all(at("outside")).unwrap();
    fs::write(at("outside/kept"), "").unwrap();
    fs::create_dir_all(at("tree/dir")).unwrap();
    symlink(at("outside"), at("tree/dir/link")).unwrap();
    symlink(at("outside"), at("link")).unwrap();
    remove(&at("tree")).unwrap();
    remove(&at("link")).unwrap();
    remove(&at("link")).unwrap();
    remove(&at("none/none")).unwrap();
    assert!(!at("tree").exists() && at("outside/kept").exists());
}

#[test]
fn very_deep_trees_are_cloned_and_removed() {
    let box_ = tempfile::tempdir().unwrap();
    let (source, dest) = (box_.path().join("source"), box_.path().join("dest"));
    fs::create_dir(&source).unwrap();
    let mut open = rustix::fs::open(&source, OFlags::PATH, Mode::empty()).unwrap();
    for _ in 0..1200 {
        rustix::fs::mkdirat(&open, "deep-deep", Mode::RWXU).unwrap();
        open = rustix::fs::openat(&open, "deep-deep", OFlags::PATH, Mode::empty()).unwrap();
    }
    rustix::fs::symlinkat("end", &open, "link").unwrap();
    clone(&source, &dest).unwrap();
    let path = PathBuf::from_iter(std::iter::repeat_n("deep-deep", 1200));
    let to = rustix::fs::open(&dest, OFlags::PATH, Mode::empty()).unwrap();
    let bottom = open_below(to.as_fd(), &path).unwrap();
    rustix::fs::statat(&bottom, "link", AtFlags::SYMLINK_NOFOLLOW).unwrap();
    remove(&source).unwrap();
    remove(&dest).unwrap();
    assert!(!source.exists() && !dest.exists());
}

#[test]
fn privileged_what_is_mounted_is_left_alone() {
    if !root() {
        return;
    }
    let box_ = tempfile::tempdir().unwrap();
    let (tree, other) = (box_.path().join("tree"), box_.path().join("other"));
    fs::create_dir_all(tree.join("mounted")).unwrap();
    fs::create_dir(&other).unwrap();
    fs::write(other.join("kept"), "").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let private =
                rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
            rustix::mount::mount_change("/", private).unwrap();
            rustix::mount::mount_bind(&other, tree.join("mounted")).unwrap();
            let err = remove(&tree).unwrap_err();
            assert_eq!(err.to_string(), format!("{} is a mount point", tree.join("mounted").display()));
            let err = clone(&tree, &box_.path().join("copy")).unwrap_err();
            assert!(matches!(err, TreeError::MountPoint { .. }), "{err}");
            assert!(matches!(remove(&tree.join("mounted")), Err(TreeError::MountPoint { .. })));
        });
    });
    assert!(other.join("kept").exists());
    assert!(!box_.path().join("copy").exists());
    remove(&tree).unwrap();
}
