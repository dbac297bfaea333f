use super::*;
use crate::layer::sample::{Tar, apply_to, is_root, open, tar_of};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// What a careful person would put into a layer.
fn fill(root: &Path) {
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    for dir in ["a", "a.b", "a/deep", "empty"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::write(root.join("a/file"), "hello").unwrap();
    fs::write(root.join("a.b/file"), vec![7; 3000]).unwrap();
    fs::hard_link(root.join("a/file"), root.join("a/deep/again")).unwrap();
    symlink("l".repeat(150), root.join("link")).unwrap();
    fs::write(root.join("n".repeat(200)), "").unwrap();
    rustix::fs::mknodat(open(root), "fifo", FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(open(root), "null", FileType::CharacterDevice, Mode::from(0o600), device).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    attributes::set(open(root).as_fd(), b"a", &[(b"user.k".to_vec(), b"v".to_vec())]).unwrap();
    rustix::fs::chownat(
        open(root),
        "empty",
        Some(rustix::fs::Uid::from_raw(3_000_000)),
        None,
        AtFlags::empty(),
    )
    .unwrap();
    fs::set_permissions(root.join("a/file"), fs::Permissions::from_mode(0o4711)).unwrap();
    whiteout::make_gone(open(root).as_fd(), b"gone").unwrap();
    whiteout::make_opaque(open(root).as_fd(), b"empty").unwrap();
}

#[test]
fn privileged_applying_a_diff_gives_the_same_diff() {
    if !is_root() {
        return;
    }
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(first.path());
    fs::set_permissions(second.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (tar, diffed) = tar_of(first.path(), None, LayerFormat::Overlay);
    assert_eq!((diffed.diff_id, diffed.tar_size), (Digest::of(&tar), tar.len() as u64));
    let applied = apply_to(second.path(), &tar, LayerFormat::Overlay).unwrap();
    assert_eq!((applied.diff_id, applied.size), (diffed.diff_id, diffed.size));
    let (again, _) = tar_of(second.path(), None, LayerFormat::Overlay);
    assert_eq!(tar, again);
    assert_eq!(fs::metadata(second.path().join("a/deep/again")).unwrap().nlink(), 2);
}

#[test]
fn privileged_gnu_tar_reads_it() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let (tar, _) = tar_of(dir.path(), None, LayerFormat::Overlay);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), tar).unwrap();
    let listed = std::process::Command::new("tar").arg("-tf").arg(file.path()).output().unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<&str> = names.lines().collect();
    let long = "n".repeat(200);
    assert_eq!(
        names,
        [
            "a/",
            "a/deep/",
            "a/deep/again",
            "a/file",
            "a.b/",
            "a.b/file",
            "empty/",
            "empty/.wh..wh..opq",
            "fifo",
            ".wh.gone",
            "link",
            &long,
            "null",
        ]
    );
}

#[test]
fn privileged_packing_a_tree_changes_nothing_in_it() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("new"), "").unwrap();
    set_time(open(dir.path()).as_fd(), b"new", (900, 0)).unwrap();
    let mut out = Vec::new();
    let added = Added { path: "said", content: b"what is said", mtime: 77 };
    let packed = pack(open(dir.path()).as_fd(), 500, &[added], &mut out).unwrap();
    assert_eq!((packed.size, packed.tar_size), (12, out.len() as u64));
    assert_eq!(fs::metadata(dir.path().join("new")).unwrap().mtime(), 900);
    let mut archive = tar::Archive::new(&*out);
    let times = archive.entries().unwrap().map(|entry| entry.unwrap().header().mtime().unwrap());
    assert!(times.max() == Some(500));
    let mut archive = tar::Archive::new(&*out);
    let last = archive.entries().unwrap().map(Result::unwrap).last().unwrap();
    assert_eq!((&*last.path_bytes(), last.header().mtime().unwrap()), (&b"said"[..], 77));
}

#[test]
fn privileged_times_are_clamped_on_disk_too() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, time) in [("old", 100), ("new", 900), ("since", 300)] {
        fs::write(dir.path().join(name), "").unwrap();
        set_time(open(dir.path()).as_fd(), name.as_bytes(), (time, 5)).unwrap();
    }
    let times = Times { epoch: 500, since: Some(300) };
    let run = || {
        let mut out = Vec::new();
        diff(open(dir.path()).as_fd(), None, LayerFormat::Overlay, &times, &mut out).unwrap();
        out
    };
    let first = run();
    let time = |name: &str| {
        let meta = fs::metadata(dir.path().join(name)).unwrap();
        (meta.mtime(), meta.mtime_nsec())
    };
    assert_eq!((time("old"), time("new"), time("since")), ((100, 0), (500, 0), (500, 0)));
    let mut out = Vec::new();
    diff(open(dir.path()).as_fd(), None, LayerFormat::Overlay, &Times::KEEP, &mut out).unwrap();
    assert_eq!(first, out);
}

#[test]
fn privileged_nothing_changed_is_an_empty_layer() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(tar_of(dir.path(), None, LayerFormat::Overlay).1.entries, 0);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(tar_of(dir.path(), None, LayerFormat::Overlay).1.entries, 1);
}

#[test]
fn privileged_a_tree_is_compared_with_its_parent() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    for path in ["same/deep/file", "changed/file", "gone/file", "type"] {
        fs::create_dir_all(old.join(path).parent().unwrap()).unwrap();
        fs::write(old.join(path), "1").unwrap();
    }
    assert!(std::process::Command::new("cp").arg("-a").arg(&old).arg(&new).status().unwrap().success());
    let deep = open(&new.join("same/deep"));
    let before = fs::metadata(old.join("same/deep/file")).unwrap();
    assert_eq!(tar_of(&new, Some(&old), LayerFormat::Tree).1.entries, 0);

    fs::write(new.join("same/deep/file"), "2").unwrap();
    set_time(deep.as_fd(), b"file", (before.mtime(), before.mtime_nsec() as u32)).unwrap();
    fs::remove_dir_all(new.join("gone")).unwrap();
    fs::remove_file(new.join("type")).unwrap();
    fs::create_dir(new.join("type")).unwrap();
    let mut tar = Vec::new();
    let (epoch, since) = (i64::from(u32::MAX), None);
    let (tree, below) = (open(&new), open(&old));
    let times = Times { epoch, since };
    diff(tree.as_fd(), Some(below.as_fd()), LayerFormat::Tree, &times, &mut tar).unwrap();
    let listed = listed(&tar);
    assert_eq!(listed, [".wh.gone", "same/", "same/deep/", "same/deep/file", "type/"]);

    apply_to(&old, &tar, LayerFormat::Tree).unwrap();
    assert_eq!(tar_of(&new, Some(&old), LayerFormat::Tree).1.entries, 0);
}

fn listed(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap();
    entries.map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap()).collect()
}

#[test]
fn privileged_what_has_no_form_in_a_tar_is_refused() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".wh.x"), "").unwrap();
    let run = || diff(open(dir.path()).as_fd(), None, LayerFormat::Overlay, &Times::KEEP, &mut io::sink());
    assert!(matches!(run(), Err(DiffError::Refused { .. })));
    fs::remove_file(dir.path().join(".wh.x")).unwrap();
    fs::create_dir(dir.path().join("moved")).unwrap();
    rustix::fs::setxattr(
        dir.path().join("moved"),
        "trusted.overlay.redirect",
        b"/elsewhere",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    assert!(matches!(run(), Err(DiffError::Refused { .. })));
}

#[test]
fn privileged_an_imported_tar_comes_back_the_same() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tar = Tar::default().dir("a/").file("a/b", b"x").symlink("c", "a").end();
    apply_to(dir.path(), &tar, LayerFormat::Tree).unwrap();
    assert_eq!(listed(&tar_of(dir.path(), None, LayerFormat::Tree).0).last().map(String::as_str), Some("c"));
}
