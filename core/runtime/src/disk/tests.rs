use std::os::unix::fs::MetadataExt;

use super::*;

const SIZE: u64 = 64 << 20;

/// Why nothing can be tried here, where that is so.
fn ready(program: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    let tool = ["/usr/sbin", "/sbin"].iter().any(|at| Path::new(at).join(program).exists());
    let device = Path::new("/dev/loop-control").exists();
    if !(root && tool && device) {
        println!("skipped: needs uid 0, {program} and /dev/loop-control");
    }
    root && tool && device
}

fn disk(at: &Path, name: &str) -> PathBuf {
    let path = at.join(name);
    make(&path, SIZE).unwrap();
    format(&path, Filesystem::Ext4).unwrap();
    path
}

fn detached(path: &Path, filesystem: Filesystem, access: Access) -> Result<OwnedFd, DiskError> {
    Disk { file: path.to_owned(), filesystem, directory: PathBuf::new(), access }.detached()
}

/// Loop devices that show something below `at`.
fn devices(at: &Path) -> Vec<String> {
    let shown = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("loop/backing_file")).ok();
    let all = fs::read_dir("/sys/block").unwrap().flatten().filter_map(shown);
    all.filter(|file| file.starts_with(at.to_str().unwrap())).collect()
}

#[test]
fn privileged_a_disk_is_mounted_where_nobody_sees_it_and_leaves_no_device() {
    if !ready("mkfs.ext4") {
        return;
    }
    let box_ = tempfile::tempdir().unwrap();
    let path = disk(box_.path(), "disk");
    assert_eq!(recognize(&path).unwrap(), Filesystem::Ext4);
    let mounted = detached(&path, Filesystem::Ext4, Access::ReadWrite).unwrap();
    assert_eq!(fs::read_dir(below(&mounted, ".")).unwrap().count(), 0, "no lost+found");
    fs::write(below(&mounted, "note"), "hello").unwrap();
    assert_eq!(devices(box_.path()).len(), 1);
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains("/dev/loop"), "a mount is visible");
    drop(mounted);
    assert_eq!(devices(box_.path()), [""; 0]);

    let again = detached(&path, Filesystem::Ext4, Access::Sealed).unwrap();
    assert_eq!(fs::read_to_string(below(&again, "note")).unwrap(), "hello");
    assert_eq!(fs::write(below(&again, "x"), "").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
}

#[test]
fn privileged_two_views_are_of_one_file_system() {
    if !ready("mkfs.ext4") {
        return;
    }
    let box_ = tempfile::tempdir().unwrap();
    let path = disk(box_.path(), "disk");
    let writer = detached(&path, Filesystem::Ext4, Access::ReadWrite).unwrap();
    let reader = detached(&path, Filesystem::Ext4, Access::ReadOnly).unwrap();
    let sealed = detached(&path, Filesystem::Ext4, Access::Sealed).unwrap();
    fs::write(below(&writer, "note"), "x").unwrap();
    for view in [&reader, &sealed] {
        assert_eq!(fs::read_to_string(below(view, "note")).unwrap(), "x");
        assert_eq!(fs::write(below(view, "y"), "").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    }
    assert_eq!(devices(box_.path()).len(), 1);
}

#[test]
fn privileged_a_disk_is_full_at_its_size() {
    if !ready("mkfs.ext4") {
        return;
    }
    let box_ = tempfile::tempdir().unwrap();
    let path = disk(box_.path(), "disk");
    let mounted = detached(&path, Filesystem::Ext4, Access::ReadWrite).unwrap();
    let mut file = File::create(below(&mounted, "big")).unwrap();
    let full = io::copy(&mut io::repeat(1).take(2 * SIZE), &mut file).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    drop(file);
    let written = fs::metadata(below(&mounted, "big")).unwrap().len();
    assert!(written > SIZE / 2 && written < SIZE, "{written}");
}

#[test]
fn privileged_the_same_request_gives_the_same_file_and_a_copy_is_sparse() {
    if !ready("mkfs.ext4") {
        return;
    }
    let box_ = tempfile::tempdir().unwrap();
    let one = box_.path().join("one");
    make(&one, SIZE).unwrap();
    format(&one, Filesystem::Ext4).unwrap();
    let copy = box_.path().join("copy");
    clone(&one, &copy).unwrap();
    assert_eq!(fs::read(&one).unwrap(), fs::read(&copy).unwrap());
    let kept = fs::metadata(&copy).unwrap().blocks() * 512;
    assert!(kept < SIZE / 2, "{kept} bytes for an empty file system");
    let mounted = detached(&copy, Filesystem::Ext4, Access::ReadWrite).unwrap();
    fs::write(below(&mounted, "note"), "").unwrap();
    assert!(matches!(clone(&one, &copy), Err(DiskError::Copy { .. })), "it is there already");
}

#[test]
fn privileged_trees_are_copied_from_one_disk_to_the_other() {
    if !ready("mkfs.ext4") {
        return;
    }
    let box_ = tempfile::tempdir().unwrap();
    let disks = ["a", "b"].map(|name| {
        let path = disk(box_.path(), name);
        detached(&path, Filesystem::Ext4, Access::ReadWrite).unwrap()
    });
    fs::create_dir(below(&disks[0], "d")).unwrap();
    fs::write(below(&disks[0], "d/f"), "x").unwrap();
    tree::fill(disks[0].as_fd(), disks[1].as_fd()).unwrap();
    assert_eq!(fs::read_to_string(below(&disks[1], "d/f")).unwrap(), "x");
}

#[test]
fn privileged_one_directory_is_shown_alone() {
    if !ready("mkfs.ext4") {
        return;
    }
    let box_ = tempfile::tempdir().unwrap();
    let file = disk(box_.path(), "disk");
    let part = |access| {
        let (file, directory) = (file.clone(), PathBuf::from("a/fs"));
        Disk { file, filesystem: Filesystem::Ext4, directory, access }.detached()
    };
    let text = part(Access::Sealed).unwrap_err().to_string();
    assert!(text.contains("cannot mount a/fs of"), "{text}");
    fs::write(below(&part(Access::ReadWrite).unwrap(), "note"), "x").unwrap();
    assert_eq!(fs::read_to_string(below(&part(Access::Sealed).unwrap(), "note")).unwrap(), "x");
    let whole = detached(&file, Filesystem::Ext4, Access::Sealed).unwrap();
    assert_eq!(fs::read_to_string(below(&whole, "a/fs/note")).unwrap(), "x");
    drop(whole);
    assert_eq!(devices(box_.path()), [""; 0]);
}

#[test]
fn privileged_a_copy_of_a_disk_in_use_has_what_was_written() {
    if !ready("mkfs.ext4") {
        return;
    }
    let box_ = tempfile::tempdir().unwrap();
    let path = disk(box_.path(), "disk");
    let writer = detached(&path, Filesystem::Ext4, Access::ReadWrite).unwrap();
    fs::write(below(&writer, "note"), "x").unwrap();
    let copy = box_.path().join("copy");
    clone(&path, &copy).unwrap();
    let copied = detached(&copy, Filesystem::Ext4, Access::Sealed).unwrap();
    assert_eq!(fs::read_to_string(below(&copied, "note")).unwrap(), "x");
}

#[test]
fn privileged_errors_name_the_file() {
    if !ready("mkfs.ext4") {
        return;
    }
    let box_ = tempfile::tempdir().unwrap();
    let path = box_.path().join("small");
    make(&path, 4096).unwrap();
    let text = format(&path, Filesystem::Ext4).unwrap_err().to_string();
    assert!(text.starts_with("mkfs.ext4 cannot format") && text.contains("small: "), "{text}");
    let text = detached(&path, Filesystem::Ext4, Access::ReadWrite).unwrap_err().to_string();
    assert!(text.contains("small as ext4"), "{text}");
    assert!(matches!(recognize(&path), Err(DiskError::Unknown { .. })));
    assert!(matches!(make(&path, 1), Err(DiskError::Make { .. })));
    assert_eq!(devices(box_.path()), [""; 0]);
}
