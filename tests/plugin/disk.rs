//! The example storage driver of a pretended vendor: each layer and each container is a disk.

use std::fs;
use std::path::Path;

use crate::harness::{Sandbox, eventually, has};

const GRANTS: &str = "grants = { ops = [\"directory\", \"file\", \"mount-image\", \"remove-tree\"] }\n\
                      settings = { size-mib = 128 }";

/// With `busybox` loaded; `None` where there are no loop devices.
fn sandbox() -> Option<Sandbox> {
    if !Path::new("/dev/loop-control").exists()
        || !(has("mkfs.ext4") || Path::new("/usr/sbin/mkfs.ext4").exists())
    {
        eprintln!("skipped: needs /dev/loop-control and mkfs.ext4");
        return None;
    }
    let other = Sandbox::new();
    other.run("save -o busybox.tar busybox").success();
    let mut box_ = other.beside().with_example("[engine]\nstorage = \"disk\"", "disk", "storage", GRANTS);
    box_.wharf(["load", "-i", other.dir().join("busybox.tar").to_str().unwrap()]).success();
    box_.write("id", other.inspect("busybox", "{{.Id}}"));
    other.leave_to(&mut box_);
    Some(box_)
}

/// Loop devices that show something below the sandbox's root.
fn devices(box_: &Sandbox) -> Vec<String> {
    let shown = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("loop/backing_file")).ok();
    let all = fs::read_dir("/sys/block").unwrap().flatten().filter_map(shown);
    let root = fs::canonicalize(box_.root()).unwrap();
    all.filter(|file| file.starts_with(root.to_str().unwrap())).collect()
}

fn disks(box_: &Sandbox, area: &str) -> usize {
    fs::read_dir(box_.root().join("storage/disk").join(area)).map_or(0, Iterator::count)
}

#[test]
fn images_are_built_run_and_removed_on_disks() {
    let Some(box_) = sandbox() else { return };
    box_.run("info -f {{.Driver}}").success().prints("disk\n");
    assert_eq!(box_.inspect("busybox", "{{.Id}}"), box_.read("id"), "the image is the same on any driver");
    box_.build(
        "d",
        "FROM busybox\nRUN echo one >/one && rm /etc/group\nCOPY Dockerfile /d\nRUN cat /one >/two\n",
    );
    assert_eq!(box_.in_image("d", "cat /two; ls /etc/group 2>&1 | grep -c such"), "one\n1\n");
    let root = box_.in_image("d", "mount | grep ' on / '");
    assert!(root.contains("ext4") && root.contains("/dev/loop"), "{root}");
    assert!(!box_.in_image("d", "ls /").contains("lost+found"));
    assert!(box_.run("build -t d .").success().stderr.matches("CACHED").count() >= 3);
    assert_eq!(devices(&box_), [""; 0]);

    box_.run("run -d --network none --name c d sleep 60").success();
    box_.run("exec c touch /written").success();
    assert_eq!(devices(&box_).len(), 1, "one device while it runs");
    box_.run("restart -t 0 c").success();
    box_.run("exec c ls /written").success();
    box_.run("stop -t 0 c").success();
    assert_eq!(devices(&box_), [""; 0]);
    box_.run("rm c").success();
    assert_eq!(disks(&box_, "container"), 0);
    box_.run("rmi d busybox").success();
    // What the steps made is still in the build cache.
    box_.run("builder prune -a -f").success();
    assert_eq!(disks(&box_, "layer"), 0);
}

#[test]
fn a_container_is_full_at_its_size() {
    let Some(box_) = sandbox() else { return };
    let fill = "dd if=/dev/zero of=/big bs=1M count=100; stat -c %s /big";
    let run = ["run", "--rm", "--network", "none", "--storage-opt", "size=64m", "busybox", "sh", "-c", fill];
    let output = box_.wharf(run).says("No space left on device");
    let written: u64 = output.stdout.trim().parse().unwrap();
    assert!((30 << 20..64 << 20).contains(&written), "{written} bytes of 64 MiB\n{output}");
    // Without the option it is the driver's own size.
    let fill = "dd if=/dev/zero of=/big bs=1M count=80 && echo fits";
    let output = box_.wharf(["run", "--rm", "--network", "none", "busybox", "sh", "-c", fill]).success();
    assert_eq!(output.stdout, "fits\n");
    let small = ["run", "--rm", "--network", "none", "--storage-opt", "size=1m", "busybox", "true"];
    box_.refuses(125, &small, &["disk", "too small", "at least 16m"]);
    let odd = ["create", "--storage-opt", "quota=1m", "busybox"];
    box_.wharf(odd).fails(125).says("unknown storage option `quota=1m`");
    assert_eq!(devices(&box_), [""; 0]);
}

#[test]
fn what_does_not_fit_fails_and_leaves_nothing() {
    let Some(box_) = sandbox() else { return };
    box_.write("Dockerfile", "FROM busybox\nRUN --network=none dd if=/dev/zero of=/big bs=1M count=200\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", "No space left on device"]);
    // 40 MiB do not fit on a disk of 32.
    box_.build("forty", "FROM busybox\nRUN --network=none dd if=/dev/urandom of=/big bs=1M count=40\n");
    let run = ["run", "--rm", "--network", "none", "--storage-opt", "size=32m", "forty", "true"];
    box_.refuses(125, &run, &["copy the files", "No space left on device"]);
    assert_eq!((devices(&box_).len(), disks(&box_, "container")), (0, 0));
}

/// Whatever is killed, no mount and no device outlives it, and the next command works.
#[test]
fn a_crash_leaves_no_device() {
    let Some(box_) = sandbox() else { return };
    box_.write("Dockerfile", "FROM busybox\nRUN --network=none echo begun >/begun && sleep 30\n");
    let mut build = box_.command(["build", "-t", "x", "."]).spawn().unwrap();
    eventually("the step runs", || !devices(&box_).is_empty());
    std::thread::sleep(std::time::Duration::from_millis(300));
    build.kill().unwrap();
    build.wait().unwrap();
    eventually("the device is gone", || devices(&box_).is_empty());
    // The next build takes away what this one left.
    box_.build("z", "FROM busybox\nRUN --network=none true\n");

    box_.run("run -d --network none --name c busybox sleep 60").success();
    let pid = box_.inspect("c", "{{.State.Pid}}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let monitor = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap().to_owned();
    crate::harness::host(&["kill", "-KILL", &monitor]);
    eventually("the device is gone", || devices(&box_).is_empty());
    box_.run("ps -a").success();
    box_.run("start c").success();
    box_.run("exec c touch /again").success();
    box_.run("rm -f c").success();
    box_.build("y", "FROM busybox\nRUN echo fine >/fine\n");
    assert_eq!(box_.in_image("y", "cat /fine"), "fine\n");
    assert_eq!((devices(&box_).len(), disks(&box_, "container")), (0, 0));
}

#[test]
fn a_driver_that_may_not_mount_disks_is_told_which_lines_would_let_it() {
    let Some(box_) = sandbox() else { return };
    let less = GRANTS.replace("\"mount-image\", ", "");
    let box_ = box_.with_example("[engine]\nstorage = \"disk\"", "disk", "storage", &less);
    box_.run("run --rm --network none busybox true").fails(125).says("disk").says("mount-image");
    assert_eq!(devices(&box_), [""; 0]);
}
